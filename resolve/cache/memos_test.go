package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func testNote(t *testing.T, kind string, of, value any) (Key, Note) {
	t.Helper()
	key, err := NewKey(kind, of)
	if err != nil {
		t.Fatal(err)
	}
	note, err := NewNote(value)
	if err != nil {
		t.Fatal(err)
	}
	return key, note
}

func TestMemos(t *testing.T) {
	m := Open(filepath.Join(t.TempDir(), "not", "yet"), nil).Memos()
	type of struct{ Name, Version string }
	for _, value := range []string{"one", "", "two\nlines"} {
		key, note := testNote(t, "layers", of{"a", "1"}, value)
		if err := m.Put(t.Context(), key, note); err != nil {
			t.Fatal(err)
		}
		got, ok, err := m.Get(t.Context(), key)
		var text string
		if err != nil || !ok || !got.Decode(&text) || text != value || got.Written.IsZero() {
			t.Errorf("got %q, %t, %v, %v, want %q", text, ok, got.Written, err, value)
		}
		if n := 0; got.Decode(&n) {
			t.Errorf("%q is a number", text)
		}
	}
	for _, other := range []struct {
		kind string
		of   any
	}{{"unions", of{"a", "1"}}, {"layers", of{"a", "2"}}, {"layers", of{"a1", ""}}, {"layers", nil}} {
		key, _ := testNote(t, other.kind, other.of, nil)
		if n, ok, err := m.Get(t.Context(), key); ok || err != nil {
			t.Errorf("%v: got %s, %v", key, n.Value, err)
		}
	}
	for _, kind := range []string{"", "..", "a/b", "A", "a1"} {
		if key, err := NewKey(kind, nil); err == nil {
			t.Errorf("%v is a key", key)
		}
		if _, _, err := m.Get(t.Context(), Key{Kind: kind}); err == nil {
			t.Errorf("a note of the kind %q was looked for", kind)
		}
		if err := m.Put(t.Context(), Key{Kind: kind}, Note{}); err == nil {
			t.Errorf("a note of the kind %q was written", kind)
		}
	}
}

