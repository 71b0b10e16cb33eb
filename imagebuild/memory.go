package imagebuild

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// memory keeps small values in files named after a hash of their key. A value that was truncated or
// changed is not believed: each file carries the digest of key and value. Nothing that is lost
// costs more than time.
//
// The digest is no signature: whoever may write here may forge a value and its check. Of a forged
// layer this is found out, and the image is built anew:
//
//   - at once, what cannot be: another media type, the same layer twice;
//   - when the layer's bytes are made: another digest or size, another number of layers;
//   - when a registry is asked for the blob and has it: another size.
//
// This is not: the digest of another layer that the registry has, and another diffID, for which the
// layer would have to be inflated. The first gives an image of other content; the second one that
// engines refuse, since they compare diffIDs when they unpack. So the directory must be as safe from
// others as the user's programs are.
type memory struct {
	dir string // "" remembers nothing
}

// memoryFormat is part of every key; it changes when the meaning of a value does.
const memoryFormat = "mlenv memory 1\n"

type memo struct {
	Check string          `json:"check"` // SHA-256 of kind, key and value
	Value json.RawMessage `json:"value"`
}

func keyOf(kind string, key any) (string, error) {
	text, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	return hexSum([]byte(memoryFormat + kind + "\n" + string(text))), nil
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (m memory) file(kind, id string) string {
	return filepath.Join(m.dir, kind, id[:2], id[2:]+".json")
}

// get reads a value into out and tells whether it was there, with the time at which it was
// written. What cannot be read or believed is not there.
func (m memory) get(kind string, key, out any) (time.Time, bool) {
	if m.dir == "" {
		return time.Time{}, false
	}
	id, err := keyOf(kind, key)
	if err != nil {
		return time.Time{}, false
	}
	name := m.file(kind, id)
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}, false
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return time.Time{}, false
	}
	var v memo
	if json.Unmarshal(data, &v) != nil || v.Check != hexSum(append([]byte(id), v.Value...)) {
		return time.Time{}, false
	}
	return info.ModTime(), json.Unmarshal(v.Value, out) == nil
}

// put writes a value by renaming, so that another process sees it whole or not at all. Failing to
// remember is no failure to build, so only errors that are not the disk's are given.
func (m memory) put(kind string, key, value any) error {
	if m.dir == "" {
		return nil
	}
	id, err := keyOf(kind, key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	data, err := json.Marshal(memo{Check: hexSum(append([]byte(id), text...)), Value: text})
	if err != nil {
		return err
	}
	err = writeByRename(m.file(kind, id), data)
	var onDisk *fs.PathError
	var onRename *os.LinkError
	if errors.As(err, &onDisk) || errors.As(err, &onRename) {
		return nil
	}
	return err
}

func writeByRename(name string, data []byte) (err error) {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	if _, err := temp.Write(data); err != nil {
		return errors.Join(err, temp.Close())
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), name); err != nil {
		return fmt.Errorf("remembering: %w", err)
	}
	return nil
}
