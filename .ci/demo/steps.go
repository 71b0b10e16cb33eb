package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// build makes the binary from the repository.
func (d *demo) build() error {
	run := d.live("build", "compiling", "go", "build", "-trimpath", "-o", d.path("mlenv"), "./cmd/mlenv")
	if run.err != nil {
		return run.failure()
	}
	info, err := os.Stat(d.path("mlenv"))
	if err != nil {
		return err
	}
	d.out.row("build", bytes(info.Size())+", one binary; no daemon, no Python and no root from here on", run.took)
	return nil
}

// mlenv runs the binary; it succeeds with the exit codes 0 and, where findings are expected, 2.
func (d *demo) mlenv(label string, args ...string) *process {
	return d.live(label, strings.Join(args[:1], ""), d.path("mlenv"), args...)
}

func (d *demo) resolve() error {
	run := d.mlenv("resolve", "resolve", d.path("model"), "--format", "json")
	var spec struct {
		Python            struct{ Version string }
		Requirements      []json.RawMessage
		BuildDependencies []json.RawMessage
	}
	if err := run.read(&spec); err != nil {
		return err
	}
	d.out.row("resolve", fmt.Sprintf("Python %s, %d requirements, %d build dependencies, and where each is said",
		spec.Python.Version, len(spec.Requirements), len(spec.BuildDependencies)), run.took)
	return nil
}

type checked struct {
	Findings []struct{ Severity, Message string }
}

// check checks the model, which is fine, and one that is not, to show a finding.
func (d *demo) check() error {
	run := d.mlenv("check", "check", d.path("model"), "--format", "json")
	var good, bad checked
	if err := run.read(&good); err != nil {
		return err
	}
	d.out.row("check", fmt.Sprintf("%s here; %d in %s, whose files were made to disagree:",
		plural(len(good.Findings), "finding"), mustFind(d, &bad), flawed), run.took)
	for _, f := range bad.Findings {
		if f.Severity == "error" {
			message, _, _ := strings.Cut(f.Message, ";")
			d.out.more("error: " + message)
			break
		}
	}
	return nil
}

func mustFind(d *demo, into *checked) int {
	run := d.start(d.path("mlenv"), "check", flawed, "--format", "json")
	_ = json.Unmarshal([]byte(run.stdout), into) // exit code 2 by intention
	return len(into.Findings)
}

var packages = regexp.MustCompile(`\d+ packages?`)

func (d *demo) lock() error {
	base, err := d.chooseBase()
	if err != nil {
		return err
	}
	args := func() []string {
		return append([]string{"lock", d.path("model"), "-o", d.path("pylock.toml")}, d.on...)
	}
	run := d.mlenv("lock", args()...)
	if run.err != nil && d.anyPython() {
		run = d.mlenv("lock", args()...)
		base += " " + d.on[len(d.on)-1]
	}
	if run.err != nil {
		return run.failure()
	}
	count := packages.FindString(run.stdout + run.stderr)
	d.out.row("lock", count+" with hashes, for the base's Python and libc", run.took)
	d.out.more("base: " + base)
	return nil
}

// dockerfile writes what docker build would need. It needs no base that exists here.
func (d *demo) dockerfile() error {
	args := []string{"dockerfile", d.path("model"), "--lock", d.path("pylock.toml"), "-o", d.path("context")}
	if len(d.on) > 2 {
		args = append(args, d.on[2:]...)
	}
	run := d.mlenv("dockerfile", args...)
	if run.err != nil {
		return run.failure()
	}
	text, err := os.ReadFile(filepath.Join(d.path("context"), "Dockerfile"))
	if err != nil {
		return err
	}
	d.out.row("dockerfile", fmt.Sprintf("%s, %d lines, for those who must run docker build",
		filepath.Join(d.path("context"), "Dockerfile"), strings.Count(string(text), "\n")), run.took)
	return nil
}

// report is what mlenv image --format json prints.
type report struct {
	Digest          string
	Size, BytesSent int64
	Layers          []struct {
		Holds, Status, Digest string
		Size                  int64
	}
}

