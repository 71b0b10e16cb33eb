package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keepText keeps a file of a text under a key of the same name, with a note.
func keepText(t *testing.T, f *Fetched, text, note string) (sha string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	sha = hex.EncodeToString(sum[:])
	f.Keep(context.Background(), path, sha, map[string]string{"key of " + text: note})
	return sha
}

// TestFetched finds a file again by its key, with its note, as long as its bytes are those that were kept.
func TestFetched(t *testing.T) {
	d := Open(t.TempDir(), nil)
	sha := keepText(t, d.Fetched(), "hello", "tag")
	keepText(t, d.Fetched(), "hello", "tag") // again
	f := d.Fetched()
	got, note, ok := f.Find(context.Background(), "key of hello")
	if got != sha || note != "tag" || !ok {
		t.Fatalf("found %s, %q, %v", got, note, ok)
	}
	if _, _, ok := f.Find(context.Background(), "another key"); ok {
		t.Error("found what was not kept")
	}
	in, ok := f.Open(sha, 5)
	if !ok {
		t.Fatal("the file is not there")
	}
	if data, err := io.ReadAll(in); string(data) != "hello" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, ok := f.Open(sha, 6); ok {
		t.Error("opened one of another size")
	}
	if err := os.WriteFile(f.blobs.file(sha), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Open(sha, 5); ok {
		t.Error("opened what is damaged")
	}
	var none *Fetched
	none.Keep(context.Background(), "x", sha, nil)
	if _, _, ok := none.Find(context.Background(), "x"); ok {
		t.Error("the cache that remembers nothing does")
	}
	if _, ok := none.Open(sha, 5); ok {
		t.Error("the cache that remembers nothing does")
	}
}

// TestFetchedIsBounded lets those files give way that were used longest ago, and keeps none that is too large by itself.
func TestFetchedIsBounded(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := Open(t.TempDir(), nil)
	f := d.Fetched()
	f.most = 100
	var shas []string
	for i := range 3 {
		sha := keepText(t, f, fmt.Sprint(i)+strings.Repeat("x", 29), "")
		shas = append(shas, sha)
		at := now.Add(time.Duration(i) * time.Hour)
		if i == 0 {
			at = now.Add(24 * time.Hour) // the first is the one that was used last
		}
		if err := os.Chtimes(f.blobs.file(sha), at, at); err != nil {
			t.Fatal(err)
		}
	}
	f = d.Fetched() // another run, which does not know how much there is
	f.most = 100
	shas = append(shas, keepText(t, f, strings.Repeat("y", 40), ""), keepText(t, f, strings.Repeat("z", 101), ""))
	for i, want := range []bool{true, false, true, true, false} {
		_, err := os.Stat(f.blobs.file(shas[i]))
		if (err == nil) != want {
			t.Errorf("file %d: %v", i, err)
		}
	}
}
