package index

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// Options are the settings that a command line and a requirements file can both give. URLs may
// carry credentials.
type Options struct {
	IndexURL       string
	ExtraIndexURLs []string
	FindLinks      []string // local paths are relative to the process's directory
	NoIndex        bool
	TrustedHosts   []string

	// For flags alone: a model does not choose these.
	Assigned     []Assignment
	TorchBackend string // PyTorch's packages come from the index of its builds for this, such as "cpu"; "": from where all others do
}

// Sources are where settings come from, the strongest first.
type Sources struct {
	Flags    Options
	Model    Options                           // what the model's own files say
	Direct   []string                          // URLs of packages that the model's own files name
	Secrets  []string                          // URLs with credentials that are written in the model
	Env      func(name string) string          // the environment; nil for none
	ReadFile func(name string) ([]byte, error) // reads pip.conf and netrc files; nil for none
	Home     string                            // the user's home directory, "" if there is none
	OS       string                            // runtime.GOOS: it says where pip keeps its files
}

// Configure puts settings together as users of pip and uv have them. Flags beat the model's files,
// which beat the environment (PIP_*, then UV_*), which beats pip.conf; lists (extra indexes,
// find-links, trusted hosts) are joined in that order, but that PIP_* replaces what pip.conf says. What
// a model says of hosts and credentials holds for what it names itself, see Model.
// The indexes are in uv's order: extra ones before the index URL, so that FirstIndex lets them
// come first.
//
// A value that makes no sense is an error that names the setting and not the value, which may hold
// a password.
func Configure(src Sources) (Settings, error) {
	if src.Env == nil {
		src.Env = func(string) string { return "" }
	}
	c := configuring{src: src}
	pip, err := c.pipOptions()
	if err != nil {
		return Settings{}, err
	}
	uv, err := c.uvOptions()
	if err != nil {
		return Settings{}, err
	}
	layers := []Options{src.Flags, src.Model, pip, uv}
	user := []Options{src.Flags, pip, uv}
	for _, o := range user {
		c.set.TrustedHosts = appendNew(c.set.TrustedHosts, o.TrustedHosts...)
	}
	base := ""
	for _, o := range layers {
		if base == "" {
			base = o.IndexURL
		}
		c.secret(o.IndexURL)
		for _, u := range o.ExtraIndexURLs {
			c.secret(u)
		}
		c.set.Indexes = appendNew(c.set.Indexes, o.ExtraIndexURLs...)
		c.set.FindLinks = appendNew(c.set.FindLinks, o.FindLinks...)
		c.set.NoIndex = c.set.NoIndex || o.NoIndex
	}
	if base == "" {
		base = defaultIndex()
		user = append(user, Options{IndexURL: base})
	}
	// An extra index that is the index URL too comes last, where the index URL is.
	c.set.Indexes = slices.DeleteFunc(c.set.Indexes, func(u string) bool { return u == base })
	c.set.Indexes = append(c.set.Indexes, base)
	if err := c.assigned(); err != nil {
		return Settings{}, err
	}
	for _, a := range c.set.Assigned {
		user = append(user, Options{ExtraIndexURLs: []string{a.Index}})
	}
	c.network()
	if err := c.netrc(); err != nil {
		return Settings{}, err
	}
	c.set.Model = c.modelNames(user)
	c.model()
	return c.set, nil
}

// assigned takes the flags' indexes for some packages. Who assigns a package of PyTorch's to an index
// means that one, whatever the backend.
func (c *configuring) assigned() error {
	taken := map[pep508.Name]bool{}
	for _, a := range c.src.Flags.Assigned {
		if !a.Recorded {
			a.Index = c.named(a.Name + "=" + a.Index)
		}
		c.set.Assigned = append(c.set.Assigned, a)
		for _, name := range a.Packages {
			taken[name] = true
		}
	}
	if c.src.Flags.TorchBackend == "" {
		return nil
	}
	list, err := torchIndexes(c.src.Flags.TorchBackend, strings.TrimSpace(c.src.Env("MLENV_TORCH_INDEX_URL")))
	for _, a := range list {
		c.secret(a.Index)
		a.Packages = slices.DeleteFunc(slices.Clone(a.Packages), func(n pep508.Name) bool { return taken[n] })
		c.set.Assigned = append(c.set.Assigned, a)
	}
	return err
}

// configuring is the state of one Configure.
type configuring struct {
	src  Sources
	conf map[string]string // pip.conf
	set  Settings
}

