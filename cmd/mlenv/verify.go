package main

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/compile"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/verify"
	"mlenv/render/printable"
	"mlenv/resolve"
	"mlenv/resolve/pylock"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	key      string
	rebuild  bool
	format   string
	policy   string
	platform string
	base     string
	jobs     int
	compile  string
	index    indexOptions
}

func verifyCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &verifyOptions{jobs: 4}
	s.text(&o.key, "key", "the image must be signed by the owner of the public key `FILE`")
	s.on(&o.rebuild, "rebuild", "make the image again of what it says that it was made of, and compare every byte")
	s.oneOf(&o.format, "format", "what is printed on stdout", "text", "json")
	s.text(&o.policy, "policy", "demand what the policy `FILE` lists under verify (docs/policy.md)")
	s.text(&o.platform, "platform", "verify the image for `OS/ARCH` (default: the only one, else linux/amd64)")
	s.text(&o.base, "base", "with --rebuild: take the base from `IMAGE` instead of where the image says")
	s.optional(&o.compile, "compile", "with --rebuild, of an image that was built with --compile: run the base's Python, confined, as that did; "+
		"--compile=unconfined where the kernel cannot confine it", compileNot, compileConfined, compileUnconfined)
	s.number(&o.jobs, "jobs", "with --rebuild: make `N` layers at once")
	s.secret(&o.index.url, "index-url", "with --rebuild: use the credentials of the index `URL`")
	s.secrets(&o.index.extra, "extra-index-url", "with --rebuild: use the credentials of the index `URL` too")
	s.on(&o.index.offline, "offline", "with --rebuild: take wheels from the cache alone")
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "verify",
		Usage:     "prove that an image is what it claims to be",
		ArgsUsage: "IMAGE",
		Description: "Checks the signature of IMAGE and the documents that are attached to it by --key, and that its labels\n" +
			"fit its lock. With --rebuild it trusts nobody: it takes lock, base, model and settings out of the\n" +
			"image, fetches the wheels by their hashes, makes every layer again and compares the digests; if they\n" +
			"differ it names the layer, the file and the byte. IMAGE is a registry's REFERENCE, oci:DIR or\n" +
			"oci-tar:FILE. Exits with 0 if all that is demanded is proven, with 2 if something is not, and with 1\n" +
			"if it could not be tried. docs/trust.md says what each proof is worth.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.verify(ctx, args, o) }),
	}
}

// verifyRun is one run of verify.
type verifyRun struct {
	*app
	o        *verifyOptions
	key      crypto.PublicKey
	demanded []string // names of checks that must be proven
	img      *image.Image
	progress *progress
	report   verifyReport
}

// verifyReport is what --format json prints.
type verifyReport struct {
	Image       string              `json:"image"`
	Digest      string              `json:"digest"`
	Proven      bool                `json:"proven"` // all that is demanded
	Demanded    []string            `json:"demanded"`
	Checks      []verify.Check      `json:"checks"`
	Differences []verify.Difference `json:"differences,omitempty"`
}

func (a *app) verify(ctx context.Context, args []string, o *verifyOptions) error {
	name, err := oneArgument(args, "verify", "IMAGE")
	if err != nil {
		return err
	}
	r := &verifyRun{app: a, o: o}
	if err := r.demands(); err != nil {
		return err
	}
	var platform *v1.Platform
	if o.platform != "" {
		if platform, err = v1.ParsePlatform(o.platform); err != nil {
			return &usageError{msg: fmt.Sprintf("--platform %s is not of the form OS/ARCH", o.platform)}
		}
	}
	if r.img, err = image.Open(ctx, name, platform, a.remote()); err != nil {
		return err
	}
	// A Docker tarball has no manifest, so there is nothing that a signature or a rebuild could have.
	if r.img.Digest == "" {
		return &usageError{msg: name + " has no digest that could be verified: it is a Docker tarball"}
	}
	r.report.Image, r.report.Digest = printable.Line(name), r.img.Digest
	r.progress = a.newProgress(o.format == "json")
	defer r.progress.close()
	untried, err := r.check(ctx)
	r.progress.close()
	if err != nil {
		return err
	}
	return r.finish(untried)
}

// demands finds what must be proven.
func (r *verifyRun) demands() (err error) {
	policy, err := readPolicy(r.o.policy)
	if err != nil {
		return err
	}
	if r.key, err = publicKey(r.o.key); err != nil {
		return err
	}
	// Labels cost nothing to check, and one that names another lock is always a sign of tampering.
	r.demanded = []string{verify.Labels}
	if r.key != nil {
		r.demanded = append(r.demanded, verify.Signature)
	}
	if r.o.rebuild {
		r.demanded = append(r.demanded, verify.Rebuilt)
	}
	if policy != nil {
		r.demanded = append(r.demanded, policy.Verify...)
	}
	slices.Sort(r.demanded)
	r.demanded = slices.Compact(r.demanded)
	// A policy may demand rebuilding that no flag asks for.
	r.o.rebuild = slices.Contains(r.demanded, verify.Rebuilt)
	switch {
	case len(r.demanded) == 1:
		return &usageError{msg: "nothing is to be verified: give --key, --rebuild or a --policy that demands something"}
	case r.key == nil && slices.ContainsFunc(r.demanded, func(d string) bool { return d != verify.Labels && d != verify.Rebuilt }):
		return &usageError{msg: "the policy demands what is signed, and there is no --key"}
	}
	return nil
}

