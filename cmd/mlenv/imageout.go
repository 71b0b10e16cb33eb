package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild"
	"mlenv/imagebuild/sink"
	"mlenv/resolve"
)

// namedSink is a sink with what to call it in messages.
type namedSink struct {
	name string
	send sink.Sink
}

// sinks gives the sinks that the flags name; name is the image's where nobody gave one.
func (a *app) sinks(c *cli.Context, name string, flags imageFlags, show *progress) ([]namedSink, error) {
	pushes, outputs := c.StringSlice("push"), c.StringSlice("output")
	tag := c.String("name")
	if tag == "" && len(pushes) > 0 {
		tag, _, _ = strings.Cut(pushes[0], "@")
	}
	if tag == "" {
		tag = name
	}
	if at := strings.LastIndexAny(tag, ":/"); at < 0 || tag[at] == '/' {
		tag += ":latest"
	}
	cache, err := a.cacheDir()
	if err != nil {
		return nil, err
	}
	var out []namedSink
	for _, ref := range pushes {
		out = append(out, namedSink{ref, sink.Registry(ref, sink.RegistryOptions{
			Keychain: a.keychain(), Transport: a.registryTransport(), Jobs: flags.jobs, UserAgent: userAgent(), Backoff: a.backoff,
			Progress: show.bytes, Places: &sink.Places{Dir: filepath.Join(cache, "places-v1")},
		})})
	}
	if len(pushes)+len(outputs) == 0 && !c.Bool("load") {
		file := name + ".oci.tar"
		fmt.Fprintf(a.stderr, "none of --push, --output and --load is given: writing %s\n", file)
		outputs = []string{"oci-tar:" + file}
	}
	for _, text := range outputs {
		s, err := outputSink(text, tag)
		if err != nil {
			return nil, &usageError{msg: err.Error(), command: c.Command.Name}
		}
		out = append(out, namedSink{text, s})
	}
	if c.Bool("load") {
		host, err := a.engine()
		if err != nil {
			return nil, err
		}
		out = append(out, namedSink{"the engine at " + host, sink.Daemon(host, tag)})
	}
	return out, nil
}

func outputSink(text, tag string) (sink.Sink, error) {
	kind, place, _ := strings.Cut(text, ":")
	if place != "" {
		switch kind {
		case "oci":
			return sink.Layout(place, tag), nil
		case "oci-tar":
			return sink.OCITar(place, tag), nil
		case "docker-tar":
			return sink.DockerTar(place, tag), nil
		}
	}
	return nil, fmt.Errorf("--output %q is not oci:DIR, oci-tar:FILE or docker-tar:FILE", text)
}

// engine finds the API of a running engine: DOCKER_HOST, or the first socket of Docker or podman.
func (a *app) engine() (string, error) {
	if host := a.env("DOCKER_HOST"); host != "" {
		return host, nil
	}
	sockets := []string{"/var/run/docker.sock"}
	if dir := a.env("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman/podman.sock"))
	}
	for _, name := range append(sockets, "/run/podman/podman.sock") {
		if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeSocket != 0 {
			return "unix://" + name, nil
		}
	}
	return "", &noEngine{}
}

// noEngine says that --load found nothing to load into.
type noEngine struct{}

func (*noEngine) Error() string {
	return "no running Docker or podman was found to load the image into"
}

// imageReport is what --format json prints.
type imageReport struct {
	References []string          `json:"references"`
	Digest     string            `json:"digest"`
	Size       int64             `json:"size"`      // bytes of all layers, compressed, each once
	BytesSent  int64             `json:"bytesSent"` // to all sinks
	Layers     []reportedLayer   `json:"layers"`
	Findings   []resolve.Finding `json:"findings"`
}

type reportedLayer struct {
	Platform string `json:"platform,omitempty"` // where there are several
	imagebuild.Layer
	Status string `json:"status"` // base, reused or new
}

func (r *imageRun) print(b *built, sent []sink.Sent) error {
	if r.c.String("format") != "json" {
		for _, s := range sent {
			if _, err := fmt.Fprintln(r.stdout, s.Reference); err != nil {
				return err
			}
		}
		return nil
	}
	digest, err := b.artifact.Digest()
	if err != nil {
		return err
	}
	out := imageReport{Digest: digest.String(), References: []string{}, Layers: r.layers, Findings: r.findings}
	for _, s := range sent {
		out.References = append(out.References, s.Reference)
		out.BytesSent += s.Bytes
	}
	seen := map[string]bool{}
	for _, l := range r.layers {
		if !seen[l.Digest.String()] {
			seen[l.Digest.String()] = true
			out.Size += l.Size
		}
	}
	if out.Findings == nil {
		out.Findings = []resolve.Finding{}
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = r.stdout.Write(append(text, '\n'))
	return err
}

// describe notes what the images' layers are.
func describe(b *built) ([]reportedLayer, error) {
	var out []reportedLayer
	for _, img := range b.images {
		config, err := img.ConfigFile()
		if err != nil {
			return nil, err
		}
		for _, l := range img.Contents {
			one := reportedLayer{Layer: l, Status: "new"}
			switch {
			case l.Base:
				one.Status = "base"
			case l.Reused:
				one.Status = "reused"
			}
			if len(b.images) > 1 {
				one.Platform = config.Platform().String()
			}
			out = append(out, one)
		}
	}
	return out, nil
}
