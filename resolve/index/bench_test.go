package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"testing"
	"time"
)

// hugePage is the JSON page of a project with n files, of the shape that the large index's have:
// versions with one source distribution and wheels for many Pythons and platforms.
func hugePage(n int) []byte {
	platforms := []string{"manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_17_aarch64.manylinux2014_aarch64", "musllinux_1_2_x86_64", "macosx_11_0_arm64", "win_amd64"}
	files := []map[string]any{}
	for i := 0; len(files) < n; i++ {
		version := fmt.Sprintf("%d.%d.%d", i/100, i/10%10, i%10)
		names := []string{"big-" + version + ".tar.gz"}
		for py := 8; py < 14; py++ {
			for _, p := range platforms {
				names = append(names, fmt.Sprintf("big-%s-cp3%d-cp3%d-%s.whl", version, py, py, p))
			}
		}
		for _, name := range names {
			sum := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
			files = append(files, map[string]any{
				"core-metadata": map[string]string{"sha256": sum}, "data-dist-info-metadata": map[string]string{"sha256": sum},
				"filename": name, "hashes": map[string]string{"sha256": sum}, "provenance": nil, "requires-python": ">=3.8",
				"size": 1234567, "upload-time": "2024-01-02T03:04:05.678901Z", "yanked": false,
				"url": "https://files.example/packages/" + sum[:2] + "/" + sum[2:4] + "/" + sum[4:] + "/" + name,
			})
		}
	}
	b, err := json.Marshal(map[string]any{"meta": map[string]string{"api-version": "1.4"}, "name": "big", "files": files[:n]})
	if err != nil {
		panic(err)
	}
	return b
}

const bigIndex = "https://index.example/simple/"

func parseBig(tb testing.TB, m *memory, data []byte) *page {
	u, _ := url.Parse("https://index.example/simple/big/")
	p := &page{URL: u.String(), Fetched: time.Unix(1700000000, 0), Fresh: 10 * time.Minute, ETag: `"x"`}
	files := newBuilder("big", m, nil)
	defer files.release()
	if err := parsePage(answer{bytes.NewReader(data), nil, jsonType, u}, files.add); err != nil {
		tb.Fatal(err)
	}
	if err := files.finish(p, pageKey{bigIndex, "big"}); err != nil {
		tb.Fatal(err)
	}
	return p
}

func BenchmarkPageParse(b *testing.B) {
	m, data := new(memory), hugePage(5000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if p := parseBig(b, m, data); len(p.groups) != 162 {
			b.Fatal(len(p.groups))
		}
	}
}

// BenchmarkPageWarm is what a warm run pays for a page of 5,000 files of which it looks at the five
// newest versions: reading the record, its checksum, and decoding.
func BenchmarkPageWarm(b *testing.B) { benchmarkWarm(b, 5) }

// BenchmarkPageWarmAll is the same for one that looks at all versions.
func BenchmarkPageWarmAll(b *testing.B) { benchmarkWarm(b, 162) }

func benchmarkWarm(b *testing.B, versions int) {
	c, err := New(Settings{CacheDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	key := pageKey{bigIndex, "big"}
	if err := c.store.Write(c.pageRecord(mustURL(bigIndex), key.name), record(parseBig(b, new(memory), hugePage(5000)))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.budget.spent.Store(0)
		p := c.cachedPage(c.pageRecord(mustURL(bigIndex), key.name), key)
		if p == nil || len(p.versions) != 162 {
			b.Fatal("no page")
		}
		for i := range versions {
			if _, err := p.files(161 - i); err != nil {
				b.Fatal(err)
			}
		}
	}
}
