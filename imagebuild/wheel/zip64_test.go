package wheel

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/layer"
)

// A zipStyle is a way to write down sizes (APPNOTE.TXT 4.3.7, 4.3.9, 4.3.12 and 4.5.3).
type zipStyle struct {
	descriptor bool // behind the file, as for a file that is not known when its header is written
	local64    bool // in 64 bits before the file: force_zip64 of Python's zipfile
	dir64      bool // in 64 bits in the directory, with the offset
	end64      bool // the directory's own place in 64 bits
}

// zipAs writes an archive by hand.
func zipAs(files []zipped, style zipStyle) []byte {
	var out, dir bytes.Buffer
	le := binary.LittleEndian
	for _, f := range files {
		body, method := pack([]byte(f.body)), uint16(8)
		if f.stored {
			body, method = []byte(f.body), 0
		}
		crc, packed, size := crc32.ChecksumIEEE([]byte(f.body)), uint64(len(body)), uint64(len(f.body))
		offset := uint64(out.Len())
		var flags uint16
		h := header{crc, uint32(packed), uint32(size)}
		var extra []byte
		switch {
		case style.descriptor:
			flags, h = 8, header{}
		case style.local64:
			h.packed, h.size = math.MaxUint32, math.MaxUint32
			extra = le.AppendUint64(le.AppendUint64([]byte{1, 0, 16, 0}, size), packed)
		}
		out.WriteString("PK\x03\x04")
		write(&out, uint16(45), flags, method, uint32(0), h.crc, h.packed, h.size, uint16(len(f.name)), uint16(len(extra)))
		out.WriteString(f.name)
		out.Write(extra)
		out.Write(body)
		if style.descriptor {
			out.WriteString("PK\x07\x08")
			write(&out, crc, uint32(packed), uint32(size))
		}
		h, extra = header{crc, uint32(packed), uint32(size)}, nil
		at := uint32(offset)
		if style.dir64 {
			h.packed, h.size, at = math.MaxUint32, math.MaxUint32, math.MaxUint32
			extra = le.AppendUint64(le.AppendUint64(le.AppendUint64([]byte{1, 0, 24, 0}, size), packed), offset)
		}
		dir.WriteString("PK\x01\x02")
		write(&dir, uint16(3<<8|45), uint16(45), flags, method, uint32(0), h.crc, h.packed, h.size, uint16(len(f.name)), uint16(len(extra)),
			uint16(0), uint16(0), uint16(0), uint32(0), at)
		dir.WriteString(f.name)
		dir.Write(extra)
	}
	at, length, n := out.Len(), dir.Len(), len(files)
	out.Write(dir.Bytes())
	count, size, offset := uint16(n), uint32(length), uint32(at)
	if style.end64 {
		end := uint64(out.Len())
		out.WriteString("PK\x06\x06")
		write(&out, uint64(44), uint16(45), uint16(45), uint32(0), uint32(0), uint64(n), uint64(n), uint64(length), uint64(at))
		out.WriteString("PK\x06\x07")
		write(&out, uint32(0), end, uint32(1))
		count, size, offset = math.MaxUint16, math.MaxUint32, math.MaxUint32
	}
	out.WriteString("PK\x05\x06")
	write(&out, uint16(0), uint16(0), count, count, size, offset, uint16(0))
	return out.Bytes()
}

// header is what a header says of a file's bytes.
type header struct{ crc, packed, size uint32 }

func write(out *bytes.Buffer, values ...any) {
	for _, v := range values {
		binary.Write(out, binary.LittleEndian, v) // a bytes.Buffer does not fail
	}
}

// TestZipStyles holds that a wheel's layer is the same however the archive tells sizes.
func TestZipStyles(t *testing.T) {
	files := recorded(demo(
		zipped{name: "demo_pkg/text.txt", body: string(bytes.Repeat([]byte("text "), 5000))},
		zipped{name: "demo_pkg/stored.txt", body: "stored", stored: true},
		zipped{name: "demo_pkg/empty"}, zipped{name: "demo_pkg/none", stored: true}))
	digests := map[v1.Hash][]string{}
	for what, style := range map[string]zipStyle{
		"plain sizes": {}, "data descriptors": {descriptor: true}, "force_zip64": {local64: true},
		"zip64 directory": {dir64: true}, "zip64 everywhere": {local64: true, dir64: true, end64: true},
	} {
		name := filepath.Join(t.TempDir(), "demo_pkg-1.0-py3-none-any.whl")
		if err := os.WriteFile(name, zipAs(files, style), 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Open(name)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		defer w.Close()
		l, err := w.Layer(scheme, Options{}, layer.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Digest()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		digests[d] = append(digests[d], what)
	}
	if len(digests) != 1 {
		t.Error(digests)
	}
}
