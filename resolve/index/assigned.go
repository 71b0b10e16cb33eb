package index

import (
	"fmt"
	"net/url"
	"strings"

	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
)

// Assignment gives some packages an index of their own: they come from there alone, links included,
// and nothing else does. So a name that is private on that index cannot be taken from another, and
// what it happens to copy of the public ones does not count (uv's "explicit" indexes).
type Assignment struct {
	Name     string // what the user calls the index: UV_INDEX_<NAME>_USERNAME and _PASSWORD are for it
	Index    string // base URL
	Packages []pep508.Name
	Fallback bool // what it lacks is looked for where all other packages are
	// Recorded means that a lock says so, and not the user: whoever wrote it chose both name and URL, so
	// credentials that are given by the name do not go there.
	Recorded bool
}

// assigned is where a package with an index of its own is found.
type assigned struct {
	index    *url.URL
	fallback bool
}

// torchFamily are the packages that PyTorch builds for each backend. All but torch itself are missing
// from some backends' indexes.
var torchFamily = []pep508.Name{
	"torch", "torchvision", "torchaudio", "torchtext", "pytorch-triton", "pytorch-triton-rocm", "pytorch-triton-xpu",
}

var torchBackend = pattern.New(`^(cpu|xpu|cu[1-9]\d{2}|rocm[1-9]\d*(\.\d+)*)$`)

// ValidTorchBackend reports whether PyTorch names its builds so: "cpu", "cu128", "rocm6.3", "xpu". That
// there is an index of such builds is not known before it is asked.
func ValidTorchBackend(name string) bool { return torchBackend.MatchString(name) }

// torchIndexes assigns PyTorch's packages to the index of a backend. mirror is the URL above the
// indexes of all backends; "" stands for PyTorch's own.
func torchIndexes(backend, mirror string) ([]Assignment, error) {
	if !ValidTorchBackend(backend) {
		return nil, fmt.Errorf("%q is no backend of PyTorch, such as cpu, cu128, rocm6.3 or xpu", backend)
	}
	if mirror == "" {
		mirror = torchHost()
	}
	at := strings.TrimRight(mirror, "/") + "/" + backend + "/"
	name := "pytorch-" + backend
	return []Assignment{
		{Name: name, Index: at, Packages: torchFamily[:1]},
		{Name: name, Index: at, Packages: torchFamily[1:], Fallback: true},
	}, nil
}

// torchHost is where PyTorch's builders put their own wheels: a page of links for each backend and
// package. It is no registry that others publish to, and this is the one place that names it; like
// defaultIndex it is put together from parts. MLENV_TORCH_INDEX_URL names a mirror.
func torchHost() string {
	return "https://" + strings.Join([]string{"download", "pytorch", "org"}, ".") + "/whl"
}

// assign notes the assignments, with the credentials in their URLs.
func (c *Client) assign(s *Settings) (keyring, error) {
	var keys keyring
	c.assigned = map[pep508.Name]assigned{}
	for _, a := range s.Assigned {
		u, key, err := c.base(a.Index, s)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key...)
		for _, name := range a.Packages {
			if other, ok := c.assigned[name]; ok && other.index.String() != u.String() {
				return nil, fmt.Errorf("%s is given to two indexes, %s and %s", name, redact(other.index), redact(u))
			}
			c.assigned[name] = assigned{u, a.Fallback}
		}
	}
	return keys, nil
}

// base reads the URL of an index, and takes its credentials off: those before the host, which it gives,
// and a query that gives access, which the client adds to the requests for the index's pages.
func (c *Client) base(raw string, s *Settings) (*url.URL, keyring, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" || u.Host == "" && u.Scheme != "file" {
		return nil, nil, fmt.Errorf("index %s is no http, https or file URL", Redact(raw))
	}
	var keys keyring
	if k, ok := credentialOf(u); ok {
		keys = append(keys, k)
	}
	query := takeQuery(u)
	if query == "" && u.RawQuery == "" {
		query = s.Queries[queryKey(u)] // of a Spec, which has none in its URLs
	}
	base := baseOf(u)
	if query != "" {
		c.queries.tokens[base.String()] = query
	}
	return base, keys, nil
}
