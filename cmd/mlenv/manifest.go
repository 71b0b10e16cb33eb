package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/image"
	"mlenv/render/deploy"
	"mlenv/resolve"
	"mlenv/resolve/model"
	"mlenv/resolve/serving"
)

// manifestOptions are the flags of manifest.
type manifestOptions struct {
	target  string
	image   string
	name    string
	workers int
	fetch   fetchOptions
}

func manifestCommand(a *app) *cli.Command {
	s, o := &flagSet{}, &manifestOptions{workers: 1}
	s.oneOf(&o.target, "target", "what is to run the image", append([]string{"kubernetes"}, withoutKubernetes()...)...)
	s.text(&o.image, "image", "the manifest's image is `REFERENCE` (default: IMAGE, by its digest)")
	s.text(&o.name, "name", "call the service `NAME` (default: as the model or the image is called)")
	s.number(&o.workers, "workers", "run `N` processes")
	o.fetch.bind(s)
	a.bindNetwork(s)
	return &cli.Command{
		Name:      "manifest",
		Usage:     "print the manifest that runs a model's image",
		ArgsUsage: "MODEL|IMAGE",
		Description: "Prints YAML that runs the image of MODEL, a directory or a URI, or IMAGE: a registry's REFERENCE,\n" +
			"oci:DIR, oci-tar:FILE or docker-tar:FILE. It has probes, a read-only root file system, no root\n" +
			"user, and the variables that the model wants as references to a Secret. Nothing is sent anywhere.\n" +
			"docs/runtime.md has the commands for platforms that take no manifest.",
		Flags:  s.flags,
		Action: s.action(func(ctx context.Context, args []string) error { return a.manifest(ctx, args, o) }),
	}
}

func withoutKubernetes() (out []string) {
	for _, t := range deploy.Targets() {
		if t != "kubernetes" {
			out = append(out, t)
		}
	}
	return out
}

func (a *app) manifest(ctx context.Context, args []string, o *manifestOptions) error {
	arg, err := oneArgument(args, "manifest", "MODEL or IMAGE")
	if err != nil {
		return err
	}
	if o.workers < 1 {
		return &usageError{msg: "--workers must be at least 1"}
	}
	in := deploy.Input{Name: o.name, Image: o.image, Port: serving.DefaultPort, Workers: o.workers}
	user := serving.DefaultUser
	if isModel(arg) {
		if err := a.ofModel(ctx, &in, arg, o.fetch); err != nil {
			return err
		}
	} else if user, err = a.ofImage(ctx, &in, arg); err != nil {
		return err
	}
	if err := setUser(&in, o.target, user); err != nil {
		return err
	}
	if in.Name = deploy.Name(in.Name); o.name != "" && in.Name != o.name {
		return &usageError{msg: fmt.Sprintf("--name %s cannot be the name of a service; %s could", o.name, in.Name)}
	}
	text, err := deploy.Manifest(o.target, in)
	if err == nil {
		_, err = a.stdout.Write(text)
	}
	return err
}

// setUser reads UID:GID. What says that no root may run is refused where the image's user is root.
func setUser(in *deploy.Input, target, user string) error {
	if t, err := serving.ParseTarget(target); err == nil {
		for _, f := range t.Refuses(serving.Shape{User: user, Serves: true, Port: t.Port, Docker: t.Docker}) {
			return &usageError{msg: f.Message, hint: "build the image with mlenv image --target " + target}
		}
	}
	uid, gid, _ := strings.Cut(user, ":")
	for _, n := range []struct {
		text string
		to   *uint32
	}{{uid, &in.UID}, {gid, &in.GID}} {
		id, err := strconv.ParseUint(n.text, 10, 32)
		if err != nil && n.text != "" {
			return &usageError{msg: fmt.Sprintf("the image's user %q is not given by number", user)}
		}
		*n.to = uint32(id)
	}
	return nil
}

// ofModel takes in what a model says.
func (a *app) ofModel(ctx context.Context, in *deploy.Input, name string, o fetchOptions) (err error) {
	if in.Image == "" {
		return &usageError{msg: "a model does not say where its image is: give --image REFERENCE, or the image instead of the model"}
	}
	m, err := a.openModel(ctx, name, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if in.Name == "" {
		if in.Name, err = imageName(m.Source); err != nil {
			return err
		}
	}
	in.ModelBytes, err = modelSize(m.FS)
	addVariables(in, m.Model)
	return err
}

func addVariables(in *deploy.Input, m *model.Model) {
	for _, v := range resolve.Variables(m) {
		in.Variables = append(in.Variables, v.Name)
	}
}

// ofImage takes in what an image says, and gives its user.
func (a *app) ofImage(ctx context.Context, in *deploy.Input, ref string) (user string, err error) {
	img, err := image.Open(ctx, ref, nil, a.remote())
	if err != nil {
		return "", err
	}
	shape, err := img.Shape()
	if err != nil {
		return "", err
	}
	if !shape.Serves || shape.Port == 0 {
		return "", &noSide{ref, "serves nothing: it names no command or no port"}
	}
	in.Port = shape.Port
	if in.Image == "" {
		if img.Name == "" {
			return "", &usageError{msg: "a manifest cannot name an image in files: give --image REFERENCE, where it was pushed to"}
		}
		in.Image = byDigest(img)
	}
	contents, err := image.Read(img)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", ref, err)
	}
	for _, v := range contents.Config.Config.Env {
		in.MLServer = in.MLServer || strings.HasPrefix(v, "MLSERVER_MODEL_URI=")
	}
	if in.Name == "" {
		in.Name = nameOf(contents.Config.Config.Labels["org.opencontainers.image.title"], ref)
	}
	if contents.Model == nil {
		return shape.User, nil
	}
	m, err := model.Read(contents.Model)
	if err != nil {
		return "", sideErrors(ref, err)
	}
	addVariables(in, m)
	if n, err := strconv.ParseInt(m.SizeBytes.Text, 10, 64); err == nil {
		in.ModelBytes = n // else MLflow did not record it
	}
	return shape.User, nil
}

// byDigest names an image of a registry so that it cannot change.
func byDigest(img *image.Image) string {
	name := img.Name
	if before, _, ok := strings.Cut(name, "@"); ok {
		name = before
	}
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		name = name[:at]
	}
	return name + "@" + img.Named
}

// nameOf is what a service is called: as the registered model, else as the image's repository or file.
func nameOf(title, ref string) string {
	if title != "" {
		return title
	}
	ref, _, _ = strings.Cut(ref, "@")
	base := ref[strings.LastIndexByte(filepath.ToSlash(ref), '/')+1:]
	base, _, _ = strings.Cut(base, ":")
	return base
}
