// Package fetch opens a model wherever it lives: in a directory, or behind a URI that MLflow takes.
//
// A models:/ or runs:/ URI is first resolved to what it stands for at this moment, a Source. Then the
// files are listed, once, and what is listed is checked: the server is not trusted with what it calls
// them. No byte is fetched before somebody opens a file, and then only that file's, so that reading
// what a model declares costs some kilobytes however large its weights are. A file that was fetched
// lies on disk until the model is closed, and is not fetched twice.
//
// # Whom the bytes come from
//
// An MLflow server hands out every file that it knows of, whatever bucket the file is in, by one of two
// ways: the proxy route, for artifacts whose URI is mlflow-artifacts:, and the routes of runs and logged
// models that its own web interface uses, for all others. So a client needs no credentials but those of
// the server. Where a model's files are is what get-download-uri says; the source that a version
// names is what somebody wrote, and may be another models:/ or runs:/ URI.
//
// # What is proved
//
// MLflow has no hash of anything. A file must have the size that the listing gave it, and a download that
// was cut off is only continued where the server proves, by an ETag, that it is the same file. Whoever
// controls the server controls the model.
//
// # Again costs nothing
//
// A file that an earlier run has kept is taken instead of being fetched where the store proves that it still has
// that file, in one of three ways. It lists the file with the tag that it had then, as buckets do: that costs no
// request. It answers a request for the last byte, of just the file of that tag, with that byte, as a server does that
// has its artifacts on a disk. Or it lists, under any name, the hash that the kept file was seen to have: so the
// weights of a model that was trained again are not fetched again where they are the same. Where a server gives no
// tag, as one of MLflow's with a bucket behind it, nothing is kept.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mlenv/resolve/internal/retry"
	"mlenv/resolve/model"
)

// Options say which servers URIs are about, how they are spoken to, and where files go. The zero value
// opens directories.
type Options struct {
	Tracking string // URI of the tracking server, or of a local file store
	Registry string // of the model registry; "": the same
	Auth     Auth
	TLS      TLS
	Proxy    Proxy
	// Workspace is the one of the server's workspaces that is meant, "" for its default.
	Workspace string
	UserAgent string
	// Databricks gives the workspace and the credentials of a profile of Databricks, "" for the default one. Nil: none.
	Databricks func(profile string) (Databricks, error)

	// Stores open URIs of other schemes, by the scheme in lower case ("s3"): URIs that a user gives, and
	// places of models whose files no server lists. What a server hands out comes from the server.
	Stores map[string]func(ctx context.Context, uri string) (Store, error)

	Timeout time.Duration // without a byte; 0: two minutes
	Retries int           // after the first try; 0: four, negative: none
	// Sleep waits between two tries; nil: as long as it takes.
	Sleep func(context.Context, time.Duration) error

	// Dir is an existing directory in which a directory for the files of a model is made, and removed by
	// Close. It must not be "" for anything but local directories.
	Dir string
	// Memory, if not nil, keeps files for the next run. It must be on the file system of Dir.
	Memory Memory
	// Progress, if not nil, is called at every step of fetching a file, from several goroutines.
	Progress func(Event)
}

// Event is a step of fetching one file.
type Event struct {
	File         string // its path in the model
	Bytes, Total int64  // that have come, and that the file has; Total is -1 if that is not known
	Done         bool
	Kept         bool // it did not have to be fetched, since an earlier run had
}

// Source is what a URI stood for when it was resolved. A field is "" where the URI has nothing of the kind.
type Source struct {
	URI     string `json:"uri"`               // as given, without credentials
	Alias   string `json:"alias,omitempty"`   // or
	Stage   string `json:"stage,omitempty"`   // by which the version was found
	Name    string `json:"name,omitempty"`    // of the registered model
	Version string `json:"version,omitempty"` // of it
	ModelID string `json:"modelId,omitempty"` // of the logged model
	RunID   string `json:"runId,omitempty"`
	Path    string `json:"path,omitempty"` // within the version, where a URI names a directory of it
	Root    string `json:"root,omitempty"` // where its files are, without credentials
}