// TestKeyHash holds the names of notes: where they are kept elsewhere too, they must not change.
func TestKeyHash(t *testing.T) {
	key, _ := testNote(t, "layers", map[string]int{"b": 2, "a": 1}, nil)
	if got, want := key.String(), `layers {"a":1,"b":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := key.Hash(), sum("mlenv memo 1\nlayers\n{\"a\":1,\"b\":2}"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestMemoMoved puts the file of one note in the place of another's: it is not believed.
func TestMemoMoved(t *testing.T) {
	m := Open(t.TempDir(), nil).Memos()
	one, note := testNote(t, "layers", 1, "one")
	two, _ := testNote(t, "layers", 2, "two")
	if err := m.Put(t.Context(), one, note); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(m.file(two, two.Hash())), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.file(one, one.Hash()), m.file(two, two.Hash())); err != nil {
		t.Fatal(err)
	}
	for _, key := range []Key{one, two} {
		if n, ok, err := m.Get(t.Context(), key); ok || err != nil {
			t.Errorf("%v: got %s, %v", key, n.Value, err)
		}
	}
}

// readBlob reads a blob through Keep, and wants an error that says why, "" for none.
func readBlob(t *testing.T, b *Blobs, data, sha, why string) {
	t.Helper()
	r := b.Keep(sha, io.NopCloser(iotest.OneByteReader(strings.NewReader(data))))
	got, err := io.ReadAll(r)
	if why == "" && (err != nil || string(got) != data) || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
		t.Errorf("read %q, %v, want an error with %q", got, err, why)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	b := Open(dir, nil).Blobs()
	sha := sum("blob")
	readBlob(t, b, "bl0b", sha, "was sent as sha256:"+sum("bl0b"))
	cut := b.Keep(sha, io.NopCloser(strings.NewReader("blob")))
	if _, err := io.ReadFull(cut, make([]byte, 4)); err != nil { // all of it, but not to the end
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	if f, ok := b.Open(sha, 4); ok {
		t.Errorf("kept %s", f.Name())
	}
	if got := names(t, dir); fmt.Sprint(got) != "["+tagName+"]" {
		t.Errorf("left behind: %q", got)
	}
	readBlob(t, b, "blob", sha, "")
	f, ok := b.Open(sha, 4)
	if !ok {
		t.Fatal("it was not kept")
	}
	if data, err := io.ReadAll(f); err != nil || string(data) != "blob" {
		t.Errorf("kept %q, %v", data, err)
	}
	f.Close()
	if f, ok := b.Open(sha, 5); ok {
		t.Errorf("%s has another size", f.Name())
	}
	readBlob(t, b, "x", "../x", "was sent as")
}

// TestDamageEverywhere changes every bit of every file of every section, and cuts every file at every
// length: what is read then is absent, and never wrong.
func TestDamageEverywhere(t *testing.T) {
	dir := t.TempDir()
	d := Open(dir, nil)
	key, note := testNote(t, "layers", "what it depends on", map[string]string{"digest": "sha256:0123", "other": "x"})
	if err := d.Index().Write("pages/0123456789abcdef/six", []byte("a page")); err != nil {
		t.Fatal(err)
	}
	keep(t, d.Index(), "six.whl", "a wheel")
	if err := d.Memos().Put(t.Context(), key, note); err != nil {
		t.Fatal(err)
	}
	readBlob(t, d.Blobs(), "a layer", sum("a layer"), "")
	// Each gives what a section has, "" if that is absent.
	readers := map[string]func() string{
		IndexFormat + "/pages/": func() string {
			data, err := d.Index().Read("pages/0123456789abcdef/six")
			if errors.Is(err, fs.ErrNotExist) {
				return ""
			}
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		},
		IndexFormat + "/files/": func() string {
			name, err := d.Index().File(sum("a wheel"), "six.whl")
			if errors.Is(err, fs.ErrNotExist) {
				return ""
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		},
		MemosFormat: func() string {
			n, ok, err := d.Memos().Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return ""
			}
			return string(n.Value)
		},
		BlobsFormat: func() string {
			f, ok := d.Blobs().Open(sum("a layer"), int64(len("a layer")))
			if !ok {
				return ""
			}
			defer f.Close()
			data, err := io.ReadAll(f)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		},
	}
	tried := 0
	for _, name := range names(t, dir) {
		for prefix, read := range readers {
			if strings.HasPrefix(name, prefix) {
				damageFile(t, filepath.Join(dir, filepath.FromSlash(name)), read)
				tried++
			}
		}
	}
	if tried != len(readers) {
		t.Errorf("damaged %d files, want %d: one of each section", tried, len(readers))
	}
}

// damageFile damages one file in every way, and reads what it holds each time.
func damageFile(t *testing.T, name string, read func() string) {
	t.Helper()
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := read()
	if want == "" {
		t.Fatalf("%s is absent", name)
	}
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := read(); got != "" {
			t.Errorf("%s, %s: got %q", name, what, got)
		}
	}
	for i := range whole {
		check(fmt.Sprintf("cut to %d bytes", i), whole[:i])
		for bit := range 8 {
			changed := append([]byte{}, whole...)
			changed[i] ^= 1 << bit
			check(fmt.Sprintf("bit %d of byte %d", bit, i), changed)
		}
	}
	check("with a byte more", append(append([]byte{}, whole...), 'x'))
	if err := os.WriteFile(name, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != want {
		t.Errorf("%s, whole again: got %q, want %q", name, got, want)
	}
}

// FuzzMemo reads notes from files of any content: what is given is what was written, or nothing.
func FuzzMemo(f *testing.F) {
	key, err := NewKey("layers", "what it depends on")
	if err != nil {
		f.Fatal(err)
	}
	value := []byte(`{"digest":"sha256:0123"}`)
	good := append(headOf(key.Hash(), value), value...)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(append(headOf(key.Hash(), nil), value...))
	f.Add([]byte("\n"))
	f.Add([]byte{})
	m := Open(f.TempDir(), nil).Memos()
	name := m.file(key, key.Hash())
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		n, ok, err := m.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if ok && string(data) != string(append(headOf(key.Hash(), n.Value), n.Value...)) {
			t.Errorf("%q is a note: %s", data, n.Value)
		}
	})
}

// BenchmarkMemos reads 30 notes, about as many as an image has.
func BenchmarkMemos(b *testing.B) {
	for what, now := range map[string]func() time.Time{"noting use": time.Now, "not": nil} {
		b.Run(what, func(b *testing.B) {
			m := Open(b.TempDir(), now).Memos()
			var keys []Key
			for i := range 30 {
				key, err := NewKey("layers", i)
				if err != nil {
					b.Fatal(err)
				}
				note, err := NewNote(strings.Repeat("x", 700))
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Put(b.Context(), key, note); err != nil {
					b.Fatal(err)
				}
				keys = append(keys, key)
			}
			for b.Loop() {
				for _, key := range keys {
					var text string
					if n, ok, err := m.Get(b.Context(), key); !ok || !n.Decode(&text) || err != nil {
						b.Fatal(ok, err)
					}
				}
			}
		})
	}
}
