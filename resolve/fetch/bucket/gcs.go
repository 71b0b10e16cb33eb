package bucket

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"mlenv/resolve/fetch"
)

// gcs is the JSON API of Google Cloud Storage: objects.list and objects.get.
type gcs struct {
	bucket string
	root   string // the address of the API
}

// openGCS opens gs://BUCKET/PREFIX.
func openGCS(world Outside, o fetch.Options, uri string) (fetch.Store, error) {
	name, prefix := split(uri)
	if !bucketName.MatchString(name) {
		return nil, bad(fetch.BadURI, "gs", "names no bucket that Google Cloud Storage could have")
	}
	o.TLS = fetch.TLS{}
	client, err := fetch.NewClient(o)
	if err != nil {
		return nil, err
	}
	api := &gcs{bucket: name, root: "https://storage.googleapis.com"}
	out := &store{kind: "gs", prefix: withSlash(prefix), api: api, sign: unsigned, client: client}
	// An emulator wants no credentials, and must not get any.
	if host := strings.TrimRight(strings.TrimSpace(world.Env("STORAGE_EMULATOR_HOST")), "/"); host != "" {
		if !strings.Contains(host, "://") {
			host = "http://" + host
		}
		api.root = host
		return out, nil
	}
	g := &google{world: world, service: tokenService{cloud: "gs", client: client, now: world.Now}}
	if out.sign, err = g.signer(o); err != nil {
		return nil, err
	}
	return out, nil
}

func (g *gcs) request(ctx context.Context, path string, q url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.root+"/storage/v1/b/"+url.PathEscape(g.bucket)+"/o"+path+"?"+q.Encode(), nil)
	if err != nil {
		return nil, bad(fetch.BadSettings, "gs", "STORAGE_EMULATOR_HOST is not the address of an emulator")
	}
	return r, nil
}

// list implements api. It asks for the four fields that count, since all of them together are ten times as long.
func (g *gcs) list(ctx context.Context, prefix, token string) (*http.Request, error) {
	q := url.Values{"prefix": {prefix}, "maxResults": {"1000"}, "fields": {"items(name,size,generation,md5Hash),nextPageToken"}}
	if token != "" {
		q.Set("pageToken", token)
	}
	return g.request(ctx, "", q)
}

// page implements api.
func (g *gcs) page(data []byte) (page, error) {
	var got struct {
		Items []struct {
			Name       string `json:"name"`
			Size       string `json:"size"`
			Generation string `json:"generation"`
			MD5        []byte `json:"md5Hash"` // none of an object that was composed
		} `json:"items"`
		Next string `json:"nextPageToken"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return page{}, err
	}
	p := page{next: got.Next}
	for _, o := range got.Items {
		size, err := strconv.ParseInt(o.Size, 10, 64)
		if err != nil {
			return page{}, err
		}
		p.objects = append(p.objects, object{key: o.Name, size: size, tag: o.Generation, sum: fetch.SumOf(hex.EncodeToString(o.MD5))})
	}
	return p, nil
}

// get implements api. The generation is asked for by its number: what was written since is not sent.
func (g *gcs) get(ctx context.Context, o object) (*http.Request, error) {
	q := url.Values{"alt": {"media"}}
	if o.tag != "" {
		q.Set("ifGenerationMatch", o.tag)
	}
	return g.request(ctx, "/"+url.PathEscape(o.key), q)
}
