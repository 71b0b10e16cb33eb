package memo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
	"mlenv/imagebuild/memo"
)

const chaosSeed = 20240229

// TestNotesChaos builds while notes are forged, cut short, stale or of another image, while layers are
// collected under them, and while a repository of notes fails at random. Every build gives the image that
// it gives without notes, or says clearly that it could not; nothing wrong is ever under a tag.
// MLENV_TEST_NOTES is the number of builds.
func TestNotesChaos(t *testing.T) {
	rounds := 25
	if n, err := strconv.Atoi(os.Getenv("MLENV_TEST_NOTES")); err == nil {
		rounds = n
	}
	c := &notesChaos{T: t, s: newServer(t), rng: rand.New(rand.NewPCG(chaosSeed, 1)), done: map[string]int{}, over: make(chan struct{})}
	t.Cleanup(func() { close(c.over) })
	sets := [][]string{packages, {"mlflow 3.1.0: churn", "churn 2.0: deep", "deep 0.1", "wide 1.0"}}
	for _, set := range sets {
		m := newMachine(t, c.s, set...)
		c.machines = append(c.machines, m)
		want, _ := m.mustBuild(&memo.Chain{}, ref(c.s, "faultless:m%d", len(c.want)))
		c.want = append(c.want, want)
	}
	for round := range rounds {
		c.round(round)
	}
	t.Logf("%d of %d builds failed: %v", c.failed, rounds, c.done)
	if c.failed > rounds*3/4 {
		t.Errorf("%d of %d builds failed: too many to prove anything", c.failed, rounds)
	}
	if rounds >= 200 {
		for _, what := range []string{"cut short", "other keys", "of another format", "collected", "memo fails", "exchanged", "found out"} {
			if c.done[what] == 0 {
				t.Errorf("%s has not happened", what)
			}
		}
	}
}

type notesChaos struct {
	*testing.T
	s        *server
	rng      *rand.Rand
	machines []*machine
	want     []string
	done     map[string]int
	failed   int
	over     chan struct{} // closed at the end
}

func (c *notesChaos) round(round int) {
	which := c.rng.IntN(len(c.machines))
	m := c.machines[which]
	repo := fmt.Sprint("team-", c.rng.IntN(3))
	target := ref(c.s, "%s:latest", repo)
	push := target
	forged, collected := c.spoil(repo)
	if collected { // a registry that has the manifest already is not asked for the layers
		push = ref(c.s, "%s:r%d", repo, round)
	}
	c.s.mounts = c.rng.IntN(3) > 0
	chain := &memo.Chain{}
	known, _ := memo.ReadImages(c.Context(), remotes, memo.Request{Targets: []string{target}, Platforms: []v1.Platform{platform}})
	chain.Add(known)
	m.save = nil
	if c.rng.IntN(2) == 0 {
		m.repository(c.s, memo.RepositoryOptions{Timeout: 300 * time.Millisecond})
		chain.Add(m.save)
		if c.rng.IntN(2) == 0 {
			c.done["memo fails"]++
			c.s.set(c.failing())
		}
	}
	m.verify = 0
	if forged {
		m.verify = 100 // nothing else finds out that two layers' keys were exchanged
	}
	p, err := m.build(chain, push)
	c.s.set(nil)
	var wrong *imagebuild.WrongNoteError
	switch {
	case errors.As(err, &wrong):
		c.done["found out"]++
		c.failed++
		c.remove(repo)
		return
	case err != nil:
		c.failed++
		if len(err.Error()) < 20 || strings.Contains(err.Error(), "%!") {
			c.Errorf("round %d: %v", round, err)
		}
		return
	}
	digest, err := p.Artifact.Digest()
	if err != nil || digest.String() != c.want[which] {
		c.Errorf("round %d: %s (%v), want %s", round, digest, err, c.want[which])
	}
	img, err := remote.Image(c.name(push))
	if err == nil {
		err = validate.Image(img)
	}
	if err != nil {
		c.Errorf("round %d: what is under the tag: %v", round, err)
	}
}

