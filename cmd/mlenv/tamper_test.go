package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// remembered gives the digests of the layers of wheels that a cache remembers, by file.
func remembered(t *testing.T, cache string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(filepath.Join(cache, "layers-v1", "layers"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var memo struct {
			Value struct {
				Sums []struct {
					Digest string `json:"digest"`
				} `json:"sums"`
				DistInfo map[string]string `json:"distInfo"`
			} `json:"value"`
		}
		if err := json.Unmarshal(data, &memo); err != nil {
			return err
		}
		if len(memo.Value.DistInfo) > 0 {
			out[name] = memo.Value.Sums[0].Digest
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("remembered: %v, %v", out, err)
	}
	return out
}

// reseal gives a changed file of the cache a check that fits, as a clever hand would.
func reseal(t *testing.T, name, text string) []byte {
	t.Helper()
	var memo struct {
		Check string          `json:"check"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal([]byte(text), &memo); err != nil {
		t.Fatal(err)
	}
	id := filepath.Base(filepath.Dir(name)) + strings.TrimSuffix(filepath.Base(name), ".json")
	sum := sha256.Sum256(append([]byte(id), memo.Value...))
	memo.Check = hex.EncodeToString(sum[:])
	data, err := json.Marshal(memo)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
