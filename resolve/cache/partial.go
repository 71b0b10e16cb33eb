package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Resume opens the temporary file of a name that is the same in every process, for this process
// alone, with what an earlier one has written to it. It is nil if another process is at it, or
// where files cannot be locked: then use Create. The caller ends it by Keep, Discard or Leave.
func (s *Store) Resume(id string) (*Temp, error) {
	if !fs.ValidPath(id) || id != filepath.Base(id) {
		return nil, fmt.Errorf("%q is no name of a temporary file", id)
	}
	path := filepath.Join(s.root, tempDir, "p-"+id)
	s.dir.mark()
	for range tries {
		f, err := openNew(path, 0, 0o644)
		if err != nil {
			return nil, fmt.Errorf("writing to the cache: %w", err)
		}
		held, err := lock(f, path)
		switch {
		case err == nil:
			return &Temp{temp: &temp{File: f, held: held}, store: s, note: tempDir + "/p-" + id + ".note"}, nil
		case errors.Is(err, errMoved): // kept or removed by another process, in this moment
			if err := f.Close(); err != nil {
				return nil, err
			}
		default:
			return nil, f.Close()
		}
	}
	return nil, nil
}

// Resumable reports whether Leave leaves anything to Resume.
func (t *Temp) Resumable() bool { return t.note != "" }

// Note gives what Remember said of the content; nil if nothing.
func (t *Temp) Note() []byte {
	if t.note == "" {
		return nil
	}
	data, err := t.store.Read(t.note)
	if err != nil {
		return nil
	}
	return data
}

// Remember says something of the content that whoever resumes should know. nil forgets it.
func (t *Temp) Remember(data []byte) error {
	switch {
	case t.note == "":
		return nil
	case data == nil:
		return t.store.Remove(t.note)
	}
	return t.store.Write(t.note, data)
}

// Leave closes a file of Resume and leaves it to another process. It discards one of Create.
func (t *Temp) Leave() {
	if t.note == "" || t.over {
		t.Discard()
		return
	}
	t.over = true
	t.Close()
	t.unlock()
}

// forget removes the note.
func (t *Temp) forget() {
	if t.note != "" {
		t.store.Remove(t.note)
	}
}
