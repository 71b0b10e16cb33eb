package base

import (
	"archive/tar"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/dist"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep440"
	"mlenv/resolve/serving"
)

// Error reports that an image cannot be used as a base.
type Error struct{ Msg string }

func (e *Error) Error() string { return e.Msg }

// distroless is the annotation with the Python version in Google's distroless images.
const distroless = "com.google.distroless.python.version"

// machines maps the machine in an ELF header to the architecture.
var machines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm",
	elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64",
}

// Inspect reads an image's configuration and layers and returns what it contains. If the image has
// no Python 3, or if its C library cannot be determined, it returns an *Error: it never guesses.
func Inspect(img v1.Image) (*Base, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base's configuration: %w", err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, fmt.Errorf("reading the base's manifest: %w", err)
	}
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	t, err := readTree(layers)
	if err != nil {
		return nil, err
	}
	b := &Base{
		Digest: digest.String(), OS: config.OS, Variant: config.Variant, Layers: len(layers),
		Env: config.Config.Env, Packages: t.packages(), Sonames: t.sonames(),
	}
	if b.OS == "" {
		b.OS = "linux"
	}
	if err := b.findPython(t, config, manifest.Annotations[distroless]); err != nil {
		return nil, err
	}
	if err := b.findLibc(t); err != nil {
		return nil, err
	}
	if config.Architecture != "" && config.Architecture != b.Arch {
		return nil, &Error{fmt.Sprintf("the base says that it is for %s, but its %s is for %s", config.Architecture, b.Python, b.Arch)}
	}
	b.findSystem(t)
	b.findCA(t)
	b.findJava(t)
	b.findParents(t)
	b.findInside(t)
	return b, nil
}

// defaultPath is the search path if the image does not set PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// candidates returns the paths where the interpreter may be, in order: in the image's PATH, in its
// entrypoint, then in unusual directories that some distributions use.
func candidates(config *v1.ConfigFile) []string {
	var out []string
	searchPath := defaultPath
	for _, e := range config.Config.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			searchPath = v + ":" + searchPath
		}
	}
	for _, dir := range strings.Split(searchPath, ":") {
		if path.IsAbs(dir) {
			out = append(out, path.Join(dir, "python3"))
		}
	}
	for _, arg := range append(append([]string{}, config.Config.Entrypoint...), config.Config.Cmd...) {
		if path.IsAbs(arg) && interpreterName.MatchString(path.Base(arg)) {
			out = append(out, arg)
		}
	}
	return append(out, "/opt/conda/bin/python3", "/opt/app-root/bin/python3", "/usr/libexec/platform-python")
}

func (b *Base) findPython(t *tree, config *v1.ConfigFile, annotation string) error {
	for _, name := range candidates(config) {
		n, real := t.file(name)
		if n == nil || n.machine == 0 || n.mode&0o111 == 0 {
			continue
		}
		b.Python, b.Arch = real, machines[n.machine]
		b.Version = t.version(real, n, b.Getenv("PYTHON_VERSION"), annotation, b.Packages)
		break
	}
	switch {
	case b.Python == "":
		return &Error{"the base has no Python 3 on its PATH; use one that has, such as python:<version>-slim"}
	case b.Version.IsZero():
		return &Error{"the version of the base's " + b.Python + " cannot be determined"}
	case b.Arch == "":
		return &Error{"the architecture of the base's " + b.Python + " is not known"}
	}
	return nil
}

var (
	minorInName = pattern.New(`python(3\.\d+)`)
	exact       = pattern.New(`^3\.\d+\.\d+((a|b|rc)\d+)?`)
)

