package imagebuild

import (
	"slices"
	"testing"

	"mlenv/imagebuild/base"
	"mlenv/resolve/serving"
)

// TestEnvironment puts the variables of base, contract and user in their order.
func TestEnvironment(t *testing.T) {
	runtime := &serving.Runtime{Env: []serving.Var{{Name: "LANG", Value: "de_DE.UTF-8"}, {Name: "PYTHONPATH", Value: "/opt/ml/code"}}}
	for what, tt := range map[string]struct {
		base *base.Base
		run  *serving.Runtime
		want []string
	}{
		"a bare base": {&base.Base{}, nil,
			[]string{"PATH=/opt/venv/bin:" + defaultPath, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"}},
		"certificates where OpenSSL does not look": {&base.Base{CABundle: "/etc/pki/tls/cert.pem"}, nil,
			[]string{"PATH=/opt/venv/bin:" + defaultPath, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1", "SSL_CERT_FILE=/etc/pki/tls/cert.pem"}},
		"certificates that the base names": {&base.Base{CABundle: "/x.pem", Env: []string{"SSL_CERT_FILE=/y.pem"}}, nil,
			[]string{"SSL_CERT_FILE=/y.pem", "PATH=/opt/venv/bin:" + defaultPath, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1"}},
		"a base with another Python's paths": {&base.Base{Env: []string{"PATH=/bin", "PYTHONPATH=/usr/lib/x", "PYTHONHOME=/usr", "LANG=C", "A=b=c"}}, runtime,
			[]string{"PATH=/opt/venv/bin:/bin", "LANG=de_DE.UTF-8", "A=b=c", "PYTHONUNBUFFERED=1", "PYTHONPATH=/opt/ml/code"}},
	} {
		r := Recipe{Base: &base.Found{Base: tt.base}, Runtime: tt.run}
		if got := r.environment(); !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n got %q\nwant %q", what, got, tt.want)
		}
	}
}

func TestLargeLayer(t *testing.T) {
	if found := large("weights", maxLayer, maxLayer); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	if found := large("weights", maxLayer+1, maxLayer); len(found) != 1 || found[0].Rule != "large-layer" ||
		found[0].Message != "the layer of weights has 8.6 GB; several registries take no more than 8 or 10 GB" {
		t.Errorf("%+v", found)
	}
}
