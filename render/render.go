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

// ParseInstaller reads the name of an installer. "" chooses: conda where the Spec has conda
// packages, else uv.
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
	Title         string        // what the model is called, for the comment at the top
	Spec          *resolve.Spec // the merged environment
	Lock          *pylock.Lock  // nil leaves the versions to the installer
	InstallerLock *pylock.Lock  // of uv itself; nil leaves its version open
	CondaExplicit []byte        // an explicit conda lock ("@EXPLICIT"), nil if none
	Index         string        // Simple index, without credentials; "": the installer's default
	ExtraIndexes  []string
	FindLinks     []string // pages; a folder of this machine is of no use in a build
	Runtime       *serving.Runtime
	Labels        []serving.Var
	Build         []resolve.Requirement // of packages that the lock leaves out: an index has them as source only
	Copies        Copies                // what the context holds besides, which is installed or copied into the image
}

// File is one file of a build context: its bytes, or where they come from.
type File struct {
	Name string // relative to the context, slash-separated
	Data []byte
	Open func() (io.ReadCloser, error) // gives the bytes; nil: they are Data
	Exec bool                          // it is a program: its mode is 0755, else 0644
	Dir  bool                          // it is a directory
}

// The directories of a build context that hold copies.
const (
	modelDir     = "model"
	modelCodeDir = "model-code"
	extraCodeDir = "extra-code"
	wheelsDir    = "wheels"
	sourceDir    = "source"
)

// Templates gives the built-in templates; the files of override replace those of the same name
// and may add others. Its data is Data.
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

// Context gives every file of the build context: the Dockerfile, its .dockerignore and what the
// installer reads, and the copies.
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

// dockerignore lets in what the Dockerfile copies and nothing that came to lie beside it.
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

// tidy takes out the blank lines that templates leave: never two in a row, none at either end.
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
