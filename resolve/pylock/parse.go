package pylock

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"mlenv/resolve/dist"
	"mlenv/resolve/internal/source"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// Error is something wrong with a lock file.
type Error struct {
	File string
	Line int // from 1; 0 for the file as a whole
	Msg  string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// The raw types mirror the file. Values with a syntax of their own are still strings here, and what must be
// there is a pointer, by which a missing key is told from an empty one.
type rawLock struct {
	LockVersion      *string      `toml:"lock-version"`
	Environments     []string     `toml:"environments"`
	RequiresPython   string       `toml:"requires-python"`
	Extras           []string     `toml:"extras"`
	DependencyGroups []string     `toml:"dependency-groups"`
	DefaultGroups    []string     `toml:"default-groups"`
	CreatedBy        *string      `toml:"created-by"`
	Packages         []rawPackage `toml:"packages"`
	Tool             struct {
		Mlenv rawTool `toml:"mlenv"`
	} `toml:"tool"`
}

type rawPackage struct {
	Name           *string          `toml:"name"`
	Version        *string          `toml:"version"`
	Marker         string           `toml:"marker"`
	RequiresPython string           `toml:"requires-python"`
	Dependencies   []map[string]any `toml:"dependencies"`
	Index          string           `toml:"index"`
	VCS            *rawVCS          `toml:"vcs"`
	Directory      *rawDirectory    `toml:"directory"`
	Archive        *rawFile         `toml:"archive"`
	Sdist          *rawFile         `toml:"sdist"`
	Wheels         []rawFile        `toml:"wheels"`
}

type rawVCS struct {
	Type              string `toml:"type"`
	URL               string `toml:"url"`
	Path              string `toml:"path"`
	RequestedRevision string `toml:"requested-revision"`
	CommitID          string `toml:"commit-id"`
	Subdirectory      string `toml:"subdirectory"`
}

type rawDirectory struct {
	Path         string `toml:"path"`
	Subdirectory string `toml:"subdirectory"`
	Editable     bool   `toml:"editable"`
}

type rawFile struct {
	Name         string            `toml:"name"`
	URL          string            `toml:"url"`
	Path         string            `toml:"path"`
	Size         int64             `toml:"size"`
	UploadTime   any               `toml:"upload-time"`
	Subdirectory string            `toml:"subdirectory"`
	Hashes       map[string]string `toml:"hashes"`
}

type rawTool struct {
	SpecDigest string   `toml:"spec-digest"`
	Python     string   `toml:"python"`
	Targets    []string `toml:"targets"`
	BaseName   string   `toml:"base-name"`
	BaseDigest string   `toml:"base-digest"`
	Serve      string   `toml:"serve"`
	Requested  []string `toml:"requested"`

	ExcludeNewer any         `toml:"exclude-newer"`
	Yanked       []rawYanked `toml:"yanked"`
	TorchBackend string      `toml:"torch-backend"`
	SignedURLs   bool        `toml:"signed-urls"`
	Indexes      []rawIndex  `toml:"indexes"`
}

type rawIndex struct {
	Name     string   `toml:"name"`
	URL      string   `toml:"url"`
	Packages []string `toml:"packages"`
}

type rawYanked struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	Reason  string `toml:"reason"`
}

// Values of fault.pkg for faults that are not in a package.
const (
	ofFile = -1 // at the top level
	ofTool = -2 // in [tool.mlenv]
)

// fault is a problem with a key. The TOML decoder does not report the lines of keys, so the line is
// looked up by locate in the end.
type fault struct {
	pkg int // index in packages, or ofFile or ofTool
	key string
	msg string
}

func (f *fault) Error() string { return f.msg }

func faultf(key, format string, args ...any) error {
	return &fault{pkg: ofFile, key: key, msg: key + ": " + fmt.Sprintf(format, args...)}
}

// Parse reads a lock of format version 1. Errors are of type *Error; name is the file they name.
func Parse(name string, data []byte) (*Lock, error) {
	var raw rawLock
	if err := toml.Unmarshal(data, &raw); err != nil {
		e := &Error{File: name, Msg: strings.TrimPrefix(err.Error(), "toml: ")}
		if d := (*toml.DecodeError)(nil); errors.As(err, &d) {
			e.Line, _ = d.Position()
			if key := d.Key(); len(key) > 0 {
				e.Msg = strings.Join(key, ".") + ": " + e.Msg
			}
		}
		return nil, e
	}
	if key, line, ok := source.FoldedKey(data, reflect.TypeFor[rawLock]()); ok {
		return nil, &Error{File: name, Line: line, Msg: fmt.Sprintf("%s: keys are case-sensitive, and this one is written %s", key, strings.ToLower(key))}
	}
	l, err := raw.lock()
	if f := (*fault)(nil); errors.As(err, &f) {
		return nil, &Error{File: name, Line: locate(data, f.pkg, f.key), Msg: f.msg}
	}
	return l, err
}