func (c *notesChaos) name(text string) name.Reference {
	c.Helper()
	out, err := name.ParseReference(text)
	if err != nil {
		c.Fatal(err)
	}
	return out
}

// remove takes an image away, as whoever reads the error would.
func (c *notesChaos) remove(repo string) {
	c.Helper()
	r, err := http.NewRequestWithContext(c.Context(), http.MethodDelete, "http://"+c.s.host+"/v2/"+repo+"/manifests/latest", nil)
	if err != nil {
		c.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		c.Fatal(err)
	}
	resp.Body.Close()
}

// spoil changes what a repository says of its layers, or what it has of them. It tells whether the keys of
// two layers were exchanged, and whether it collected a layer.
func (c *notesChaos) spoil(repo string) (forged, collected bool) {
	desc, err := remote.Get(c.name(ref(c.s, "%s:latest", repo)))
	if err != nil {
		return false, false
	}
	m, err := v1.ParseManifest(bytes.NewReader(desc.Manifest))
	if err != nil {
		c.Fatal(err)
	}
	var keyed []int
	for i, l := range m.Layers {
		if l.Annotations[image.LayerKey] != "" {
			keyed = append(keyed, i)
		}
	}
	pick := func() map[string]string { return m.Layers[keyed[c.rng.IntN(len(keyed))]].Annotations }
	what := ""
	switch c.rng.IntN(8) {
	case 0:
		what = "cut short"
		for _, a := range []map[string]string{m.Annotations, pick()} {
			for _, key := range []string{image.Notes, image.LayerNote} {
				a[key] = a[key][:len(a[key])/2]
			}
		}
	case 1:
		what = "other keys"
		pick()[image.LayerKey] = strings.Repeat("0", 64)
	case 2:
		what = "of another format"
		m.Annotations[image.Notes] = `{"version": 2}`
		pick()[image.LayerNote] = `{"wheels": [{"distInfo": "../../x.dist-info"}]}`
	case 3:
		what = "collected"
		c.s.collect(repo, m.Layers[keyed[c.rng.IntN(len(keyed))]].Digest.String())
	case 4:
		what, forged = "exchanged", true
		one, other := pick(), pick()
		one[image.LayerKey], other[image.LayerKey] = other[image.LayerKey], one[image.LayerKey]
	}
	c.done[what]++
	if what != "" && what != "collected" {
		c.put(repo, m)
	}
	return forged, what == "collected"
}

// put replaces the manifest under a tag.
func (c *notesChaos) put(repo string, m *v1.Manifest) {
	c.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		c.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.Context(), http.MethodPut, "http://"+c.s.host+"/v2/"+repo+"/manifests/latest", bytes.NewReader(data))
	if err != nil {
		c.Fatal(err)
	}
	r.Header.Set("Content-Type", string(types.OCIManifestSchema1))
	resp, err := http.DefaultClient.Do(r)
	if err != nil || resp.StatusCode != http.StatusCreated {
		c.Fatal(resp, err)
	}
	resp.Body.Close()
}

// failing fails a part of the requests to the repository of notes.
func (c *notesChaos) failing() func(http.ResponseWriter, *http.Request) bool {
	seed, rate := c.rng.Uint64(), c.rng.IntN(100)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 2))
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v2/notes/") {
			return false
		}
		mu.Lock()
		fails, how := rng.IntN(100) < rate, rng.IntN(5)
		mu.Unlock()
		switch {
		case !fails:
			return false
		case how == 4: // slowly
			if r.Method == http.MethodGet {
				fmt.Fprint(w, `{"schemaVersion":2`)
				_ = http.NewResponseController(w).Flush()
			}
			<-c.over
		default:
			w.WriteHeader([]int{401, 403, 404, 500}[how])
		}
		return true
	}
}
