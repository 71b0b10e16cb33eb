// Package gopackages_test is the whole of mlenv as a program that embeds it sees it.
package gopackages_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/base"
	"mlenv/imagebuild/base/basetest"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/sink"
	"mlenv/resolve"
	"mlenv/resolve/cache"
	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
	"mlenv/resolve/lock"
	"mlenv/resolve/model"
	"mlenv/resolve/serving"
)

// buildAndPush builds the image that serves the model in a directory, and pushes it.
func buildAndPush(ctx context.Context, dir, baseRef, indexURL, cacheDir, to string) (*imagebuild.Published, error) {
	m, err := model.Open(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		return nil, err
	}

	registries, remembered := image.Remote{}, cache.Open(cacheDir, time.Now)
	wanted := base.Request{Ref: baseRef, Python: spec.Python.Version, Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}}}
	bases, _, err := base.Find(ctx, wanted, base.Options{Remote: registries, Cache: remembered})
	if err != nil {
		return nil, err
	}
	targets := base.Targets(bases)

	client, err := index.New(index.Settings{Indexes: []string{indexURL}, CacheDir: cacheDir})
	if err != nil {
		return nil, err
	}
	problem, err := lock.FromSpec(spec, lock.Options{Targets: targets, ModelDir: dir, Dir: dir})
	if err != nil {
		return nil, err
	}
	l, err := lock.Solve(ctx, client, problem)
	if err != nil {
		return nil, err
	}

	contract, err := serving.ForModel(m, spec, l, serving.Choices{})
	if err != nil {
		return nil, err
	}
	recipe, err := imagebuild.Inputs{
		Locked:   imagebuild.Locked{Lock: l, Dir: dir, Files: client},
		Model:    imagebuild.Model{FS: m.FS, Code: m.CodeDirs()},
		Contract: contract,
	}.Recipe(bases[0])
	if err != nil {
		return nil, err
	}
	b := &imagebuild.Builder{Memo: remembered.Memos()}
	return imagebuild.Publish(ctx, b, []imagebuild.Recipe{recipe}, sink.Registry(to, sink.RegistryOptions{Remote: registries}))
}

// The whole tool: what docs/go-packages.md shows, against an index and a registry of this process.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	fail(err)
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{
		"MLmodel":          "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    python_version: 3.11.9\nmlflow_version: 3.1.0\n",
		"requirements.txt": "mlflow==3.1.0\nchurn\n",
	} {
		fail(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	tb := &exampleTB{}
	defer tb.end()
	packages := indextest.New(tb, indextest.Parse("mlflow 3.1.0: uvicorn, fastapi", "uvicorn 0.30.0", "fastapi 0.110.0", "churn 2.0")...)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	slim, err := basetest.Slim("3.11.9")
	fail(err)
	fail(crane.Push(slim, host+"/python:3.11.9-slim"))

	published, err := buildAndPush(context.Background(), dir, host+"/python:3.11.9-slim", packages.URL, filepath.Join(dir, ".cache"), host+"/churn:1")
	fail(err)
	pushed, _, _ := strings.Cut(published.Sent[0].Reference, "@")
	fmt.Println(strings.TrimPrefix(pushed, host))
	for _, layer := range published.Images[0].Contents {
		if !layer.Base {
			fmt.Println(layer.Holds)
		}
	}
	// Output:
	// /churn
	// virtual environment
	// mlflow-3.1.0-py3-none-any.whl
	// 2 wheels
	// uvicorn-0.30.0-py3-none-any.whl
	// lock and small files of the model
}

func fail(err error) {
	if err != nil {
		panic(err)
	}
}

// exampleTB is what the test index needs of a test.
type exampleTB struct {
	testing.TB
	undo []func()
}

func (*exampleTB) Helper()            {}
func (e *exampleTB) Cleanup(f func()) { e.undo = append(e.undo, f) }

func (e *exampleTB) end() {
	for _, f := range e.undo {
		f()
	}
}
