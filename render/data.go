package render

import (
	"fmt"
	"slices"
	"strings"

	"mlenv/resolve"
	"mlenv/resolve/serving"
)

// Names of the files in a build context.
const (
	pylockFile     = "pylock.toml"
	lockedFile     = "requirements.lock"
	openFile       = "requirements.txt"
	buildFile      = "build-requirements.txt"
	installerFile  = "installer.txt"
	sourceFile     = "source-requirements.txt"
	constraintFile = "constraints.txt"
	condaFile      = "environment.yml"
	explicitFile   = "conda-explicit.txt"
)

// Data is the data of a template. It embeds the runtime contract: .Entrypoint, .Launcher, .Env (a
// list of .Name and .Value), .PathPrefix, .Port, .Healthcheck, .StopSignal, .User and .WorkingDir.
type Data struct {
	serving.Runtime

	Title        string     // the model's name, "" if unknown
	Base         string     // image reference
	BuildCommand string     // the command that builds the image
	Notes        [][]string // paragraphs for the comment at the top

	SystemPackages []resolve.SystemPackage
	Labels         []serving.Var

	Paths
	Files

	NetworkSecret bool   // packages come from an index other than the default, which may need credentials
	SecretMount   string // the RUN option that mounts the credentials, with a space before it

	Health
}

// Paths are the locations of files in the image and in the context.
type Paths struct {
	Venv, ModelPath, CodePath string
	LauncherName              string // file name in the context, if .Launcher is not empty; it is copied to Venv's bin
	ModelCode                 bool   // the context has model-code/, laid out as below ModelPath
	ExtraCode                 bool   // the context has extra-code/
}

// Files are the files in the context that the installer reads.
type Files struct {
	Locked          bool   // versions and hashes are pinned
	LockFile        string // what the installer reads; "" if conda installs everything
	BuildFile       string // build dependencies, "" if none
	InstallerFile   string // requirements that install uv
	InstallerLocked bool   // InstallerFile has hashes
	SourceFile      string // requirements that must be built from source, "" if none
	SourceTrees     bool   // the context has source/
	SSH             bool   // some requirements in SourceFile are fetched over ssh
	ConstraintFile  string // constraints that keep SourceFile from changing locked versions, "" if nothing is locked
	LocalWheels     bool   // the context has wheels/
	CondaFile       string
	CondaExplicit   string // an explicit lock, "" if none
}

// Health describes the health check of the container.
type Health struct {
	HealthInterval, HealthTimeout, HealthStartPeriod, HealthRetries int
}

func newData(in Input) Data {
	src := append(splitSources(in.Spec), in.Build...)
	d := Data{
		Runtime: *in.Runtime,
		Title:   in.Title, Base: in.Base,
		Paths: Paths{
			Venv: serving.Venv, ModelPath: serving.ModelPath, CodePath: serving.CodePath,
			LauncherName: serving.LauncherName,
			ModelCode:    len(in.Copies.ModelCode) > 0, ExtraCode: len(in.Copies.ExtraCode) > 0,
		},
		SystemPackages: in.Spec.SystemPackages, Labels: in.Labels,
		Files: Files{
			Locked:        in.Lock != nil,
			InstallerFile: installerFile, InstallerLocked: in.InstallerLock != nil,
			LocalWheels: len(in.Copies.Wheels) > 0,
			SourceTrees: len(SourceTrees(in.Spec)) > 0,
			CondaFile:   condaFile,
		},
		Health: Health{
			HealthInterval: serving.HealthInterval, HealthTimeout: serving.HealthTimeout,
			HealthStartPeriod: serving.HealthStartPeriod, HealthRetries: serving.HealthRetries,
		},
	}
	if len(in.Spec.BuildDependencies) > 0 {
		d.BuildFile = buildFile
	}
	d.LockFile = openFile
	switch {
	case in.Installer == Conda:
		d.Locked, d.LockFile, d.BuildFile = false, "", ""
		if in.CondaExplicit != nil {
			d.CondaExplicit = explicitFile
			if len(in.Spec.Requirements) > 0 {
				d.LockFile = openFile
			}
		}
	case d.Locked && in.Installer == UV && !in.Lock.Signed():
		d.LockFile = pylockFile
	case d.Locked:
		d.LockFile = lockedFile
	}
	if in.Installer != Conda && len(src) > 0 {
		d.SourceFile = sourceFile
		if d.Locked {
			d.ConstraintFile = constraintFile
		}
	}
	d.secrets(in)
	if d.SSH = d.SourceFile != "" && NeedsSSH(in.Spec); d.SSH {
		d.BuildCommand = strings.Replace(d.BuildCommand, "docker build ", "docker build --ssh default ", 1)
	}
	d.notes(in, src)
	return d
}

// NeedsSSH reports whether a requirement is fetched over ssh, so that a build needs the keys of an agent
// (docker build --ssh).
func NeedsSSH(s *resolve.Spec) bool {
	return slices.ContainsFunc(s.Requirements, func(r resolve.Requirement) bool {
		scheme, _, _ := strings.Cut(strings.ToLower(r.URL), ":")
		return strings.HasSuffix(scheme, "+ssh")
	})
}

func (d *Data) secrets(in Input) {
	d.BuildCommand = "DOCKER_BUILDKIT=1 docker build -t NAME:TAG ."
	if in.Index == "" && len(in.ExtraIndexes) == 0 && len(in.FindLinks) == 0 {
		return
	}
	d.NetworkSecret = true
	d.SecretMount = " --mount=type=secret,id=netrc,target=/root/.netrc"
	d.BuildCommand = "DOCKER_BUILDKIT=1 docker build --secret id=netrc,src=$HOME/.netrc -t NAME:TAG ."
}

func (d *Data) notes(in Input, src []resolve.Requirement) {
	if len(in.Spec.EnvironmentVariables) > 0 {
		d.Notes = append(d.Notes, append([]string{"The model wants these set when the container runs; it records no values:"},
			indent(in.Spec.EnvironmentVariables)...))
	}
	if d.SourceFile != "" {
		var names []string
		for _, r := range src {
			names = append(names, strings.TrimSpace(fmt.Sprintf("%s%s %s%s", r.Name, r.Specifier, r.URL, r.Path)))
		}
		d.Notes = append(d.Notes, append([]string{"These come as source and are built here, their own dependencies not locked:"},
			indent(names)...))
	}
	if in.Installer == Conda && in.CondaExplicit == nil {
		d.Notes = append(d.Notes, []string{"conda solves anew at every build. For the same packages each time, give mlenv",
			"an explicit lock of conda made by 'micromamba env export --explicit'."})
	}
}

func indent(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = "  " + l
	}
	return out
}