// version returns the interpreter's exact version if any source has it, else the minor version,
// else zero. Sources other than the binary itself are used only if they agree on the minor version.
func (t *tree) version(python string, n *node, env, annotation string, packages map[string]string) pep440.Version {
	minor := ""
	if m := minorInName.FindStringSubmatch(path.Base(python)); m != nil {
		minor = m[1]
	}
	prefix := path.Dir(path.Dir(python))
	sources := []string{t.compiledIn(prefix, minor, n)}
	if strings.HasPrefix(python, "/usr/local/") {
		sources = append(sources, env)
	}
	for name, other := range t.nodes {
		if other.define != "" && strings.HasPrefix(name, prefix+"/include/python") {
			sources = append(sources, other.define)
		}
	}
	sort.Strings(sources[1:]) // they come from a map; at most one agrees with the minor version
	if !strings.HasPrefix(python, "/usr/local/") && !strings.HasPrefix(python, "/opt/") {
		for _, name := range []string{"python" + minor + "-minimal", "libpython" + minor + "-minimal", "python3", "python3-minimal"} {
			sources = append(sources, packages[name])
		}
	}
	sources = append(sources, annotation, env, t.condaVersion(prefix))
	for _, text := range sources {
		if v := exactVersion(text); !v.IsZero() && (minor == "" || v.Minor() == minor) {
			return v
		}
	}
	return pythonOf(minor)
}

// exactVersion returns the exact Python version at the start of text, or zero.
func exactVersion(text string) pep440.Version { return pythonOf(exact.FindString(text)) }

// pythonOf is like pep440.Parse but returns the zero Version for invalid text.
func pythonOf(text string) pep440.Version {
	v, err := pep440.Parse(text)
	if err != nil {
		return pep440.Version{}
	}
	return v
}

// compiledIn returns the version that the interpreter or its libpython was compiled with, if there
// is exactly one for the minor version.
func (t *tree) compiledIn(prefix, minor string, n *node) string {
	found := map[string]bool{}
	collect := func(versions []string) {
		for _, v := range versions {
			if minor == "" || pythonOf(v).Minor() == minor {
				found[v] = true
			}
		}
	}
	collect(n.versions)
	for _, name := range t.under(prefix+"/lib/", prefix+"/lib64/") {
		if libpythonName.MatchString(path.Base(name)) {
			collect(t.nodes[name].versions)
		}
	}
	if len(found) != 1 {
		return ""
	}
	for v := range found {
		return v
	}
	return ""
}

// condaVersion returns the version in conda's record of the python package.
func (t *tree) condaVersion(prefix string) string {
	for _, name := range t.under(prefix + "/conda-meta/") {
		if rest, ok := strings.CutPrefix(path.Base(name), "python-"); ok {
			version, _, _ := strings.Cut(rest, "-")
			return version
		}
	}
	return ""
}

// under returns the paths below directories, sorted.
func (t *tree) under(dirs ...string) []string {
	var out []string
	var walk func(dir string)
	walk = func(dir string) {
		for child := range t.children[dir] {
			if t.nodes[child] != nil {
				out = append(out, child)
			}
			walk(child)
		}
	}
	for _, dir := range dirs {
		if real := t.resolve(dir); real != "" {
			walk(real)
		}
	}
	sort.Strings(out)
	return out
}

func (b *Base) findLibc(t *tree) error {
	n, _ := t.file(b.Python)
	if n.interp == "" {
		return &Error{"the base's " + b.Python + " is linked statically; no wheel with compiled code would load"}
	}
	kind, name := "glibc", glibcName
	if strings.Contains(path.Base(n.interp), "ld-musl") {
		kind, name = "musl", muslName
	}
	for _, file := range t.under("/lib", "/lib64", "/usr/lib", "/usr/lib64") {
		if !name.MatchString(path.Base(file)) {
			continue
		}
		lib, _ := t.file(file)
		if lib != nil && lib.machine == n.machine && len(lib.versions) > 0 && b.isLibc(kind, lib.versions[len(lib.versions)-1]) {
			return nil
		}
	}
	for _, key := range map[string][]string{"glibc": {"libc6", "glibc"}, "musl": {"musl"}}[kind] {
		if b.isLibc(kind, libcOfPackage.FindString(b.Packages[key])) {
			return nil
		}
	}
	return &Error{fmt.Sprintf("the version of the base's C library (%s, loaded by %s) cannot be determined", kind, n.interp)}
}

