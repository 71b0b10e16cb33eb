package cache

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"mlenv/resolve/pattern"
)

// Key says which note is meant. It is a plain value: it can be printed, and be kept anywhere.
type Key struct {
	Kind string          `json:"kind"` // what the note tells, such as "layers": lower-case letters
	Of   json.RawMessage `json:"of"`   // what the value depends on, all of it; as encoding/json writes it
}

// keyFormat is part of every key's hash.
const keyFormat = "mlenv memo 1\n"

var kindText = pattern.New(`^[a-z]+$`)

// NewKey gives the key of a kind of note and what its value depends on. Of is made of structs,
// slices and maps with sorted keys alone, so that equal values have equal JSON.
func NewKey(kind string, of any) (Key, error) {
	if !kindText.MatchString(kind) {
		return Key{}, fmt.Errorf("%q is no kind of note", kind)
	}
	data, err := json.Marshal(of)
	if err != nil {
		return Key{}, fmt.Errorf("making the key of a note: %w", err)
	}
	return Key{Kind: kind, Of: data}, nil
}

// Hash is the SHA-256 of the key, in hexadecimal: a name by which the note can be kept.
func (k Key) Hash() string {
	return hexSum([]byte(keyFormat+k.Kind+"\n"), k.Of)
}

func (k Key) String() string { return k.Kind + " " + string(k.Of) }

// Note is what is remembered under a key. It is a plain value, too.
type Note struct {
	Value   json.RawMessage `json:"value"`
	Written time.Time       `json:"written,omitzero"` // by the clock of whatever keeps the note; zero: not known
}

// NewNote gives a note of a value.
func NewNote(value any) (Note, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return Note{}, fmt.Errorf("making a note: %w", err)
	}
	return Note{Value: data}, nil
}

// Decode reads the note's value and tells whether it is of out's kind. What a value says may still be
// wrong; see the package's comment.
func (n Note) Decode(out any) bool { return json.Unmarshal(n.Value, out) == nil }

// Memos are the notes of a cache directory: each in a file named after the hash of its key. The first
// line of the file has the SHA-256 of that hash and the value, which follows.
type Memos struct {
	dir  *Dir
	root string
}

const memoHead = "mlenv-memo "

// headOf is the first line of a note's file.
func headOf(hash string, value []byte) []byte {
	return []byte(memoHead + hexSum([]byte(hash+"\n"), value) + "\n")
}

func hexSum(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (m *Memos) file(k Key, hash string) string {
	return filepath.Join(m.root, k.Kind, hash[:2], hash[2:])
}

// Get gives the note of a key, and tells whether there is one. What cannot be read, or is not what
// was written, is not there. The only error is that of a key that NewKey did not give.
func (m *Memos) Get(_ context.Context, k Key) (Note, bool, error) {
	if m == nil {
		return Note{}, false, nil
	}
	if !kindText.MatchString(k.Kind) {
		return Note{}, false, fmt.Errorf("%q is no kind of note", k.Kind)
	}
	hash := k.Hash()
	data, info, err := m.dir.read(m.file(k, hash))
	if err != nil {
		return Note{}, false, nil
	}
	head, value, _ := bytes.Cut(data, []byte("\n"))
	if !bytes.Equal(append(head, '\n'), headOf(hash, value)) {
		return Note{}, false, nil
	}
	return Note{Value: value, Written: info.ModTime()}, true, nil
}

// Put writes the note of a key; its time is that of the file system's clock, whatever Written says.
// That it cannot be written costs time later on, and is no error. The only one is that of a key that
// NewKey did not give.
func (m *Memos) Put(_ context.Context, k Key, n Note) error {
	if m == nil {
		return nil
	}
	if !kindText.MatchString(k.Kind) {
		return fmt.Errorf("%q is no kind of note", k.Kind)
	}
	hash := k.Hash()
	name := m.file(k, hash)
	t, err := m.dir.create(name)
	if err != nil {
		return nil
	}
	defer t.discard()
	if _, err := t.Write(append(headOf(hash, n.Value), n.Value...)); err != nil {
		return nil
	}
	_ = t.commit(name)
	return nil
}
