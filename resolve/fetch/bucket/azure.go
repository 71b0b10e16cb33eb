package bucket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/pattern"
)

// azure is the API of Azure Blob Storage, by which Data Lake's accounts can be read too: List Blobs and Get Blob.
type azure struct {
	root      *url.URL // the account's address, as far as the container
	container string
	sas       string // a query that gives access, "" for none
}

// azureVersion is the version of the service that is spoken to, of 2021.
const azureVersion = "2021-12-02"

// azureHost are the hosts of accounts, in Azure's public cloud and in the others. Credentials go to no other, but
// to an endpoint that the user has set.
var azureHost = pattern.New(`^([a-z0-9]{3,24})\.(?:blob|dfs)\.(core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net)$`)

// openAzure opens wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX, or the same as abfss:// of .dfs.
func openAzure(world Outside, o fetch.Options, uri string) (fetch.Store, error) {
	authority, prefix := split(uri)
	container, hostname, _ := strings.Cut(authority, "@")
	m := azureHost.FindStringSubmatch(strings.ToLower(hostname))
	if m == nil || !bucketName.MatchString(container) {
		return nil, bad(fetch.BadURI, "azure", "is not of the form wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PATH")
	}
	o.TLS = fetch.TLS{}
	client, err := fetch.NewClient(o)
	if err != nil {
		return nil, err
	}
	// Data Lake's accounts answer to Blob Storage's requests too, under the other name of the host.
	c := &azureCredentials{world: world, service: tokenService{cloud: "azure", client: client, now: world.Now}, account: m[1]}
	api := &azure{root: &url.URL{Scheme: "https", Host: m[1] + ".blob." + m[2]}, container: container}
	sign, err := c.signer(o, api)
	if err != nil {
		return nil, err
	}
	return &store{kind: "azure", prefix: withSlash(prefix), api: api, client: client, sign: func(r *http.Request) error {
		r.Header.Set("X-Ms-Version", azureVersion)
		r.Header.Set("X-Ms-Date", world.Now().UTC().Format(http.TimeFormat))
		return sign(r)
	}}, nil
}

func (a *azure) request(ctx context.Context, path string, q url.Values) (*http.Request, error) {
	u := *a.root
	u.Path = strings.TrimRight(u.Path, "/") + "/" + a.container + path
	u.RawPath = escapeAWS(u.Path)
	u.RawQuery = queryAWS(q)
	if a.sas != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+a.sas, "&")
	}
	// The URL is put in as it is: parsing its text again could escape a name in another way than the signature has it.
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost", nil)
	if err == nil {
		r.URL, r.Host = &u, u.Host
	}
	return r, err
}

// list implements api.
func (a *azure) list(ctx context.Context, prefix, token string) (*http.Request, error) {
	q := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {prefix}, "maxresults": {"1000"}, "include": {"metadata"}}
	if token != "" {
		q.Set("marker", token)
	}
	return a.request(ctx, "", q)
}

// page implements api.
func (a *azure) page(data []byte) (page, error) {
	var got struct {
		XMLName xml.Name `xml:"EnumerationResults"`
		Blobs   []struct {
			Name struct {
				Encoded bool   `xml:"Encoded,attr"`
				Text    string `xml:",chardata"`
			} `xml:"Name"`
			Size *int64 `xml:"Properties>Content-Length"`
			ETag string `xml:"Properties>Etag"`
			Type string `xml:"Properties>ResourceType"`
			// By which Hadoop and Data Lake mark an empty blob that stands for a directory.
			Folder string `xml:"Metadata>hdi_isfolder"`
		} `xml:"Blobs>Blob"`
		Next string `xml:"NextMarker"`
	}
	if err := xml.Unmarshal(data, &got); err != nil {
		return page{}, err
	}
	p := page{next: got.Next}
	for _, b := range got.Blobs {
		name := b.Name.Text
		if b.Name.Encoded {
			var err error
			if name, err = url.PathUnescape(name); err != nil {
				return page{}, err
			}
		}
		if b.Size == nil {
			return page{}, fmt.Errorf("no size")
		}
		dir := *b.Size == 0 && (strings.EqualFold(b.Folder, "true") || b.Type == "directory")
		p.objects = append(p.objects, object{key: name, dir: dir, size: *b.Size, tag: strong(b.ETag)})
	}
	return p, nil
}

// get implements api.
func (a *azure) get(ctx context.Context, o object) (*http.Request, error) {
	r, err := a.request(ctx, "/"+o.key, nil)
	if err == nil && o.tag != "" {
		r.Header.Set("If-Match", o.tag)
	}
	return r, err
}

// azureCredentials finds the credentials of an account.
type azureCredentials struct {
	world   Outside
	service tokenService
	account string
}

// env gives a variable. A secret that a file or a CI system provides often ends in a newline.
func (c *azureCredentials) env(name string) string { return strings.TrimSpace(c.world.Env(name)) }

