package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// finder resolves URIs. A URI may stand for another: a version for the place of its files, that of a logged model's, and so on;
// find goes from one to the next until it comes to files.
type finder struct {
	o      Options
	client *Client
	// tracking and registry are the servers, nil where the setting names a local file store.
	tracking, registry           *server
	trackingFiles, registryFiles *fileStore
	// inDatabricks is the registry, where it is one of Databricks.
	inDatabricks *databricksURI
}

// newFinder understands the settings. That nothing is set is no error before a server is needed.
func newFinder(o Options) (*finder, error) {
	f := &finder{o: o}
	tracking, err := parseTracking(o.Tracking)
	if err != nil {
		return nil, err
	}
	registry := tracking
	if o.Registry != "" {
		if registry, err = parseTracking(o.Registry); err != nil {
			return nil, err
		}
	} else if tracking.databricks != nil { // as MLflow 3 has it
		registry = place{databricks: &databricksURI{profile: tracking.databricks.profile, catalog: true}}
	}
	t, err := newTransport(&o, tracking.url, registry.url)
	if err != nil {
		return nil, err
	}
	f.client = newClient(o, &http.Client{Transport: t, CheckRedirect: checkRedirect})
	f.tracking, f.registry = f.server(tracking.url), f.server(registry.url)
	f.trackingFiles, f.registryFiles, f.inDatabricks = tracking.files, registry.files, registry.databricks
	return f, nil
}

// server is the server of a URL, nil for none.
func (f *finder) server(root *url.URL) *server {
	if root == nil {
		return nil
	}
	clean := *root
	clean.User = nil
	return &server{root: &clean, client: f.client}
}

// place is what a tracking or registry URI names: one of these, or nothing.
type place struct {
	url        *url.URL // of a server
	files      *fileStore
	databricks *databricksURI
}

// parseTracking understands a tracking URI; "" names nothing.
func parseTracking(uri string) (place, error) {
	scheme, _, ok := strings.Cut(uri, "://")
	if !ok {
		scheme, _, _ = strings.Cut(uri, ":")
	}
	dialect, _, _ := strings.Cut(strings.ToLower(scheme), "+") // "postgresql+psycopg2"
	switch {
	case uri == "":
		return place{}, nil
	case dialect == "http" || dialect == "https":
		u, err := url.Parse(strings.TrimRight(uri, "/"))
		if err != nil || u.Host == "" {
			return place{}, &Error{Kind: BadSettings, Msg: "the tracking URI is not a URL"}
		}
		u.RawQuery, u.Fragment = "", ""
		return place{url: u}, nil
	case dialect == "sqlite" || dialect == "postgresql" || dialect == "mysql" || dialect == "mssql":
		return place{}, &Error{Kind: Database, Detail: Shown(uri), Msg: "the tracking URI names a database (" + dialect + "), which only MLflow itself reads"}
	case dialect == "databricks" || dialect == "databricks-uc" || uri == "databricks" || uri == "databricks-uc":
		at, err := parseDatabricks(uri)
		return place{databricks: at}, err
	case dialect == "file" || !ok:
		dir, err := localPath(uri)
		return place{files: &fileStore{dir: dir}}, err
	}
	return place{}, &Error{Kind: Unsupported, Detail: dialect, Msg: "the tracking URI has the scheme " + dialect + ", which mlenv does not know"}
}