func (r *rawLock) lock() (*Lock, error) {
	switch {
	case r.LockVersion == nil:
		return nil, faultf("lock-version", "is missing; this is not a PEP 751 lock file")
	case *r.LockVersion != "1" && !strings.HasPrefix(*r.LockVersion, "1."):
		return nil, faultf("lock-version", "%q is not supported; mlenv reads 1.0", *r.LockVersion)
	case r.CreatedBy == nil:
		return nil, faultf("created-by", "is missing")
	case r.Packages == nil:
		return nil, faultf("packages", "is missing")
	}
	l := &Lock{
		LockVersion: *r.LockVersion, CreatedBy: *r.CreatedBy,
		DependencyGroups: r.DependencyGroups, DefaultGroups: r.DefaultGroups,
	}
	for _, s := range r.Environments {
		m, err := pep508.ParseMarker(s)
		if err != nil {
			return nil, faultf("environments", "%v", err)
		}
		l.Environments = append(l.Environments, m)
	}
	var err error
	if l.RequiresPython, err = pep440.ParseSpecifiers(r.RequiresPython); err != nil {
		return nil, faultf("requires-python", "%v", err)
	}
	for _, s := range r.Extras {
		n, err := normalName("extras", s)
		if err != nil {
			return nil, err
		}
		l.Extras = append(l.Extras, n)
	}
	for i := range r.Packages {
		p, err := r.Packages[i].pkg()
		if err != nil {
			if f := (*fault)(nil); errors.As(err, &f) {
				who := fmt.Sprintf("packages[%d]", i)
				if n := r.Packages[i].Name; n != nil {
					who = "package " + *n
				}
				f.pkg, f.msg = i, who+": "+f.msg
			}
			return nil, err
		}
		l.Packages = append(l.Packages, p)
	}
	l.Tool, err = r.Tool.Mlenv.tool()
	if f := (*fault)(nil); errors.As(err, &f) {
		f.pkg, f.msg = ofTool, "tool.mlenv."+f.msg
	}
	return l, err
}

func (r *rawTool) tool() (t Tool, err error) {
	t = Tool{SpecDigest: r.SpecDigest, BaseName: r.BaseName, BaseDigest: r.BaseDigest, Serve: r.Serve, TorchBackend: r.TorchBackend, SignedURLs: r.SignedURLs}
	if err := t.Python.UnmarshalText([]byte(r.Python)); err != nil {
		return t, faultf("python", "%v", err)
	}
	for _, s := range r.Targets {
		target, err := dist.ParseTarget(s)
		if err != nil {
			return t, faultf("targets", "%v", err)
		}
		target.Python = t.Python
		t.Targets = append(t.Targets, target)
	}
	var ok bool
	if t.ExcludeNewer, ok = parseTime(r.ExcludeNewer); !ok {
		return t, faultf("exclude-newer", "is not a date with a time")
	}
	for _, s := range r.Requested {
		n, err := normalName("requested", s)
		if err != nil {
			return t, err
		}
		t.Requested = append(t.Requested, n)
	}
	for _, raw := range r.Yanked {
		y := Yanked{Reason: raw.Reason}
		if y.Name, err = normalName("yanked", raw.Name); err != nil {
			return t, err
		}
		if y.Version, err = pep440.Parse(raw.Version); err != nil {
			return t, faultf("yanked", "%v", err)
		}
		t.Yanked = append(t.Yanked, y)
	}
	for _, raw := range r.Indexes {
		x := Index{Name: raw.Name}
		x.URL, _, _ = takeSecrets(raw.URL)
		for _, s := range raw.Packages {
			n, err := normalName("indexes", s)
			if err != nil {
				return t, err
			}
			x.Packages = append(x.Packages, n)
		}
		t.Indexes = append(t.Indexes, x)
	}
	return t, nil
}

func normalName(key, s string) (pep508.Name, error) {
	if !pep508.ValidName(s) {
		return "", faultf(key, "%q is not a name", s)
	}
	if n := pep508.NormalizeName(s); string(n) != s {
		return "", faultf(key, "%q is not normalized; write %q", s, n)
	}
	return pep508.Name(s), nil
}

func (r *rawPackage) pkg() (p Package, err error) {
	if r.Name == nil {
		return p, faultf("name", "is missing")
	}
	if p.Name, err = normalName("name", *r.Name); err != nil {
		return p, err
	}
	if r.Version != nil {
		if p.Version, err = pep440.Parse(*r.Version); err != nil {
			return p, faultf("version", "%v", err)
		}
	}
	if p.Marker, err = pep508.ParseMarker(r.Marker); err != nil {
		return p, faultf("marker", "%v", err)
	}
	if p.RequiresPython, err = pep440.ParseSpecifiers(r.RequiresPython); err != nil {
		return p, faultf("requires-python", "%v", err)
	}
	for _, d := range r.Dependencies {
		dep, err := dependency(d)
		if err != nil {
			return p, err
		}
		p.Dependencies = append(p.Dependencies, dep)
	}
	p.Index, _, _ = takeSecrets(r.Index)
	return p, r.sources(&p)
}