// push builds the model and pushes it, and makes sure that the registry has what was reported.
func (d *demo) push(label, tag string) (r report, took time.Duration, err error) {
	args := []string{"image", d.path("model"), "--lock", d.path("pylock.toml"), "--push", d.registry + "/words:" + tag, "--format", "json"}
	run := d.mlenv(label, append(args, d.on...)...)
	if err := run.read(&r); err != nil {
		return r, 0, err
	}
	got, err := d.tagged(tag)
	if err == nil && got != r.Digest {
		err = fmt.Errorf("the registry has %s, but mlenv reported %s", got, r.Digest)
	}
	return r, run.took, err
}

func (d *demo) image() (err error) {
	r, took, err := d.push("image", "1")
	if err != nil {
		return err
	}
	d.first = r
	d.out.row("image", fmt.Sprintf("%d layers, %s, pushed to %s/words:1", len(r.Layers), bytes(r.Size), d.registry), took)
	for _, g := range grouped(r) {
		d.out.bar(g.name, g.size, r.Size)
	}
	d.out.digest(r.Digest)
	return nil
}

// again builds the same once more.
func (d *demo) again() error {
	r, took, err := d.push("again", "1")
	if err != nil {
		return err
	}
	if r.Digest != d.first.Digest {
		return fmt.Errorf("the second build gave %s instead of %s", r.Digest, d.first.Digest)
	}
	kept := 0
	for _, l := range r.Layers {
		if l.Status != "new" {
			kept++
		}
	}
	d.out.row("again", fmt.Sprintf("the same digest; %d of %d layers not even looked at, %s pushed", kept, len(r.Layers), bytes(r.BytesSent)), took)
	return nil
}

var runID = regexp.MustCompile(`(?m)^(run_id|model_uuid|model_id|utc_time_created): .*$`)

// retrain gives the model other bytes and another run, as training it again does.
func (d *demo) retrain() error {
	change := func(name string, edit func(string) string) error {
		file := filepath.Join(d.path("model"), name)
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		now := edit(string(old))
		if now == string(old) {
			return fmt.Errorf("retraining has not changed %s", file)
		}
		return os.WriteFile(file, []byte(now), 0o644)
	}
	err := change("words.py", func(s string) string { return strings.Replace(s, "len(t.split())", "len(set(t.split()))", 1) })
	if err != nil {
		return err
	}
	fresh := map[string]string{"run_id": "0123456789abcdef0123456789abcdef", "utc_time_created": "'2026-12-01 09:00:00.000000'"}
	err = change("MLmodel", func(s string) string {
		return runID.ReplaceAllStringFunc(s, func(line string) string {
			key, _, _ := strings.Cut(line, ":")
			if value, ok := fresh[key]; ok {
				return key + ": " + value
			}
			return key + ": m-0123456789abcdef0123456789abcdef"
		})
	})
	if err != nil {
		return err
	}
	r, took, err := d.push("retrain", "2")
	if err != nil {
		return err
	}
	if r.Digest == d.first.Digest {
		return fmt.Errorf("the retrained model has the digest of the old one")
	}
	d.out.row("retrain", fmt.Sprintf("other model bytes, another run id: %s pushed of %s", bytes(r.BytesSent), bytes(r.Size)), took)
	return nil
}

type group struct {
	name string
	size int64
}

// grouped sums the layers up in a few lines, from the bottom of the image.
func grouped(r report) []group {
	var baseSum, small int64
	var bases, smalls, wheels int
	var big, own []group
	for _, l := range r.Layers {
		project, _, whole := strings.Cut(strings.TrimSuffix(l.Holds, ".whl"), "-")
		var n int
		switch _, err := fmt.Sscanf(l.Holds, "%d wheels", &n); {
		case l.Status == "base":
			baseSum += l.Size
			bases++
		case strings.HasSuffix(l.Holds, ".whl") && whole:
			version, _, _ := strings.Cut(strings.TrimPrefix(l.Holds, project+"-"), "-")
			big = append(big, group{project + " " + version, l.Size})
		case err == nil:
			small += l.Size
			smalls++
			wheels += n
		default:
			own = append(own, group{l.Holds, l.Size})
		}
	}
	out := []group{{fmt.Sprintf("base (%s)", plural(bases, "layer")), baseSum}}
	out = append(out, big...)
	if smalls > 0 {
		out = append(out, group{fmt.Sprintf("%d small wheels (%s)", wheels, plural(smalls, "layer")), small})
	}
	// The model's layers, and the few bytes of the empty environment with them.
	last := group{name: "model, lock, venv"}
	for _, g := range own {
		last.size += g.size
	}
	return append(out, last)
}
