package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"
)

const imageName = "mlenv-demo:words"

// client asks for the prediction from inside of the container, so that no port and no network has
// to be opened.
const client = `import sys, urllib.request as u
r = u.Request("http://127.0.0.1:8080/invocations", sys.argv[1].encode(), {"Content-Type": "application/json"})
print(u.urlopen(r, timeout=30).read().decode())`

// engine finds a container engine that answers, "" if there is none.
func (d *demo) engine() string {
	for _, name := range []string{"docker", "podman"} {
		if d.start(name, "info").err == nil {
			return name
		}
	}
	return ""
}

// predict starts the first image and compares its prediction with the one that Python gave.
func (d *demo) predict() error {
	began := time.Now()
	engine := d.engine()
	if engine == "" {
		d.out.note("run", "not done: no container engine answers here (asked docker and podman)")
		return nil
	}
	request, want, err := expected()
	if err != nil {
		return err
	}
	if err := os.CopyFS(d.path("model-1"), os.DirFS(example)); err != nil {
		return err
	}
	tar := d.path("image.tar")
	args := []string{"image", d.path("model-1"), "--lock", d.path("pylock.toml"), "-o", "docker-tar:" + tar, "--name", imageName}
	if run := d.mlenv("run", append(args, d.on...)...); run.err != nil {
		return run.failure()
	}
	if run := d.live("run", engine+" loads the image", engine, "load", "-i", tar); run.err != nil {
		d.out.note("run", "not done: "+engine+" is here but cannot load images: "+run.lastLine())
		return nil
	}
	defer d.cleanUp(engine, "rmi", imageName)
	run := d.live("run", engine+" starts the image", engine, "run", "-d", "--network", "none", imageName)
	id := strings.TrimSpace(run.stdout)
	if id != "" {
		defer d.cleanUp(engine, "rm", "-f", id)
	}
	if run.err != nil {
		d.out.note("run", "not done: "+engine+" is here but cannot start containers: "+run.lastLine())
		return nil
	}
	answer, err := d.ask(engine, id, request)
	if err != nil {
		return err
	}
	var got any
	if err := json.Unmarshal([]byte(answer), &got); err != nil || !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the image predicts %s, but Python %v", answer, want)
	}
	d.out.row("run", fmt.Sprintf("started by %s without a network; /invocations answers as Python did:", engine), time.Since(began))
	d.out.more(answer)
	return nil
}

// cleanUp runs a command although the demo may have been interrupted.
func (d *demo) cleanUp(name string, args ...string) {
	again := *d
	again.ctx = context.WithoutCancel(d.ctx)
	again.start(name, args...)
}

// expected reads the example's request and Python's response to it.
func expected() (request string, want any, err error) {
	data, err := os.ReadFile("examples/predictions.json")
	if err != nil {
		return "", nil, err
	}
	var all map[string]struct {
		Request  json.RawMessage
		Response any
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return "", nil, fmt.Errorf("reading predictions.json: %w", err)
	}
	one, ok := all["skinny"]
	if !ok {
		return "", nil, fmt.Errorf("predictions.json has nothing for skinny")
	}
	return string(one.Request), one.Response, nil
}

// ask waits until the server in a container answers. It does not wait for one that has ended.
func (d *demo) ask(engine, id, request string) (string, error) {
	d.out.status("run", "waiting for the server")
	for deadline := time.Now().Add(3 * time.Minute); ; {
		run := d.start(engine, "exec", id, "/opt/venv/bin/python", "-c", client, request)
		if run.err == nil {
			return strings.TrimSpace(run.stdout), nil
		}
		alive := strings.TrimSpace(d.start(engine, "inspect", "-f", "{{.State.Running}}", id).stdout) == "true"
		if !alive || time.Now().After(deadline) || d.ctx.Err() != nil {
			logs := d.start(engine, "logs", id)
			return "", fmt.Errorf("the container does not answer: %s\n%s%s", run.lastLine(), logs.stdout, logs.stderr)
		}
		select {
		case <-d.ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}
