package fetch

import (
	"context"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
)

// routes is the Store of a server that lists and hands out files by one pair of its routes.
type routes struct {
	server *server
	list   func(dir string) request // dir is "" for the root
	file   func(name string) request
	// name gives the path below the root of what the listing of a directory calls listed.
	name func(dir, listed string) string
}

// maxPages bounds the pages of one directory: a server whose pages never end lists nothing.
const maxPages = 1000

// List implements Store.
func (r *routes) List(ctx context.Context, add func(File) error) error {
	for dirs := []string{""}; len(dirs) > 0; dirs = dirs[1:] {
		below, err := r.listDir(ctx, dirs[0], add)
		if err != nil {
			return err
		}
		dirs = append(dirs, below...)
	}
	return nil
}

// listDir lists one directory, and gives the directories in it.
func (r *routes) listDir(ctx context.Context, dir string, add func(File) error) (dirs []string, err error) {
	ask := r.list(dir)
	for range maxPages {
		var got struct {
			Files []struct {
				Path  string `json:"path"`
				IsDir bool   `json:"is_dir"`
				Size  *text  `json:"file_size"`
			} `json:"files"`
			Next string `json:"next_page_token"`
		}
		if err := r.server.call(ctx, ask, &got); err != nil {
			return nil, err
		}
		for _, f := range got.Files {
			one := File{Path: r.name(dir, f.Path), Dir: f.IsDir, Size: -1}
			if f.Size != nil && !f.IsDir {
				if one.Size, err = strconv.ParseInt(string(*f.Size), 10, 64); err != nil || one.Size < 0 {
					return nil, badListing("lists %q with the size %q", f.Path, quote(string(*f.Size)))
				}
			}
			if path.Dir(one.Path) != path.Clean(dir) {
				return nil, badListing("lists %q in the directory %q", f.Path, dir)
			}
			if err := add(one); err != nil {
				return nil, err
			}
			if f.IsDir {
				dirs = append(dirs, one.Path)
			}
		}
		if got.Next == "" {
			return dirs, nil
		}
		ask.query.Set("page_token", got.Next)
	}
	return nil, badListing("lists the directory %q on more than %d pages", dir, maxPages)
}

// Open implements Store.
func (r *routes) Open(ctx context.Context, f File, offset int64) (*Body, error) {
	ask := r.file(f.Path)
	ask.after, ask.tag, ask.size = offset, f.Tag, f.Size
	ext := strings.ToLower(path.Ext(f.Path))
	ask.page = ext == ".html" || ext == ".htm"
	return r.server.file(ctx, ask)
}

// Name implements Named.
func (r *routes) Name(f File) string {
	ask := r.file(f.Path)
	u := r.server.root.JoinPath(strings.Split(escapePath(ask.path), "/")...)
	u.RawQuery = ask.query.Encode()
	return u.String()
}

// proxied are the routes by which a server hands out what its own store holds, below a path there.
func (s *server) proxied(root string) *routes {
	return &routes{
		server: s,
		list: func(dir string) request {
			return request{path: proxyRoute, query: url.Values{"path": {path.Join(root, dir)}}}
		},
		file: func(name string) request { return request{path: proxyRoute + "/" + path.Join(root, name)} },
		name: func(dir, listed string) string { return join(dir, path.Base(listed)) },
	}
}

// join is path.Join without cleaning: what a server calls ".." is to be seen as that.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// ofLogged are the routes of a logged model, whatever store its files are in.
func (s *server) ofLogged(id string) *routes {
	return &routes{
		server: s,
		list: func(dir string) request {
			q := url.Values{}
			if dir != "" {
				q.Set("artifact_directory_path", dir)
			}
			return request{path: apiRoute + "logged-models/" + id + "/artifacts/directories", query: q}
		},
		file: func(name string) request {
			return request{path: "/ajax-api/2.0/mlflow/logged-models/" + id + "/artifacts/files", query: url.Values{"artifact_file_path": {name}}}
		},
		name: func(_, listed string) string { return listed },
	}
}

// ofRun are the routes of what lies below a path of a run's artifacts.
func (s *server) ofRun(id, root string) *routes {
	return &routes{
		server: s,
		list: func(dir string) request {
			return request{path: apiRoute + "artifacts/list", query: url.Values{"run_id": {id}, "path": {path.Join(root, dir)}}}
		},
		file: func(name string) request {
			return request{path: "/get-artifact", query: url.Values{"run_id": {id}, "path": {path.Join(root, name)}}}
		},
		name: func(_, listed string) string {
			// Another directory's is left as it is, which is refused.
			return strings.TrimPrefix(listed, root+"/")
		},
	}
}

// overlay is a Store of two, of which the first has a file where both have it: so MLflow treats a
// logged model and what a run has under the same name.
type overlay struct {
	top, bottom Store

	mu    sync.Mutex
	inTop map[string]bool
}

// List implements Store.
func (o *overlay) List(ctx context.Context, add func(File) error) error {
	top := map[string]bool{}
	err := o.top.List(ctx, func(f File) error {
		top[f.Path] = top[f.Path] || !f.Dir
		return add(f)
	})
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.inTop = top
	o.mu.Unlock()
	return o.bottom.List(ctx, func(f File) error {
		if top[f.Path] && !f.Dir {
			return nil
		}
		return add(f)
	})
}

// of is the store that has a file.
func (o *overlay) of(f File) Store {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.inTop[f.Path] {
		return o.top
	}
	return o.bottom
}

// Open implements Store.
func (o *overlay) Open(ctx context.Context, f File, offset int64) (*Body, error) {
	return o.of(f).Open(ctx, f, offset)
}

// Name implements Named.
func (o *overlay) Name(f File) string { return nameOf(o.of(f), f) }
