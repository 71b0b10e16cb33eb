package index_test

import (
	"strings"
	"testing"

	"mlenv/resolve/index"
	"mlenv/resolve/index/indextest"
)

// TestModelTrustsItsOwn holds that what a model says of certificates is obeyed for what the model's own
// index leads to, and never for what the user's does, files and redirects included.
func TestModelTrustsItsOwn(t *testing.T) {
	trusted := indextest.NewTLS(t, six) // whose certificate nobody knows
	host := strings.TrimPrefix(trusted.Host, "https://")
	pointing := indextest.New(t)
	pointing.On("/simple/six/", -1, indextest.Body("text/html", `<a href="`+trusted.FileURL(six)+`">six</a>`))
	redirecting := indextest.New(t)
	redirecting.On("/simple/six/", -1, indextest.Redirect(trusted.URL+"six/"))
	for _, from := range []*indextest.Index{trusted, pointing, redirecting} {
		for _, models := range []bool{true, false} {
			c := client(t, func(s *index.Settings) {
				s.Indexes = []string{from.URL}
				s.Retries = -1
				s.Model.TrustedHosts = []string{host}
				if models {
					s.Model.Indexes = []string{from.URL}
				}
			})
			all, err := c.Files(ctx, "six")
			if err == nil {
				_, err = c.Fetch(ctx, all[0])
			}
			if (err == nil) != models || err != nil && !strings.Contains(err.Error(), "certificate") {
				t.Errorf("from %s, the model's index: %t: %v", from.URL, models, err)
			}
		}
	}
}
