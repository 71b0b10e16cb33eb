package pylock

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Format returns a lock as TOML. The result is deterministic: Parse returns an equal Lock, and
// formatting that yields the same bytes. Packages and files stay in their order.
func Format(l *Lock) []byte {
	w := &writer{}
	w.str("lock-version", l.LockVersion)
	if len(l.Environments) > 0 {
		w.list("environments", len(l.Environments), func(i int) string { return quote(l.Environments[i].String()) })
	}
	w.str("requires-python", l.RequiresPython.String())
	names(w, "extras", l.Extras)
	names(w, "dependency-groups", l.DependencyGroups)
	names(w, "default-groups", l.DefaultGroups)
	fmt.Fprintf(w, "created-by = %s\n", quote(l.CreatedBy))
	if len(l.Packages) == 0 {
		w.WriteString("packages = []\n")
	}
	for i := range l.Packages {
		w.pkg(&l.Packages[i])
	}
	w.tool(&l.Tool)
	return w.Bytes()
}

type writer struct{ bytes.Buffer }

// str writes a key unless its value is empty.
func (w *writer) str(key, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s = %s\n", key, quote(value))
	}
}

// list writes an array over several lines, so that a change of one element is a change of one line.
func (w *writer) list(key string, n int, element func(i int) string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(w, "%s = [\n", key)
	for i := range n {
		fmt.Fprintf(w, "    %s,\n", element(i))
	}
	w.WriteString("]\n")
}

// names writes an array on one line unless it is empty.
func names[S ~string](w *writer, key string, list []S) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "%s = [", key)
	for i, s := range list {
		if i > 0 {
			w.WriteString(", ")
		}
		w.WriteString(quote(string(s)))
	}
	w.WriteString("]\n")
}

func (w *writer) pkg(p *Package) {
	w.WriteString("\n[[packages]]\n")
	w.str("name", string(p.Name))
	w.str("version", p.Version.String())
	w.str("marker", p.Marker.String())
	w.str("requires-python", p.RequiresPython.String())
	w.list("dependencies", len(p.Dependencies), func(i int) string {
		d := &p.Dependencies[i]
		t := inline{}
		t.str("name", string(d.Name))
		t.str("version", d.Version.String())
		return t.String()
	})
	if v := p.VCS; v != nil {
		t := inline{}
		t.str("type", v.Type)
		t.str("url", v.URL)
		t.str("path", v.Path)
		t.str("requested-revision", v.RequestedRevision)
		t.str("commit-id", v.CommitID)
		t.str("subdirectory", v.Subdirectory)
		fmt.Fprintf(w, "vcs = %s\n", t)
	}
	if d := p.Directory; d != nil {
		t := inline{}
		t.str("path", d.Path)
		if d.Editable {
			t.raw("editable", "true")
		}
		t.str("subdirectory", d.Subdirectory)
		fmt.Fprintf(w, "directory = %s\n", t)
	}
	if a := p.Archive; a != nil {
		t := inline{}
		t.location(a.URL, a.Path, a.Size, a.UploadTime)
		t.hashes(a.Hashes)
		t.str("subdirectory", a.Subdirectory)
		fmt.Fprintf(w, "archive = %s\n", t)
	}
	w.str("index", p.Index)
	if p.Sdist != nil {
		fmt.Fprintf(w, "sdist = %s\n", p.Sdist.toml())
	}
	w.list("wheels", len(p.Wheels), func(i int) string { return p.Wheels[i].toml() })
}

func (w *writer) tool(t *Tool) {
	start := w.Len()
	w.WriteString("\n[tool.mlenv]\n")
	empty := w.Len()
	w.str("spec-digest", t.SpecDigest)
	w.str("python", t.Python.String())
	targets := make([]string, len(t.Targets))
	for i := range t.Targets {
		targets[i] = t.Targets[i].String()
	}
	names(w, "targets", targets)
	w.str("base-name", t.BaseName)
	w.str("base-digest", t.BaseDigest)
	w.str("serve", t.Serve)
	if !t.ExcludeNewer.IsZero() {
		fmt.Fprintf(w, "exclude-newer = %s\n", t.ExcludeNewer.UTC().Format(time.RFC3339Nano))
	}
	w.str("torch-backend", t.TorchBackend)
	if t.SignedURLs {
		w.WriteString("signed-urls = true\n")
	}
	w.list("indexes", len(t.Indexes), func(i int) string {
		x := inline{}
		x.str("name", t.Indexes[i].Name)
		x.str("url", t.Indexes[i].URL)
		var packages []string
		for _, n := range t.Indexes[i].Packages {
			packages = append(packages, quote(string(n)))
		}
		x.raw("packages", "["+strings.Join(packages, ", ")+"]")
		return x.String()
	})
	w.list("requested", len(t.Requested), func(i int) string { return quote(string(t.Requested[i])) })
	w.list("yanked", len(t.Yanked), func(i int) string {
		y := inline{}
		y.str("name", string(t.Yanked[i].Name))
		y.str("version", t.Yanked[i].Version.String())
		y.str("reason", t.Yanked[i].Reason)
		return y.String()
	})
	if w.Len() == empty {
		w.Truncate(start)
	}
}

func (f *File) toml() string {
	t := inline{}
	t.str("name", f.Name)
	t.location(f.URL, f.Path, f.Size, f.UploadTime)
	t.hashes(f.Hashes)
	return t.String()
}

// inline builds an inline table.
type inline struct{ b []byte }

func (t inline) String() string { return "{" + string(t.b) + "}" }

func (t *inline) raw(key, value string) {
	if len(t.b) > 0 {
		t.b = append(t.b, ", "...)
	}
	t.b = append(t.b, key...)
	t.b = append(t.b, " = "...)
	t.b = append(t.b, value...)
}

func (t *inline) str(key, value string) {
	if value != "" {
		t.raw(key, quote(value))
	}
}

func (t *inline) location(url, path string, size int64, upload time.Time) {
	if !upload.IsZero() {
		t.raw("upload-time", upload.UTC().Format(time.RFC3339Nano))
	}
	t.str("url", url)
	t.str("path", path)
	if size != 0 {
		t.raw("size", strconv.FormatInt(size, 10))
	}
}

func (t *inline) hashes(hashes map[string]string) {
	h := inline{}
	for _, k := range slices.Sorted(maps.Keys(hashes)) {
		h.raw(key(k), quote(hashes[k]))
	}
	t.raw("hashes", h.String())
}

// key writes a TOML key, quoted unless it can be bare.
func key(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' {
			return quote(s)
		}
	}
	if s == "" {
		return quote(s)
	}
	return s
}

// quote writes a TOML basic string. It escapes what TOML requires and no more: names in other scripts stay
// legible.
func quote(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = fmt.Appendf(b, "\\u%04X", r)
		default:
			b = append(b, string(r)...)
		}
	}
	return string(append(b, '"'))
}