// signer finds the credentials: a connection string, an account's key, a SAS, then Entra ID by a federated token (workload
// identity), a client's secret or the machine in Azure that mlenv runs on. Where there are none, requests go unsigned.
func (c *azureCredentials) signer(o fetch.Options, api *azure) (signer, error) {
	key, sas := c.env("AZURE_STORAGE_ACCESS_KEY"), c.env("AZURE_STORAGE_SAS_TOKEN")
	if text := c.env("AZURE_STORAGE_CONNECTION_STRING"); text != "" {
		s := connectionString(text)
		key, sas = s["accountkey"], s["sharedaccesssignature"]
		// Another account's key would only be refused, with a message that does not say why.
		if name := s["accountname"]; name != "" && !strings.EqualFold(name, c.account) {
			return nil, bad(fetch.BadSettings, "azure", "AZURE_STORAGE_CONNECTION_STRING is for the account %s, and the URI names %s", name, c.account)
		}
		if endpoint := s["blobendpoint"]; endpoint != "" {
			u, err := url.Parse(strings.TrimRight(endpoint, "/"))
			if err != nil || u.Host == "" {
				return nil, bad(fetch.BadSettings, "azure", "AZURE_STORAGE_CONNECTION_STRING has a BlobEndpoint that is not a URL")
			}
			api.root = u
		}
	}
	switch {
	case key != "":
		secret, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			return nil, bad(fetch.BadSettings, "azure", "the key of the storage account is not base64")
		}
		return func(r *http.Request) error { signShared(r, c.account, secret); return nil }, nil
	case sas != "":
		api.sas = strings.TrimPrefix(sas, "?")
		return unsigned, nil
	}
	return c.entra(o)
}

// connectionString reads Key=Value pairs between semicolons. Keys are in lower case.
func connectionString(text string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
			out[strings.ToLower(k)] = v
		}
	}
	return out
}

const storageScope = "https://storage.azure.com/"

// entra gets tokens of Entra ID, Azure's directory of users and workloads, by its form for programs (RFC 6749, section 4.4). Azure's
// libraries try the same three sources in this order.
func (c *azureCredentials) entra(o fetch.Options) (signer, error) {
	tenant, client, secret, file := c.env("AZURE_TENANT_ID"), c.env("AZURE_CLIENT_ID"), c.env("AZURE_CLIENT_SECRET"), c.env("AZURE_FEDERATED_TOKEN_FILE")
	authority := strings.TrimRight(c.env("AZURE_AUTHORITY_HOST"), "/")
	if authority == "" {
		authority = "https://login.microsoftonline.com"
	}
	tokens := &renewed[string]{now: c.world.Now}
	if tenant != "" && client != "" && (secret != "" || file != "") {
		tokens.fetch = func(ctx context.Context) (string, time.Time, error) {
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {client}, "scope": {storageScope + ".default"}}
			if secret != "" {
				form.Set("client_secret", secret)
			} else {
				assertion, err := c.world.ReadFile(file)
				if err != nil {
					return "", time.Time{}, bad(fetch.BadSettings, "azure", "the file of AZURE_FEDERATED_TOKEN_FILE cannot be read")
				}
				form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
				form.Set("client_assertion", strings.TrimSpace(string(assertion)))
			}
			return c.service.oauth(ctx, tokenCall{address: authority + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token", form: form})
		}
		return bearer(tokens), nil
	}
	machine := c.service
	var err error
	if machine.client, err = machineClient(o); err != nil {
		return nil, err
	}
	q := url.Values{"api-version": {"2018-02-01"}, "resource": {storageScope}}
	if client != "" {
		q.Set("client_id", client)
	}
	address := "http://169.254.169.254/metadata/identity/oauth2/token?" + q.Encode()
	tokens.fetch = func(ctx context.Context) (string, time.Time, error) {
		token, until, err := machine.oauth(ctx, tokenCall{address: address, header: map[string]string{"Metadata": "true"}})
		if err != nil {
			return "", time.Time{}, ctx.Err() // not in Azure
		}
		return token, until, nil
	}
	return bearer(tokens), nil
}

// signShared signs a GET without a body by the account's key (Shared Key of Blob Storage). What is signed is a line for each of
// twelve headers, of which such a request has at most two, then those of Azure's own, the path and the query.
func signShared(r *http.Request, account string, key []byte) {
	lines := []string{r.Method, "", "", "", "", "", "", "", r.Header.Get("If-Match"), "", "", r.Header.Get("Range")}
	var headers []string
	for name := range r.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-ms-") {
			headers = append(headers, low+":"+strings.TrimSpace(r.Header.Get(name)))
		}
	}
	slices.Sort(headers)
	lines = append(append(lines, headers...), "/"+account+r.URL.EscapedPath())
	q := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(q[name], ","))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join(lines, "\n"))) // never fails
	r.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
