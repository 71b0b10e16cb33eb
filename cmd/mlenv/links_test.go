package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan  = regexp.MustCompile("`[^`\n]+`")
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// markdown gives all Markdown files of the repository, by their slash-separated names.
func markdown(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() && slices.Contains([]string{".git", ".cache", "demo-out", "dist"}, rel) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".md" {
			return nil
		}
		data, err := os.ReadFile(file)
		found[rel] = string(data)
		return err
	})
	if err != nil || found["README.md"] == "" || len(found) < 8 {
		t.Fatalf("found %d documents: %v", len(found), err)
	}
	return found
}

// slugs gives the anchors of a document's headings, as GitHub and GitLab make them.
func slugs(text string) []string {
	var out []string
	for _, m := range mdHeading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out = append(out, strings.ReplaceAll(slug, " ", "-"))
	}
	return out
}

// Every relative link of every document leads to a file, and to a heading where it names one; and
// every document of docs can be reached from the README.
func TestDocumentLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	all := markdown(t, root)
	to := map[string][]string{}
	for name, text := range all {
		prose := codeSpan.ReplaceAllString(codeBlock.ReplaceAllString(text, ""), "``")
		for _, m := range mdLink.FindAllStringSubmatch(prose, -1) {
			link := m[1] + m[2]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(link, "#")
			target := name
			if file != "" {
				target = strings.TrimPrefix(filepath.ToSlash(filepath.Join(filepath.Dir(name), filepath.FromSlash(file))), "./")
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s: %v", name, link, err)
			}
			if anchor != "" && !slices.Contains(slugs(all[target]), anchor) {
				t.Errorf("%s links to %s, but there is no such heading", name, link)
			}
			to[name] = append(to[name], target)
		}
	}
	seen := map[string]bool{}
	next := []string{"README.md"}
	for len(next) > 0 {
		name := next[0]
		if next = next[1:]; !seen[name] {
			seen[name] = true
			next = append(next, to[name]...)
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "docs/") && !seen[name] {
			t.Errorf("nothing that can be reached from the README links to %s", name)
		}
	}
}
