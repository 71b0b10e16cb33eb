package index

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// archive makes a zip archive of names and contents, in turn.
func archive(tb testing.TB, comment string, files ...string) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = io.WriteString(w, files[i+1])
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.SetComment(comment); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// zip64 gives an archive whose sizes and offsets stand in the records of 64 bits alone.
func zip64(data []byte) []byte {
	at := bytes.LastIndex(data, []byte("PK\x05\x06"))
	le := binary.LittleEndian
	size, offset := le.Uint32(data[at+12:]), le.Uint32(data[at+16:])
	record := make([]byte, 56+20)
	copy(record, "PK\x06\x06")
	le.PutUint64(record[40:], uint64(size))
	le.PutUint64(record[48:], uint64(offset))
	copy(record[56:], "PK\x06\x07")
	le.PutUint64(record[56+8:], uint64(at))
	out := append(append(bytes.Clone(data[:at]), record...), data[at:]...)
	copy(out[at+len(record)+8:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	return out
}

// metadataOf reads METADATA out of an archive in memory.
func metadataOf(data []byte, size int64) (string, error) {
	r := bytes.NewReader(data)
	text, err := wheelMetadata(r, size, "a", nil)
	return string(text), err
}

// damaged changes a copy of an archive.
func damaged(data []byte, change func(data []byte, at int)) []byte {
	data = bytes.Clone(data)
	change(data, bytes.LastIndex(data, []byte("PK\x05\x06")))
	return data
}

func hostileArchives(tb testing.TB) map[string][]byte {
	plain := archive(tb, "", "a-1.dist-info/METADATA", "Name: a\n")
	le := binary.LittleEndian
	return map[string][]byte{
		"the directory has 4 GB": damaged(plain, func(data []byte, at int) { le.PutUint32(data[at+12:], 0xfffffffe) }),
		"a directory of 2^60 bytes": damaged(zip64(plain), func(data []byte, at int) {
			le.PutUint64(data[at-56-20+40:], 1<<60)
		}),
		"a directory at 2^63": damaged(zip64(plain), func(data []byte, at int) {
			le.PutUint64(data[at-56-20+48:], 1<<63)
		}),
		"65535 files": damaged(plain, func(data []byte, at int) { le.PutUint16(data[at+10:], 0xffff) }),
		"packed bytes beyond the end": damaged(plain, func(data []byte, at int) {
			dir := bytes.Index(data, []byte("PK\x01\x02"))
			le.PutUint32(data[dir+20:], 1<<30)
		}),
		"another checksum":       damaged(plain, func(data []byte, at int) { data[bytes.Index(data, []byte("PK\x01\x02"))+16]++ }),
		"a bomb":                 archive(tb, "", "a-1.dist-info/METADATA", "Name: a\n\n"+strings.Repeat(" ", maxMetadata)),
		"many fields":            archive(tb, "", "a-1.dist-info/METADATA", strings.Repeat("Classifier: x\n", maxHeaders/14+1)),
		"a field without an end": archive(tb, "", "a-1.dist-info/METADATA", "Summary: "+strings.Repeat("x", maxHeaders)),
	}
}

func TestWheelMetadata(t *testing.T) {
	const text = "Name: a\nVersion: 1\n"
	plain := archive(t, "", "a/x.py", "", "a-1.dist-info/METADATA", text)
	for name, tt := range map[string]struct {
		data []byte
		want string // "" for an error
	}{
		"plain":               {plain, text},
		"behind another file": {append([]byte("#!/bin/sh\n"), plain...), text},
		"64 bits":             {zip64(plain), text},
		"64 bits, behind":     {append([]byte("#!"), zip64(plain)...), text},
		"with a comment":      {archive(t, strings.Repeat("PK\x05\x06", 1000), "A-1.dist-info/METADATA", text), text},
		"description":         {archive(t, "", "a-1.dist-info/METADATA", "Name: a\nDescription: x\n  y\nVersion: 1\n\nx\n"), text},
		"beside another":      {archive(t, "", "b-1.dist-info/METADATA", "Name: b\n", "a-1.dist-info/METADATA", text), text},
		"of another only":     {archive(t, "", "b-1.dist-info/METADATA", "Name: b\n"), "Name: b\n"},
		"twice the same":      {archive(t, "", "a-1.dist-info/METADATA", text, "a-1.dist-info/METADATA", text), text},
		"twice":               {archive(t, "", "a-1.dist-info/METADATA", text, "a-1.dist-info/METADATA", "Name: x\n"), ""},
		"of two versions":     {archive(t, "", "a-1.dist-info/METADATA", text, "a-2.dist-info/METADATA", text), ""},
		"of two others":       {archive(t, "", "b-1.dist-info/METADATA", text, "c-2.dist-info/METADATA", text), ""},
		"vendored":            {archive(t, "", "a/v/b-1.dist-info/METADATA", text), ""},
		"none":                {archive(t, "", "a/x.py", ""), ""},
		"empty":               {nil, ""},
	} {
		got, err := metadataOf(tt.data, int64(len(tt.data)))
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, data := range hostileArchives(t) {
		if got, err := metadataOf(data, int64(len(data))); err == nil && name != "65535 files" {
			t.Errorf("%s: read %d bytes", name, len(got))
		}
	}
}

// FuzzWheelMetadata reads archives of any content and size: what is read agrees with archive/zip.
func FuzzWheelMetadata(f *testing.F) {
	plain := archive(f, "c", "a/x.py", "", "a-1.dist-info/METADATA", "Name: a\n")
	f.Add(plain, int64(len(plain)))
	f.Add(zip64(plain), int64(len(plain)))
	f.Add(plain, int64(1)<<62)
	for _, data := range hostileArchives(f) {
		if len(data) < 1<<20 {
			f.Add(data, int64(len(data)))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		if size < 0 {
			return
		}
		got, err := metadataOf(data, size)
		if err != nil || size != int64(len(data)) {
			return
		}
		z, err := zip.NewReader(bytes.NewReader(data), size)
		if err != nil {
			return // it is stricter in some things that do not matter here
		}
		for _, file := range z.File {
			if !strings.HasSuffix(file.Name, ".dist-info/METADATA") {
				continue
			}
			r, err := file.Open()
			if err != nil {
				continue
			}
			want, err := readHeaders(r)
			if err == nil && string(want) == got {
				return
			}
		}
		if len(z.File) > 0 {
			t.Skipf("archive/zip reads other files: %q", got)
		}
	})
}
