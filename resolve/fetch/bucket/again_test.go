package bucket

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"mlenv/resolve/cache"
	"mlenv/resolve/fetch"
	"mlenv/resolve/fetch/fetchtest"
)

// weights opens a model of a fake with the memory below a directory, and reads its weights.
func (c cloud) weights(t *testing.T, f *fake, path, dir string) string {
	t.Helper()
	o := options(t)
	d := cache.Open(dir, nil)
	o.Memory = d.Fetched()
	var err error
	if o.Dir, err = d.Models(); err != nil {
		t.Fatal(err)
	}
	m, err := c.open(t, f, path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	data, err := fs.ReadFile(m.FS, "model.pkl")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// md5InParts is the tag that S3 gives what is uploaded in parts.
func md5InParts(text string, size int) string {
	var all []byte
	n := 0
	for ; len(text) > 0; n++ {
		part := text[:min(size, len(text))]
		text = text[len(part):]
		sum := md5.Sum([]byte(part))
		all = append(all, sum[:]...)
	}
	sum := md5.Sum(all)
	return fmt.Sprintf("%s-%d", hex.EncodeToString(sum[:]), n)
}

// TestAgain opens a model twice: the second time costs the listing alone, and nothing is fetched. Of a model that was
// trained again the weights are not fetched where the store lists a hash of them that was found to be one: an MD5, or that
// of the parts of an upload. Where its tags only look like hashes, or are none, they are fetched, and are the right ones.
func TestAgain(t *testing.T) {
	const size = 9 << 20
	same := fetchtest.Model(size)["model.pkl"]
	other := strings.Repeat("others! ", size/8)
	hidden := md5.Sum([]byte("the same for both"))
	for name, tt := range map[string]struct {
		cloud   string
		tag     string // of the weights in both models; "": that of the content
		retrain string // the weights of the second model
		fetched bool   // they are
	}{
		"s3, same":               {"s3", "", same, false},
		"s3, other":              {"s3", "", other, true},
		"s3, in parts":           {"s3", md5InParts(same, 8<<20), same, false},
		"s3, in parts of MLflow": {"s3", md5InParts(same, 5<<20), same, false},
		"s3, in odd parts":       {"s3", md5InParts(same, 7<<20), same, true},
		"s3, encrypted":          {"s3", hex.EncodeToString(hidden[:]), other, true},
		"s3, counting":           {"s3", "1", other, true},
		"gs, same":               {"gs", "", same, false},
		"gs, other":              {"gs", "", other, true},
		"azure":                  {"azure", "1", other, true},
		"data lake":              {"data lake", "", same, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := clouds[tt.cloud]
			f := newFake(t, c.serve)
			for file, text := range fetchtest.Model(size) {
				f.objects["1/"+file], f.objects["2/"+file] = text, text
			}
			f.objects["2/model.pkl"] = tt.retrain
			if tt.tag != "" {
				f.tags["1/model.pkl"], f.tags["2/model.pkl"] = tt.tag, tt.tag
			}
			dir := t.TempDir()
			if got := c.weights(t, f, "1", dir); got != same {
				t.Fatalf("%d other bytes", len(got))
			}
			requests, sent := len(f.seen()), f.sent
			if got := c.weights(t, f, "1", dir); got != same {
				t.Errorf("again: %d other bytes", len(got))
			}
			if n := len(f.seen()) - requests; n != 3 || f.sent != sent {
				t.Errorf("again: %d requests, %d bytes", n, f.sent-sent)
			}
			if got := c.weights(t, f, "2", dir); got != tt.retrain {
				t.Errorf("the retrain: %d other bytes", len(got))
			}
			if n := f.sent - sent; (n >= size) != tt.fetched {
				t.Errorf("the retrain: fetched %d bytes", n)
			}
			// Written over: by its tag it is another, whatever it is called.
			f.objects["1/model.pkl"] = strings.Repeat("thirds! ", size/8)
			delete(f.tags, "1/model.pkl")
			if got := c.weights(t, f, "1", dir); got != f.objects["1/model.pkl"] {
				t.Errorf("written over: %d other bytes", len(got))
			}
		})
	}
}

// TestOtherStore lists in one store what another has: it is fetched all the same, for each store is believed of itself alone.
func TestOtherStore(t *testing.T) {
	dir := t.TempDir()
	c := clouds["s3"]
	for range 2 {
		f := newFake(t, c.serve)
		for file, text := range fetchtest.Model(2 << 20) {
			f.objects["1/"+file] = text
		}
		c.weights(t, f, "1", dir)
		if f.sent < 2<<20 {
			t.Errorf("fetched %d bytes", f.sent)
		}
	}
}

// TestNames holds that what a file is remembered by has no credentials.
func TestNames(t *testing.T) {
	for name, c := range clouds {
		f := newFake(t, c.serve)
		s, err := Stores(outside(c.env(f), nil), fetch.Options{})[strings.SplitN(c.uri, ":", 2)[0]](context.Background(), c.uri+"m")
		if err != nil {
			t.Fatal(err)
		}
		got := s.(fetch.Named).Name(fetch.File{Path: "a b", Tag: "t"})
		if !strings.Contains(got, "/m") || strings.Contains(got, "hunter2") || strings.Contains(got, "?") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
