package fetch

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
)

// Databricks says where a workspace of Databricks is, and who asks it: a token, or a service principal (OAuth M2M).
type Databricks struct {
	Host                   string // with or without https://
	Token                  string
	ClientID, ClientSecret string
}

// databricksURI is what a tracking or registry URI says of Databricks, or the authority of a models:// URI.
type databricksURI struct {
	profile string // of ~/.databrickscfg, "" for the default
	catalog bool   // Unity Catalog, as opposed to the workspace's own registry
}

// parseDatabricks reads databricks, databricks://PROFILE, databricks-uc and databricks-uc://PROFILE. MLflow also takes the scope and
// the prefix of secrets that a workspace keeps, which can only be read on the workspace's own machines.
func parseDatabricks(uri string) (*databricksURI, error) {
	scheme, profile, _ := strings.Cut(uri, "://")
	profile = strings.TrimSuffix(profile, "/")
	if strings.ContainsAny(profile, ":/@") {
		return nil, &Error{Kind: Unsupported, Detail: "databricks", Msg: "the tracking URI names credentials that Databricks keeps, which mlenv cannot ask for; it takes a profile of ~/.databrickscfg"}
	}
	return &databricksURI{profile: profile, catalog: strings.EqualFold(scheme, "databricks-uc")}, nil
}

// parseDatabricksModel takes models://PROFILE@databricks-uc/NAME/VERSION apart, and the same with databricks or with a
// profile alone. It gives the models:/ URI that is meant there.
func parseDatabricksModel(uri string) (at *databricksURI, model string, err error) {
	_, rest, _ := strings.Cut(uri, "://")
	authority, model, _ := strings.Cut(rest, "/")
	profile, kind, ok := strings.Cut(authority, "@")
	if !ok {
		profile, kind = "", authority
	}
	model = "models:/" + model
	switch kind {
	case "databricks-uc", "databricks":
		at, err = parseDatabricks(kind + "://" + profile)
	default: // a profile: the name tells which registry, since Unity Catalog's have three parts
		at, err = parseDatabricks("databricks://" + authority)
		if err == nil {
			m, err := parseModel(model)
			at.catalog = err == nil && strings.Count(m.name, ".") == 2
		}
	}
	return at, model, err
}

// workspace is a workspace of Databricks: an MLflow server that keeps files where its own routes give signed addresses for them.
type workspace struct {
	*server
	catalog bool
	files   *Client // for signed addresses: it has no credentials
}

const catalogRoute = "/api/2.0/mlflow/unity-catalog/"

// workspace finds the workspace that a URI means. Its client follows no redirects: a workspace has none, and whoever redirects a
// request would be sent the token.
func (f *finder) workspace(at *databricksURI) (*workspace, error) {
	none := &Error{Kind: NoServer, Detail: "databricks", Msg: "no workspace of Databricks is set, or no credentials for it"}
	if f.o.Databricks == nil {
		return nil, none
	}
	d, err := f.o.Databricks(at.profile)
	if err != nil {
		return nil, err
	}
	host := d.Host
	if host != "" && !strings.Contains(host, "://") {
		host = "https://" + host
	}
	root, err := url.Parse(strings.TrimRight(host, "/"))
	if err != nil || root.Host == "" || d.Token == "" && (d.ClientID == "" || d.ClientSecret == "") {
		return nil, none
	}
	root = &url.URL{Scheme: root.Scheme, Host: root.Host}
	client, err := NewClient(f.o)
	if err != nil {
		return nil, err
	}
	w := &workspace{server: &server{root: root, client: client}, catalog: at.catalog, files: client}
	if at.catalog {
		w.registry = catalogRoute
	}
	w.authorize = (&principal{Databricks: d, root: root, client: client}).authorize
	return w, nil
}

// principal shows a workspace who asks.
type principal struct {
	Databricks
	root   *url.URL
	client *Client

	mu    sync.Mutex
	given string // by the workspace, to a service principal
}

// authorize adds the token to a request to the workspace.
func (p *principal) authorize(r *http.Request) error {
	token := p.Token
	if token == "" {
		var err error
		if token, err = p.token(r.Context()); err != nil {
			return err
		}
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// token gets a service principal's token, once: it lives for an hour, and is used to ask for addresses alone.
func (p *principal) token(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given != "" {
		return p.given, nil
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.ClientID)+":"+url.QueryEscape(p.ClientSecret)))
	s := &server{root: p.root, client: p.client, authorize: func(r *http.Request) error { r.Header.Set("Authorization", basic); return nil }}
	var got struct {
		Token string `json:"access_token"`
	}
	err := s.call(ctx, request{path: "/oidc/v1/token", form: url.Values{"grant_type": {"client_credentials"}, "scope": {"all-apis"}}}, &got)
	if err == nil && got.Token == "" {
		err = &Error{Kind: Denied, Detail: "databricks", Msg: s.at() + " gives the service principal no token"}
	}
	p.given = got.Token
	return got.Token, err
}

