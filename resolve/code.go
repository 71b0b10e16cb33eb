package resolve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"mlenv/resolve/finding"
	"mlenv/resolve/model"
)

// CodeDigest returns the "h1:" hash (golang.org/x/mod/sumdb/dirhash) of a directory or file of
// fsys. The names that are hashed begin with the last element of the path, so that moving the whole
// directory does not change the hash. All files of fsys count; it should come from model.Files.
// Files are streamed, not read into memory. The form is Go's own for modules: it is specified, sorts by
// name, and hashes neither times nor modes, which a copy of the model may change.
func CodeDigest(fsys fs.FS, root string) (string, error) {
	var files []string
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return nil
		}
		info, err := fs.Stat(fsys, name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return &fs.PathError{Op: "read", Path: name, Err: errors.New("neither a file nor a directory")}
		}
		files = append(files, name)
		return nil
	})
	if err != nil {
		return "", err
	}
	names := map[string]string{}
	var hashed []string
	for _, f := range files {
		name := path.Base(root) + strings.TrimPrefix(f, root)
		if root == "." {
			name = f
		}
		names[name] = f
		hashed = append(hashed, name)
	}
	return dirhash.Hash1(hashed, func(name string) (io.ReadCloser, error) { return fsys.Open(names[name]) })
}

// addCode adds the model's own code directories. One that is not there is a finding and no error: MLflow
// loads such a model, and fails at the import that needs it.
func (m *merger) addCode(from *model.Model) error {
	var errs []error
	for _, c := range from.Code {
		origin := finding.Origin{File: c.File, Line: c.Line, Text: "code: " + c.Text}
		digest, err := CodeDigest(from.FS, c.Text)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			m.find(finding.MissingFile, c.Text, []finding.Origin{origin}, "%s names the code directory %s, which the model does not have", origin, c.Text)
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("reading code: %w", err))
			continue
		}
		m.spec.CodePaths = append(m.spec.CodePaths, CodePath{Path: c.Text, Digest: digest, From: []finding.Origin{origin}})
	}
	return errors.Join(errs...)
}

// readLocal adds the hashes of local requirements to the spec, so that its digest depends on their
// contents: the sha256 of a distribution, or the dirhash of a source directory. A path alone says nothing: a
// wheel is often built again under the same name. Paths of the command line are not in the model's file
// system; whoever fetches them hashes them.
func (m *merger) readLocal(fsys fs.FS) error {
	var errs []error
	for _, list := range [][]Requirement{m.spec.Requirements, m.spec.BuildDependencies} {
		for i := range list {
			r := &list[i]
			if r.Path == "" || r.From[0].File == finding.CommandLine {
				continue
			}
			err := r.readLocal(fsys)
			if errors.Is(err, fs.ErrNotExist) {
				m.find(finding.MissingFile, r.Path, r.From, "%s requires %s, which the model does not have", r.From[0], r.Path)
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("reading a local requirement of %s: %w", r.From[0], err))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Requirement) readLocal(fsys fs.FS) error {
	name := path.Clean(r.Path)
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		r.Digest, err = CodeDigest(fsys, name)
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: name, Err: errors.New("neither a file nor a directory")}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if len(r.Hashes) == 0 {
		r.Hashes = []string{"sha256:" + hex.EncodeToString(h.Sum(nil))}
	}
	return nil
}

// CodeFiles returns the SHA-256, in hex, of each file of the model's code: those below its code
// directories, and the one that it was logged from.
func CodeFiles(m *model.Model) (map[string]string, error) {
	out := map[string]string{}
	add := func(root string) error {
		err := fs.WalkDir(m.FS, root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			f, err := m.FS.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return err
			}
			out[name] = hex.EncodeToString(h.Sum(nil))
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a finding says so
		}
		return err
	}
	var errs []error
	for _, c := range m.Code {
		errs = append(errs, add(c.Text))
	}
	if v := m.Flavor("python_function").Get("model_code_path"); v.Text != "" {
		errs = append(errs, add(path.Base(v.Text)))
	}
	return out, errors.Join(errs...)
}