// localPath is the path of a file: URI, or of a plain path.
func localPath(uri string) (string, error) {
	if Scheme(uri) != "file" {
		return uri, nil
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host != "" && u.Host != "localhost" {
		return "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "is not the URI of a directory of this machine", Detail: "file"}
	}
	p := u.Path
	if p == "" {
		p = u.Opaque // file:relative
	}
	if len(p) > 2 && p[0] == '/' && p[2] == ':' {
		p = p[1:] // file:///C:/dir
	}
	return filepath.FromSlash(p), nil
}

// deepest is how many URIs may stand for one another: a version's place may be a logged model's.
const deepest = 5

// find finds what a URI names.
func (f *finder) find(ctx context.Context, uri string) (*Location, error) {
	at := &Location{}
	for range deepest {
		at.Root = Shown(uri)
		var next string
		var err error
		switch Scheme(uri) {
		case "models":
			next, err = f.model(ctx, uri, at)
		case "runs":
			next, err = f.run(ctx, uri, at)
		case "mlflow-artifacts":
			err = f.artifacts(uri, at)
		case "http", "https":
			err = f.address(uri, at)
		case "file", "":
			at.Dir, err = localPath(uri)
		default:
			at.Store, err = f.elsewhere(ctx, uri)
		}
		if err != nil {
			return nil, err
		}
		if next == "" {
			at.narrow()
			return at, nil
		}
		uri = next
	}
	return nil, &Error{Kind: BadListing, Msg: "the server sends from one URI to the next without end"}
}

// elsewhere opens a URI by one of the stores that the caller gave.
func (f *finder) elsewhere(ctx context.Context, uri string) (Store, error) {
	scheme := Scheme(uri)
	if open, ok := f.o.Stores[scheme]; ok {
		return open(ctx, uri)
	}
	return nil, &Error{Kind: Unsupported, Detail: scheme, Msg: "mlenv does not read " + scheme + ": itself"}
}

// needServer says that a URI means nothing without a server.
func needServer(s *server) error {
	if s != nil {
		return nil
	}
	return &Error{Kind: NoServer, Msg: "no tracking server is set that it could be on"}
}

// model follows a models:/ URI. It fills in the location, or gives the URI to go on with.
func (f *finder) model(ctx context.Context, uri string, at *Location) (next string, err error) {
	where := f.inDatabricks
	if strings.HasPrefix(uri[len("models:"):], "//") {
		if where, uri, err = parseDatabricksModel(uri); err != nil {
			return "", err
		}
	}
	m, err := parseModel(uri)
	if err != nil {
		return "", err
	}
	if m.path != "" {
		at.Path = strings.TrimSuffix(join(m.path, at.Path), "/")
	}
	switch {
	case where != nil:
		return "", f.databricks(ctx, m, where, at)
	case m.id != "" && f.trackingFiles != nil:
		return f.trackingFiles.logged(m.id, at)
	case m.id != "":
		return f.logged(ctx, m.id, at)
	case f.registryFiles != nil:
		return f.registryFiles.version(m, at)
	}
	if err := needServer(f.registry); err != nil {
		return "", err
	}
	v, err := f.registry.findVersion(ctx, m)
	if err != nil {
		return "", err
	}
	at.Alias, at.Stage, at.Name, at.Version, at.RunID = m.alias, m.stage, v.Name, string(v.Version), v.RunID
	root, err := f.registry.downloadURI(ctx, v)
	if err != nil {
		return "", err
	}
	if s := Scheme(root); s == "models" || s == "runs" {
		return root, nil
	}
	at.Root = Shown(root)
	if id := sourceID(v.Source); id != "" {
		at.ModelID = id
	}
	at.Store, err = f.ofVersion(ctx, root, at)
	return "", err
}

// sourceID is the logged model that a version was made of, "" where it was none.
func sourceID(source string) string {
	if Scheme(source) != "models" {
		return ""
	}
	m, err := parseModel(source)
	if err != nil {
		return ""
	}
	return m.id
}

// ofVersion chooses the routes for the files of a registered version: the proxy's where they lie
// behind it; else those of the logged model or the run that they are of.
func (f *finder) ofVersion(ctx context.Context, root string, at *Location) (Store, error) {
	var other func() (Store, error)
	if err := needServer(f.tracking); err != nil {
		return nil, err
	}
	other = func() (Store, error) {
		if at.ModelID != "" {
			m, err := f.tracking.logged(ctx, at.ModelID)
			if err == nil && samePlace(m.Root, root) {
				return f.tracking.ofLogged(at.ModelID), nil
			}
		}
		if at.RunID != "" {
			r, err := f.tracking.run(ctx, at.RunID)
			if path, ok := strings.CutPrefix(strings.TrimSuffix(root, "/"), r.Root+"/"); err == nil && ok {
				return f.tracking.ofRun(at.RunID, path), nil
			}
		}
		// Only now the bucket itself, which wants credentials of its own.
		if _, ok := f.o.Stores[Scheme(root)]; ok {
			return f.elsewhere(ctx, root)
		}
		return nil, &Error{Kind: Unsupported, Detail: Scheme(root),
			Msg: "its files are at " + Shown(root) + ", which is neither a run's nor a logged model's place, so the server does not list them"}
	}
	return f.choose(root, other)
}

// samePlace reports whether two URIs name one directory. Of a logged model's place some servers have a slash at the end.
func samePlace(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// choose gives the Store of a root: the proxy's routes where the root is mlflow-artifacts:, else what
// other gives, the routes by which a server hands out the files of every store.
func (f *finder) choose(root string, other func() (Store, error)) (Store, error) {
	if Scheme(root) != "mlflow-artifacts" {
		return other()
	}
	var at Location
	if err := f.artifacts(root, &at); err != nil {
		return nil, err
	}
	return &fallback{Store: at.Store, other: other}, nil
}

// artifacts finds what the proxy route of a server has.
func (f *finder) artifacts(uri string, at *Location) error {
	if err := needServer(f.tracking); err != nil {
		return err
	}
	root, path, err := parseArtifacts(uri, f.tracking.root)
	if err == nil {
		at.Store, err = f.behind(root, path)
	}
	return err
}

// behind are the files below a path of a server's artifacts.
func (f *finder) behind(root *url.URL, path string) (Store, error) {
	bucket, err := NewClient(f.o)
	if err != nil {
		return nil, err
	}
	return &presigned{routes: f.server(root).proxied(path), root: path, bucket: bucket}, nil
}

// address finds what the address of an artifact names.
func (f *finder) address(uri string, at *Location) error {
	root, path, err := parseHTTP(uri)
	if err == nil {
		at.Store, err = f.behind(root, path)
	}
	return err
}

// run follows a runs:/ URI. MLflow 3 puts the models that a run logs beside the run, and lays what the
// run has under the same path below them.
func (f *finder) run(ctx context.Context, uri string, at *Location) (next string, err error) {
	id, path, err := parseRun(uri)
	if err != nil {
		return "", err
	}
	at.RunID = id
	if f.tracking == nil && f.inDatabricks != nil {
		return "", &Error{Kind: Unsupported, Detail: "databricks-model", Msg: "names a run in Databricks, of which mlenv does not read the files"}
	}
	if f.trackingFiles != nil {
		return f.trackingFiles.run(id, path, at)
	}
	if err := needServer(f.tracking); err != nil {
		return "", err
	}
	r, err := f.tracking.run(ctx, id)
	if err != nil {
		return "", err
	}
	if r.Deleted { // a version that was registered from it stays, and so do its files
		return "", &Error{Kind: NotFound, Detail: "deleted", Msg: f.tracking.at() + " has the run " + id + " only as a deleted one"}
	}
	root := r.Root + "/" + path
	at.Root = Shown(root)
	bottom, err := f.choose(root, func() (Store, error) { return f.tracking.ofRun(id, path), nil })
	if err != nil {
		return "", err
	}
	at.Store = bottom
	// The first part of the path is the name under which the model was logged.
	name, below, _ := strings.Cut(path, "/")
	m, err := f.output(ctx, r.Outputs, name)
	if err != nil || m.ID == "" {
		return "", err
	}
	root = strings.TrimSuffix(join(m.Root, below), "/")
	at.ModelID, at.Root = m.ID, Shown(root)
	top, err := f.choose(root, func() (Store, error) {
		return within(f.tracking.ofLogged(m.ID), below), nil
	})
	at.Store = &overlay{top: top, bottom: bottom}
	return "", err
}

// output is the newest of a run's logged models that has a name; its ID is "" where none has.
func (f *finder) output(ctx context.Context, ids []string, name string) (best loggedModel, err error) {
	newest := int64(-1)
	for _, id := range ids {
		m, err := f.tracking.logged(ctx, id)
		var e *Error
		switch {
		case errors.As(err, &e) && (e.Kind == NotFound || e.Kind == NotReady):
			continue // deleted, or never finished
		case err != nil:
			return best, err
		}
		if created, _ := strconv.ParseInt(string(m.Created), 10, 64); m.Name == name && created > newest {
			best, newest = m, created
		}
	}
	return best, nil
}

// logged follows the URI of a logged model.
func (f *finder) logged(ctx context.Context, id string, at *Location) (next string, err error) {
	if err := needServer(f.tracking); err != nil {
		return "", err
	}
	m, err := f.tracking.logged(ctx, id)
	if err != nil {
		return "", err
	}
	at.ModelID, at.RunID, at.Root = id, m.RunID, Shown(m.Root)
	at.Store, err = f.choose(m.Root, func() (Store, error) { return f.tracking.ofLogged(id), nil })
	return "", err
}

// fallback is a Store that gives way to another where its server does not hand out artifacts by the
// proxy route, which only its answer tells.
type fallback struct {
	Store
	other func() (Store, error)
}

// List implements Store.
func (f *fallback) List(ctx context.Context, add func(File) error) error {
	err := f.Store.List(ctx, add)
	var e *Error
	if errors.As(err, &e) && e.Detail == notProxied && f.other != nil {
		store, otherErr := f.other()
		if otherErr != nil {
			return otherErr
		}
		f.Store, f.other = store, nil
		return f.Store.List(ctx, add)
	}
	return err
}

// Name implements Named.
func (f *fallback) Name(file File) string { return nameOf(f.Store, file) }

// narrow makes the location that of a directory within it, where the URI names one.
func (l *Location) narrow() {
	if l.Path == "" {
		return
	}
	l.Root += "/" + l.Path
	if l.Store == nil {
		l.Dir = filepath.Join(l.Dir, filepath.FromSlash(l.Path))
		return
	}
	l.Store = within(l.Store, l.Path)
}

// within is a Store of what lies below a directory of another, which is the other where the directory is "".
func within(s Store, dir string) Store {
	if dir == "" {
		return s
	}
	return &inner{s, dir + "/"}
}

// inner is such a Store.
type inner struct {
	outer  Store
	prefix string
}

// List implements Store. What the outer one lists is checked before anything of it is left out.
func (i *inner) List(ctx context.Context, add func(File) error) error {
	all := newListing()
	return i.outer.List(ctx, func(f File) error {
		if err := all.add(f); err != nil {
			return err
		}
		name, below := strings.CutPrefix(f.Path, i.prefix)
		if !below {
			return nil
		}
		f.Path = name
		return add(f)
	})
}

// Open implements Store.
func (i *inner) Open(ctx context.Context, f File, offset int64) (*Body, error) {
	f.Path = i.prefix + f.Path
	return i.outer.Open(ctx, f, offset)
}

// Name implements Named.
func (i *inner) Name(f File) string {
	f.Path = i.prefix + f.Path
	return nameOf(i.outer, f)
}