// check does all checks. untried is the reason why one of them could not be done.
func (r *verifyRun) check(ctx context.Context) (untried error, err error) {
	in, err := image.Read(r.img)
	if err != nil {
		// A layer whose bytes were changed in the registry cannot even be read. That is no reason to say
		// that nothing could be tried.
		if damaged := verify.Damaged(r.img); len(damaged) > 0 {
			r.report.Differences = damaged
			r.add(verify.Check{Name: verify.Rebuilt, Status: verify.Failed, Detail: damaged[0].String()})
			r.demanded = append(r.demanded, verify.Rebuilt)
			return nil, nil
		}
		return nil, err
	}
	if r.key != nil {
		if r.img.Name == "" {
			return nil, &usageError{msg: "--key is for images in registries, where signatures lie beside them"}
		}
		checks, err := verify.Attached(ctx, r.img, in, r.key, r.remote())
		if err != nil {
			return nil, err
		}
		r.add(checks...)
	}
	r.add(verify.LabelsFit(in))
	if r.o.rebuild {
		untried = r.rebuild(ctx)
	}
	return untried, nil
}

func (r *verifyRun) add(checks ...verify.Check) { r.report.Checks = append(r.report.Checks, checks...) }

// rebuild makes the image again. The error is the reason why that could not be done.
func (r *verifyRun) rebuild(ctx context.Context) (err error) {
	cacheDir, err := r.cache()
	if err != nil {
		return err
	}
	// The cache's disk has room for models; that of temporary files is often memory.
	models, err := cacheDir.Models()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(models, "verify-*")
	if err != nil {
		return fmt.Errorf("making room for the model: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var compiler func(*base.Found) (*compile.Compiler, error)
	if r.o.compile != compileNot {
		compiler = func(b *base.Found) (*compile.Compiler, error) { return r.compiler(b, r.o.compile, r.o.jobs) }
	}
	r.report.Differences, err = verify.Rebuild(ctx, r.img, verify.Options{
		Compiler: compiler,
		Base:     r.o.base, Bases: base.Options{Remote: r.remote(), Cache: cacheDir, HostDirs: r.pythonDirs()},
		// The wheels' URLs are in the lock; the index's settings serve for the credentials alone. The image's
		// own settings have no say in where this machine asks.
		Files: func(l *pylock.Lock) (imagebuild.Files, error) {
			r.o.index.keep(l)
			return r.indexClient(r.o.index, &inputs{Spec: &resolve.Spec{}}, r.progress.index)
		},
		Dir: dir, Jobs: r.o.jobs, Progress: r.progress.build,
	})
	// That it could not be tried is a result too: the report shows it beside the other checks.
	c := verify.Check{Name: verify.Rebuilt, Status: verify.Proven, Detail: "making it again gives the same bytes"}
	switch {
	case err != nil:
		c.Status, c.Detail = verify.Untried, err.Error()
	case len(r.report.Differences) > 0:
		c.Status, c.Detail = verify.Failed, r.report.Differences[0].String()
	}
	r.add(c)
	return err
}

// finish prints the report, and says by its error whether all that is demanded is proven.
func (r *verifyRun) finish(untried error) error {
	failed := 0
	for _, name := range r.demanded {
		i := slices.IndexFunc(r.report.Checks, func(c verify.Check) bool { return c.Name == name })
		if i >= 0 && (r.report.Checks[i].Status == verify.Failed || r.report.Checks[i].Status == verify.Missing) {
			failed++
		}
	}
	r.report.Demanded = r.demanded
	r.report.Proven = failed == 0 && untried == nil
	if err := r.print(); err != nil {
		return err
	}
	// What is proven wrong weighs more than what could not be tried.
	if failed > 0 {
		return &findingsError{count: failed}
	}
	return untried
}

// print writes the report to stdout.
func (r *verifyRun) print() error {
	if r.o.format == "json" {
		text, err := json.MarshalIndent(r.report, "", "  ")
		if err == nil {
			_, err = r.stdout.Write(append(text, '\n'))
		}
		return err
	}
	s := r.painter(r.stdout)
	for _, c := range r.report.Checks {
		mark := ""
		if !slices.Contains(r.demanded, c.Name) {
			mark = " (not demanded)"
		}
		colour := map[verify.Status]colour{verify.Proven: green, verify.Failed: red, verify.Missing: yellow, verify.Untried: yellow}[c.Status]
		if _, err := fmt.Fprintf(r.stdout, "%-10s  %s%s: %s\n", c.Name, s(colour, string(c.Status)), mark, printable.Line(c.Detail)); err != nil {
			return err
		}
	}
	for i, d := range r.report.Differences {
		if i == 0 {
			continue // the check names it
		}
		if _, err := fmt.Fprintf(r.stdout, "            %s\n", printable.Line(d.String())); err != nil {
			return err
		}
	}
	return nil
}