// Location is a model that was found. It has a Dir or a Store.
type Location struct {
	Source
	Dir   string // local
	Store Store
}

// Opened is a model that can be read until Close.
type Opened struct {
	*model.Model
	Source Source
	// Dir is the model's directory. Of a model that is fetched, it holds those of the files that were
	// opened, each under its path.
	Dir string
	// Remote says that Dir is removed by Close.
	Remote bool

	spool *spool // nil for a local model
	close []func() error
}

// Failed returns the first error of fetching a file, nil if there was none. Whoever read the file by the
// model's FS may have taken that error for a fault of the file.
func (o *Opened) Failed() error {
	if o.spool == nil {
		return nil
	}
	return of(o.Source.URI, o.spool.failed())
}

// Close releases the model, and removes what was fetched.
func (o *Opened) Close() error {
	var errs []error
	for i := len(o.close) - 1; i >= 0; i-- {
		errs = append(errs, o.close[i]())
	}
	o.close = nil
	return errors.Join(errs...)
}

// Open opens the model that a URI or a path names. The context is that of all that is fetched until
// Close. Its errors are of type *Error, or those of package model about the model's own files.
func Open(ctx context.Context, uri string, o Options) (*Opened, error) {
	at, err := Locate(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	if at.Store == nil {
		return at.openLocal()
	}
	return at.openRemote(ctx, o)
}

// openLocal opens the model in a directory, or by its MLmodel file.
func (l *Location) openLocal() (*Opened, error) {
	m, err := model.OpenExtra(l.Dir, l.meta())
	if err != nil {
		return nil, err
	}
	dir := l.Dir
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return &Opened{Model: m, Source: l.Source, Dir: dir, close: []func() error{m.Close}}, nil
}

// openRemote lists the files and reads the model that they are.
func (l *Location) openRemote(ctx context.Context, o Options) (_ *Opened, err error) {
	dir, err := os.MkdirTemp(o.Dir, "model-*")
	if err != nil {
		return nil, fmt.Errorf("making room for the model: %w", err)
	}
	out := &Opened{Source: l.Source, Dir: filepath.Join(dir, "model"), Remote: true}
	out.close = append(out.close, func() error { return os.RemoveAll(dir) })
	defer func() {
		if err != nil {
			err = of(l.URI, err)
			if e := out.Close(); e != nil {
				err = errors.Join(err, e)
			}
		}
	}()
	parts := filepath.Join(dir, "parts")
	for _, d := range []string{out.Dir, parts} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, fmt.Errorf("making room for the model: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	out.close = append(out.close, func() error { cancel(); return nil })
	out.spool = newSpool(out.Dir, parts, l.Store, o)
	t, err := newTree(ctx, l.Store, l.meta(), out.spool)
	if err != nil {
		return nil, err
	}
	out.Model, err = model.Read(t)
	if failed := out.spool.failed(); failed != nil {
		err = failed
	}
	return out, err
}

// withDefaults fills in what was left out.
func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	switch {
	case o.Retries == 0:
		o.Retries = 4
	case o.Retries < 0:
		o.Retries = 0
	}
	if o.Sleep == nil {
		o.Sleep = retry.Sleep
	}
	return o
}

// Locate finds what a URI or a path names, without fetching any file.
func Locate(ctx context.Context, uri string, o Options) (*Location, error) {
	if Scheme(uri) == "" {
		return &Location{Source: Source{URI: uri}, Dir: uri}, nil
	}
	f, err := newFinder(o.withDefaults())
	if err != nil {
		return nil, of(uri, err)
	}
	at, err := f.find(ctx, uri)
	if err != nil {
		return nil, of(uri, err)
	}
	at.URI = Shown(uri)
	return at, nil
}