func appendNew(list []string, items ...string) []string {
	for _, s := range items {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// secret keeps the credentials of a URL, so that they serve the same origin where another source
// names it without any.
func (c *configuring) secret(raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	if k, ok := credentialOf(u); ok {
		c.set.Credentials = append(c.set.Credentials, k)
	}
}

// model keeps the credentials that the model's files hold. pip would fill in ${VAR} from the
// environment first; that would let a model send any variable of the builder's to any host.
func (c *configuring) model() {
	for _, raw := range c.src.Secrets {
		u, err := url.Parse(raw)
		if err != nil || strings.Contains(raw, "${") {
			continue
		}
		if k, ok := credentialOf(u); ok {
			k.Model = true
			c.set.Credentials = append(c.set.Credentials, k)
		}
		if secret.QueryIsSecret(u.RawQuery) {
			if c.set.Queries == nil {
				c.set.Queries = map[string]string{}
			}
			c.set.Queries[queryKey(u)] = u.RawQuery
		}
	}
}

// pip gives a setting of pip: PIP_X from the environment, else x from pip.conf.
func (c *configuring) pip(key string) string {
	name := "PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
	if v := strings.TrimSpace(c.src.Env(name)); v != "" {
		return v
	}
	return strings.TrimSpace(c.conf[key])
}

func (c *configuring) pipOptions() (o Options, err error) {
	if c.conf, err = c.pipConf(); err != nil {
		return o, err
	}
	o = Options{
		IndexURL:       c.pip("index-url"),
		ExtraIndexURLs: strings.Fields(c.pip("extra-index-url")),
		FindLinks:      strings.Fields(c.pip("find-links")),
		TrustedHosts:   strings.Fields(c.pip("trusted-host")),
	}
	if v := c.pip("no-index"); v != "" {
		if o.NoIndex, err = boolean(v); err != nil {
			return o, fmt.Errorf("reading pip's setting no-index: %w", err)
		}
	}
	return o, nil
}

var listSeparator = pattern.New(`[\s,]+`)

func (c *configuring) uvOptions() (o Options, err error) {
	env := func(name string) string { return strings.TrimSpace(c.src.Env(name)) }
	o.IndexURL = c.named(env("UV_DEFAULT_INDEX"))
	if o.IndexURL == "" {
		o.IndexURL = env("UV_INDEX_URL")
	}
	for _, v := range strings.Fields(env("UV_INDEX")) {
		o.ExtraIndexURLs = append(o.ExtraIndexURLs, c.named(v))
	}
	o.ExtraIndexURLs = append(o.ExtraIndexURLs, strings.Fields(env("UV_EXTRA_INDEX_URL"))...)
	for _, v := range listSeparator.Regexp().Split(env("UV_FIND_LINKS"), -1) {
		if v != "" {
			o.FindLinks = append(o.FindLinks, v)
		}
	}
	o.TrustedHosts = strings.Fields(env("UV_INSECURE_HOST"))
	if v := env("UV_NO_INDEX"); v != "" {
		if o.NoIndex, err = boolean(v); err != nil {
			return o, fmt.Errorf("reading UV_NO_INDEX: %w", err)
		}
	}
	if v := env("UV_OFFLINE"); v != "" {
		if c.set.Offline, err = boolean(v); err != nil {
			return o, fmt.Errorf("reading UV_OFFLINE: %w", err)
		}
	}
	switch v := env("UV_INDEX_STRATEGY"); v {
	case "":
	case "first-index":
		c.set.Strategy = FirstIndex
	case "unsafe-best-match", "unsafe-first-match":
		c.set.Strategy = UnsafeBestMatch
	default:
		return o, errors.New("reading UV_INDEX_STRATEGY: its value is none of first-index, unsafe-best-match and unsafe-first-match")
	}
	return o, nil
}

var notNameChar = pattern.New(`[^A-Z0-9]`)

// named takes the name off "name=https://…" and keeps the credentials that
// UV_INDEX_<NAME>_USERNAME and _PASSWORD hold for it.
func (c *configuring) named(value string) string {
	name, raw, ok := strings.Cut(value, "=")
	if !ok || strings.ContainsAny(name, ":/@.?") {
		return value
	}
	key := "UV_INDEX_" + notNameChar.ReplaceAllString(strings.ToUpper(name), "_")
	// A secret that a CI system or a file provides often ends in a newline.
	user, password := strings.TrimSpace(c.src.Env(key+"_USERNAME")), strings.TrimSpace(c.src.Env(key+"_PASSWORD"))
	if u, err := url.Parse(raw); err == nil && u.Host != "" && (user != "" || password != "") {
		c.set.Credentials = append(c.set.Credentials, Credential{
			Scheme: u.Scheme, Host: canonicalHost(u), Path: u.Path, User: user, Password: password,
		})
	}
	return raw
}

// network takes the certificates, proxies and the timeout.
func (c *configuring) network() {
	env := func(names ...string) string {
		for _, n := range names {
			if v := strings.TrimSpace(c.src.Env(n)); v != "" {
				return v
			}
		}
		return ""
	}
	c.set.CertFile = c.pip("cert")
	if c.set.CertFile == "" {
		c.set.CertFile = env("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
	}
	if c.set.CertFile == "" {
		c.set.CertDir = env("SSL_CERT_DIR")
	}
	if c.set.ClientCert = c.pip("client-cert"); c.set.ClientCert == "" {
		c.set.ClientCert = env("SSL_CLIENT_CERT")
	}
	c.set.HTTPSProxy = env("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
	c.set.HTTPProxy = env("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
	c.set.NoProxy = env("NO_PROXY", "no_proxy")
	if p := c.pip("proxy"); p != "" {
		c.set.HTTPSProxy, c.set.HTTPProxy = p, p
	}
	for _, v := range []string{c.pip("timeout"), env("UV_HTTP_TIMEOUT")} {
		if n, err := strconv.ParseFloat(v, 64); err == nil && n > 0 && c.set.Timeout == 0 {
			c.set.Timeout = time.Duration(n * float64(time.Second))
		}
	}
}

// netrc reads the user's netrc file. That there is none is no error.
func (c *configuring) netrc() error {
	name := c.src.Env("NETRC")
	if name == "" && c.src.Home != "" {
		name = filepath.Join(c.src.Home, ".netrc")
	}
	if name == "" || c.src.ReadFile == nil {
		return nil
	}
	data, err := c.src.ReadFile(name)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading netrc: %w", err)
	}
	c.set.Credentials = append(c.set.Credentials, parseNetrc(data)...)
	return nil
}

// boolean reads a switch as pip and uv write it.
func boolean(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "y", "yes", "t", "true", "on":
		return true, nil
	case "0", "n", "no", "f", "false", "off", "":
		return false, nil
	}
	return false, errors.New("its value is neither yes nor no") // and may be a password, or a URL with one
}
