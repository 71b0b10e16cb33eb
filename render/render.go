// Package render writes documents that describe an environment: a Dockerfile and the files that
// it reads. It touches no network and no disk.
package render

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/template"

	"mlenv/resolve"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
	"mlenv/templates"
)

// Installer is the program that installs the packages when the Dockerfile is built.
type Installer string

// The installers.
const (
	UV    Installer = "uv"
	Pip   Installer = "pip"
	Conda Installer = "conda" // micromamba, for packages that only conda has
)

// ParseInstaller parses the name of an installer. "" means conda if the Spec has conda packages, and
// uv otherwise.
func ParseInstaller(s string, spec *resolve.Spec) (Installer, error) {
	switch i := Installer(s); i {
	case UV, Pip, Conda:
		return i, nil
	case "":
		if len(spec.Conda.Packages) > 0 {
			return Conda, nil
		}
		return UV, nil
	}
	return "", fmt.Errorf("unknown installer %q: it is uv, pip or conda", s)
}

// Input is everything that a Dockerfile depends on.
type Input struct {
	Installer     Installer
	Base          string        // image reference, with its digest where it is known
	Title         string        // the model's name, for the comment at the top
	Spec          *resolve.Spec // the merged environment
	Lock          *pylock.Lock  // if nil, the installer chooses the versions
	InstallerLock *pylock.Lock  // of uv itself; if nil, any version of uv is installed
	CondaExplicit []byte        // an explicit conda lock ("@EXPLICIT"), nil if none
	Index         string        // Simple index, without credentials; "": the installer's default
	ExtraIndexes  []string
	FindLinks     []string // pages; folders of this machine do not exist in a build
	Runtime       *serving.Runtime
	Labels        []serving.Var
	Build         []resolve.Requirement // packages that are not in the lock because an index has only their source
	Copies        Copies                // files that are copied into the context and installed or copied into the image
}

// File is one file of a build context, with its contents or a function that opens them.
type File struct {
	Name string // relative to the context, slash-separated
	Data []byte
	Open func() (io.ReadCloser, error) // opens the contents; if nil, they are in Data
	Exec bool                          // the mode is 0755 instead of 0644
	Dir  bool                          // it is a directory
}

// The directories of a build context for copied files.
const (
	modelDir     = "model"
	modelCodeDir = "model-code"
	extraCodeDir = "extra-code"
	wheelsDir    = "wheels"
	sourceDir    = "source"
)

// Templates returns the built-in templates. Files in override replace those with the same name, and
// may add others. Templates are executed with a Data.
func Templates(override fs.FS) (*template.Template, error) {
	t, err := template.New("").Funcs(functions).ParseFS(templates.FS, "*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("parsing built-in templates: %w", err)
	}
	if override == nil {
		return t, nil
	}
	if t, err = t.ParseFS(override, "*.tmpl"); err != nil {
		return nil, fmt.Errorf("parsing templates: %w", err)
	}
	return t, nil
}

// Dockerfile renders the Dockerfile alone. name is the template to run: "" is the installer's.
func Dockerfile(in Input, t *template.Template, name string) ([]byte, error) {
	if name == "" {
		name = string(in.Installer) + ".tmpl"
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, name, newData(in)); err != nil {
		return nil, fmt.Errorf("writing Dockerfile: %w", err)
	}
	return tidy(b.Bytes()), nil
}

// Context returns all files of the build context: the Dockerfile, its .dockerignore, the files that
// the installer reads, and the copies.
func Context(in Input, t *template.Template, name string) ([]File, error) {
	dockerfile, err := Dockerfile(in, t, name)
	if err != nil {
		return nil, err
	}
	files := []File{{Name: "Dockerfile", Data: dockerfile}}
	if len(in.Runtime.Launcher) > 0 {
		files = append(files, File{Name: serving.LauncherName, Data: in.Runtime.Launcher, Exec: true})
	}
	reqs, err := requirementFiles(in)
	if err != nil {
		return nil, err
	}
	files = append(files, reqs...)
	files = append(files, File{Name: ".dockerignore", Data: dockerignore(files)})
	copies, err := in.Copies.Files()
	return append(files, copies...), err
}

// dockerignore excludes everything from the context except what the Dockerfile copies, so that other
// files in the directory are neither sent to the builder nor break its cache.
func dockerignore(files []File) []byte {
	var b strings.Builder
	b.WriteString("*\n")
	for _, f := range files {
		if f.Name != "Dockerfile" {
			fmt.Fprintf(&b, "!%s\n", f.Name)
		}
	}
	for _, dir := range []string{extraCodeDir, modelDir, modelCodeDir, sourceDir, wheelsDir} {
		fmt.Fprintf(&b, "!%s\n", dir)
	}
	b.WriteString("**/__pycache__\n")
	return []byte(b.String())
}

// tidy removes superfluous blank lines that templates leave: at most one in a row, and none at either
// end.
func tidy(data []byte) []byte {
	var out []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		out = append(out, line)
	}
	return []byte(strings.TrimRight(strings.Join(out, "\n"), "\n") + "\n")
}