func dependency(d map[string]any) (Dependency, error) {
	name, ok := d["name"].(string)
	if !ok {
		return Dependency{}, faultf("dependencies", "an entry has no name")
	}
	n, err := normalName("dependencies", name)
	if err != nil {
		return Dependency{}, err
	}
	dep := Dependency{Name: n}
	if v, ok := d["version"].(string); ok {
		if dep.Version, err = pep440.Parse(v); err != nil {
			return dep, faultf("dependencies", "%v", err)
		}
	}
	return dep, nil
}

// sources reads where the package comes from, and checks which sources may be combined: a lock that left a
// choice between a wheel and a repository would not say what is installed.
func (r *rawPackage) sources(p *Package) (err error) {
	direct := 0
	if v := r.VCS; v != nil {
		direct++
		p.VCS = (*VCS)(v)
		p.VCS.URL, _ = secret.Scrub(v.URL) // which leaves the user of ssh
		if v.Type == "" || v.CommitID == "" || v.URL == "" && v.Path == "" {
			return faultf("vcs", "type, commit-id and one of url and path are needed")
		}
	}
	if d := r.Directory; d != nil {
		direct++
		p.Directory = &Directory{Path: d.Path, Subdirectory: d.Subdirectory, Editable: d.Editable}
		if d.Path == "" {
			return faultf("directory", "path is missing")
		}
	}
	if a := r.Archive; a != nil {
		direct++
		f, err := a.file("archive")
		if err != nil {
			return err
		}
		p.Archive = &Archive{URL: f.URL, Query: f.Query, Path: f.Path, Size: f.Size, UploadTime: f.UploadTime,
			Subdirectory: a.Subdirectory, Hashes: f.Hashes}
	}
	files := len(r.Wheels)
	if r.Sdist != nil {
		files++
		f, err := r.Sdist.withName("sdist")
		if err != nil {
			return err
		}
		p.Sdist = &f
	}
	if err := r.wheels(p); err != nil {
		return err
	}
	switch {
	case direct > 0 && files > 0:
		return faultf("name", "both files and one of vcs, directory and archive")
	case direct+files == 0:
		return faultf("name", "neither files nor one of vcs, directory and archive")
	case direct > 1:
		return faultf("name", "more than one of vcs, directory and archive")
	}
	return nil
}

// wheels reads the package's wheels, whose names must fit it: what is installed is chosen by the name of a
// wheel, and what is checked and reported by that of the package.
func (r *rawPackage) wheels(p *Package) error {
	for i := range r.Wheels {
		f, err := r.Wheels[i].withName("wheels")
		if err != nil {
			return err
		}
		w, err := dist.ParseWheelName(f.Name)
		switch {
		case err != nil:
			return faultf("wheels", "%v", err)
		case w.Name != p.Name:
			return faultf("wheels", "%s is a wheel of %s", f.Name, w.Name)
		case !p.Version.IsZero() && !w.Version.Equal(p.Version):
			return faultf("wheels", "%s is not version %s", f.Name, p.Version)
		}
		p.Wheels = append(p.Wheels, f)
	}
	return nil
}

// maxSize is the largest size that is accepted. It is larger than any real file, small enough to
// add up sizes, and the largest integer that all JSON readers support.
const maxSize = 1 << 53

func (r *rawFile) file(key string) (File, error) {
	f := File{Name: r.Name, Path: r.Path, Size: r.Size}
	var ok bool
	f.URL, f.Query, ok = takeSecrets(r.URL)
	switch {
	case !ok:
		return f, faultf(key, "url %q is not a URL", f.URL)
	case f.URL == "" && f.Path == "":
		return f, faultf(key, "neither url nor path")
	case len(r.Hashes) == 0:
		return f, faultf(key, "no hashes")
	case f.Size < 0 || f.Size > maxSize:
		return f, faultf(key, "size %d is not a valid file size", f.Size)
	}
	if f.UploadTime, ok = parseTime(r.UploadTime); !ok {
		return f, faultf(key, "upload-time is not a date with a time")
	}
	f.Hashes = make(map[string]string, len(r.Hashes))
	for k, v := range r.Hashes {
		f.Hashes[k] = strings.ToLower(v)
	}
	return f, nil
}

// parseTime reads a date with a time. Without an offset it is UTC; nil is the zero time.
func parseTime(value any) (t time.Time, ok bool) {
	switch v := value.(type) {
	case nil:
		return t, true
	case time.Time:
		return v.UTC(), true
	case toml.LocalDateTime:
		return v.AsTime(time.UTC), true
	}
	return t, false
}

// withName returns the file with its name, which the lock may leave out if it is the last part of
// the URL or path.
func (r *rawFile) withName(key string) (File, error) {
	f, err := r.file(key)
	if err != nil || f.Name != "" {
		return f, err
	}
	if f.Path != "" {
		f.Name = path.Base(strings.ReplaceAll(f.Path, `\`, "/"))
		return f, nil
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		return f, faultf(key, "url %q is not a URL", f.URL)
	}
	if f.Name = path.Base(u.Path); !utf8.ValidString(f.Name) {
		return f, faultf(key, "url %q names a file that is not UTF-8", f.URL) // which TOML could not hold
	}
	return f, nil
}