// databricks follows a models: URI to a workspace.
func (f *finder) databricks(ctx context.Context, m modelURI, where *databricksURI, at *Location) error {
	w, err := f.workspace(where)
	if err != nil {
		return err
	}
	parts := strings.Split(m.name, ".")
	switch {
	case m.id != "":
		return &Error{Kind: Unsupported, Detail: "databricks-model", Msg: "names a logged model of Databricks, of which mlenv does not read the files"}
	case w.catalog && (len(parts) != 3 || checkPath(path.Join(parts...)) != nil || strings.Contains(m.name, "/")):
		return &Error{Kind: BadURI, Detail: "databricks-uc", Msg: "names no model of Unity Catalog, which has a catalog, a schema and a name"}
	case w.catalog && m.alias == "" && m.version == "":
		return &Error{Kind: BadURI, Detail: "databricks-uc", Msg: "names a stage or the latest version, which Unity Catalog does not have"}
	}
	v, err := w.findVersion(ctx, m) // both registries answer as MLflow's does
	if err != nil {
		return inDatabricks(err)
	}
	at.Alias, at.Stage, at.Name, at.Version, at.RunID = m.alias, m.stage, v.Name, string(v.Version), v.RunID
	if w.catalog { // whose Files API has a directory for each version
		at.Root = "/Models/" + strings.Join(parts, "/") + "/" + string(v.Version)
		at.Store = w.ofCatalog(at.Root)
		return nil
	}
	at.Root = w.at()
	at.Store = w.ofRegistry(v)
	return nil
}

// inDatabricks marks an error of a workspace, for those who say what can be done about it.
func inDatabricks(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Kind == Denied {
		one := *e
		one.Detail = "databricks"
		return &one
	}
	return err
}

// signed is a Store whose files have signed addresses, each of which lives for some minutes.
type signed struct {
	list    func(ctx context.Context, add func(File) error) error
	address func(ctx context.Context, name string) (signedAddress, error)
	client  *Client
	name    string // what all files' names begin with
}

// Name implements Named.
func (s *signed) Name(f File) string { return s.name + "/" + escapePath(f.Path) }

// List implements Store.
func (s *signed) List(ctx context.Context, add func(File) error) error {
	return inDatabricks(s.list(ctx, add))
}

// Open implements Store. It asks for a new address each time: one that has ended is no reason to give up.
func (s *signed) Open(ctx context.Context, f File, offset int64) (*Body, error) {
	a, err := s.address(ctx, f.Path)
	if err != nil {
		return nil, inDatabricks(err)
	}
	return a.open(ctx, s.client, f, offset)
}

// ofCatalog are the files of a version of Unity Catalog, by the Files API.
func (w *workspace) ofCatalog(root string) *signed {
	return &signed{
		client: w.files, name: w.root.String() + escapePath(root),
		list: func(ctx context.Context, add func(File) error) error {
			for dirs := []string{""}; len(dirs) > 0; dirs = dirs[1:] {
				below, err := w.listCatalog(ctx, root, dirs[0], add)
				if err != nil {
					return err
				}
				dirs = append(dirs, below...)
			}
			return nil
		},
		address: func(ctx context.Context, name string) (a signedAddress, err error) {
			err = w.call(ctx, request{path: "/api/2.0/fs/create-download-url", post: map[string]string{"path": root + "/" + name}}, &a)
			return a, err
		},
	}
}

// listCatalog lists one directory, and gives the directories in it.
func (w *workspace) listCatalog(ctx context.Context, root, dir string, add func(File) error) (dirs []string, err error) {
	ask := request{path: "/api/2.0/fs/directories" + strings.TrimSuffix(root+"/"+dir, "/"), query: url.Values{}}
	for range maxPages {
		var got struct {
			Contents []struct {
				Path  string `json:"path"`
				IsDir bool   `json:"is_directory"`
				Size  *int64 `json:"file_size"`
			} `json:"contents"`
			Next string `json:"next_page_token"`
		}
		if err := w.call(ctx, ask, &got); err != nil {
			return nil, err
		}
		for _, c := range got.Contents {
			name, ok := strings.CutPrefix(c.Path, root+"/")
			f := File{Path: strings.TrimSuffix(name, "/"), Dir: c.IsDir, Size: -1}
			if !ok || path.Dir(f.Path) != path.Clean(dir) {
				return nil, badListing("lists %q in the directory %q", c.Path, dir)
			}
			if c.Size != nil {
				if f.Size = *c.Size; f.Size < 0 {
					return nil, badListing("lists %q with a size of %d bytes", c.Path, f.Size)
				}
			}
			if err := add(f); err != nil {
				return nil, err
			}
			if f.Dir {
				dirs = append(dirs, f.Path)
			}
		}
		if got.Next == "" {
			return dirs, nil
		}
		ask.query.Set("page_token", got.Next)
	}
	return nil, badListing("lists the directory %q on more than %d pages", dir, maxPages)
}

// ofRegistry are the files of a version of the workspace's own registry.
func (w *workspace) ofRegistry(v modelVersion) *signed {
	query := func(p string) url.Values {
		return url.Values{"name": {v.Name}, "version": {string(v.Version)}, "path": {p}}
	}
	listed := &routes{
		server: w.server,
		list: func(dir string) request {
			return request{path: apiRoute + "model-versions/list-artifacts", query: query(dir)}
		},
		name: func(_, listed string) string { return listed },
	}
	return &signed{
		client: w.files, list: listed.List, name: w.root.String() + "/registry/" + url.PathEscape(v.Name) + "/" + string(v.Version),
		address: func(ctx context.Context, name string) (a signedAddress, err error) {
			err = w.call(ctx, request{path: apiRoute + "model-versions/get-signed-download-uri", query: query(name)}, &a)
			return a, err
		},
	}
}