// isLibc sets the C library if the version is valid, and reports whether it is.
func (b *Base) isLibc(kind, version string) bool {
	libc, err := dist.ParseLibc(kind + ":" + version)
	if err != nil {
		return false
	}
	b.Libc = libc
	return true
}

var libcOfPackage = pattern.New(`^\d+\.\d+`)

func (t *tree) packages() map[string]string {
	out := map[string]string{}
	for _, n := range t.nodes {
		for name, version := range n.packages {
			out[name] = version
		}
	}
	return out
}

var librarySuffix = pattern.New(`\.so(\.\d+)*$`)

// sonames returns the shared libraries in the default directories of the dynamic loader.
func (t *tree) sonames() []string {
	seen := map[string]bool{}
	for _, name := range t.under("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib") {
		if strings.Contains(name, "/python3") || !librarySuffix.MatchString(name) {
			continue
		}
		if n := t.nodes[name]; n.typ == tar.TypeReg || n.typ == tar.TypeSymlink {
			seen[path.Base(name)] = true
		}
	}
	out := make([]string, 0, len(seen))
	for name := range seen {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// findInside records one file in each of mlenv's paths that contains any. Empty directories do not
// count.
func (b *Base) findInside(t *tree) {
	b.Inside = map[string]string{}
	for _, name := range serving.Paths() {
		for _, at := range append([]string{t.resolve(name)}, t.under(name)...) {
			if n := t.nodes[at]; n != nil && n.typ != tar.TypeDir {
				b.Inside[name] = at
				break
			}
		}
	}
}

// findJava looks for a Java runtime in the same places as Spark and H2O.
func (b *Base) findJava(t *tree) {
	searchPath := b.Getenv("PATH")
	if searchPath == "" {
		searchPath = defaultPath
	}
	for _, dir := range append([]string{path.Join(b.Getenv("JAVA_HOME"), "bin")}, strings.Split(searchPath, ":")...) {
		name := path.Join(dir, "java")
		if n, _ := t.file(name); path.IsAbs(dir) && n != nil && n.mode&0o111 != 0 {
			b.Java = name
			return
		}
	}
}

// findParents records which of the directories above mlenv's paths are symbolic links, and which
// exist.
func (b *Base) findParents(t *tree) {
	b.Links, b.Dirs = map[string]string{}, []string{}
	var visit func(name string, depth int)
	visit = func(name string, depth int) {
		for at := path.Clean("/" + name); at != "/" && depth < 10; at = path.Dir(at) {
			n := t.nodes[at]
			switch {
			case n != nil && n.typ == tar.TypeSymlink:
				b.Links[at] = n.link
				target := n.link
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(at), target)
				}
				visit(target, depth+1)
			case n != nil && n.typ == tar.TypeDir, n == nil && len(t.children[at]) > 0:
				b.Dirs = append(b.Dirs, at)
			}
		}
	}
	for _, name := range serving.Paths() {
		visit(name, 0)
		visit(b.Resolve(name), 0)
	}
	slices.Sort(b.Dirs)
	b.Dirs = slices.Compact(b.Dirs)
}

// bundles are the paths of CA certificates in distributions. OpenSSL as built by Debian and
// docker-library looks in /usr/lib/ssl or /usr/local/ssl, which Debian links to the first of them.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

func (b *Base) findCA(t *tree) {
	if b.Getenv("SSL_CERT_FILE") != "" {
		return
	}
	for _, name := range []string{"/usr/lib/ssl/cert.pem", "/etc/ssl/cert.pem", "/etc/pki/tls/cert.pem", "/usr/lib/ssl/certs/ca-certificates.crt"} {
		if n, _ := t.file(name); n != nil {
			return
		}
	}
	for _, name := range bundles {
		if n, _ := t.file(name); n != nil {
			b.CABundle = name
			return
		}
	}
}

// IsError returns the *Error that err wraps, if any.
func IsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
