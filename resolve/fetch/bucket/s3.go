package bucket

import (
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"mlenv/resolve/fetch"
	"mlenv/resolve/pattern"
)

// s3 is the API of S3: ListObjectsV2 and GetObject. MinIO, Ceph and others speak it as well, and are reached by an endpoint; they
// expect the bucket in the path, as every one of them understands it there.
type s3 struct {
	bucket   string
	endpoint *url.URL // of the user's own, nil for Amazon's
	virtual  bool     // the bucket is part of the host's name
	owner    string   // account that the bucket must belong to, "" for any

	mu     sync.Mutex
	region string
}

// s3Settings are what S3's settings come to.
type s3Settings struct {
	endpoint, region, style, owner string
	tls                            fetch.TLS
}

// openS3 opens s3://BUCKET/PREFIX.
func openS3(world Outside, o fetch.Options, uri string) (fetch.Store, error) {
	name, prefix := split(uri)
	if !bucketName.MatchString(name) || net.ParseIP(name) != nil {
		return nil, bad(fetch.BadURI, "s3", "names no bucket that S3 could have")
	}
	a := aws{world: world}
	settings, err := a.s3Settings()
	if err != nil {
		return nil, err
	}
	api := &s3{bucket: name, region: settings.region, owner: settings.owner, virtual: settings.style == "virtual"}
	if settings.endpoint != "" {
		if api.endpoint, err = url.Parse(strings.TrimRight(settings.endpoint, "/")); err != nil || api.endpoint.Host == "" {
			return nil, bad(fetch.BadSettings, "s3", "the endpoint of S3 is not a URL such as https://minio.example.com")
		}
	} else {
		// Amazon wants the bucket in the host's name, but a name with dots fits no certificate.
		api.virtual = settings.style != "path" && !strings.Contains(name, ".")
	}
	// How MLflow's server is trusted says nothing of how a bucket is.
	tls := o
	tls.TLS = settings.tls
	client, err := fetch.NewClient(tls)
	if err != nil {
		return nil, err
	}
	keys, err := a.keys(o, settings.region)
	if err != nil {
		return nil, err
	}
	return &store{
		kind: "s3", prefix: withSlash(prefix), api: api, client: client, learns: api.learns,
		sign: func(r *http.Request) error {
			k, err := keys.get(r.Context())
			if err == nil && k.ID != "" {
				signV4(r, k, api.currentRegion(), world.Now())
			}
			return err
		},
	}, nil
}

var (
	bucketName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$`)
	regionName = pattern.New(`^[a-z0-9-]{1,40}$`)
)

func (s *s3) currentRegion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.region
}

// learns takes the bucket's region from a refusal: a request for another region's bucket is answered with where it
// is. Only the region's name is taken, never an address.
func (s *s3) learns(resp *http.Response) bool {
	region := resp.Header.Get("X-Amz-Bucket-Region")
	s.mu.Lock()
	defer s.mu.Unlock()
	if region == s.region || !regionName.MatchString(region) {
		return false
	}
	s.region = region
	return true
}

// url is the address of an object, "" for the bucket itself.
func (s *s3) url(key string) *url.URL {
	base := s.endpoint
	if base == nil {
		region := s.currentRegion()
		domain := "amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			domain = "amazonaws.com.cn"
		}
		base = &url.URL{Scheme: "https", Host: "s3." + region + "." + domain}
	}
	u := *base
	path := strings.TrimRight(u.Path, "/")
	if s.virtual {
		u.Host = s.bucket + "." + u.Host
	} else {
		path += "/" + s.bucket
	}
	u.Path = path + "/" + key
	u.RawPath = escapeAWS(u.Path)
	return &u
}

func (s *s3) request(ctx context.Context, u *url.URL) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, bad(fetch.BadSettings, "s3", "the endpoint of S3 is not a URL such as https://minio.example.com")
	}
	r.URL = u // as it was escaped: the signature is of just this text
	if s.owner != "" {
		r.Header.Set("X-Amz-Expected-Bucket-Owner", s.owner)
	}
	return r, nil
}

// list implements api.
func (s *s3) list(ctx context.Context, prefix, token string) (*http.Request, error) {
	u := s.url("")
	q := url.Values{"list-type": {"2"}, "encoding-type": {"url"}, "prefix": {prefix}}
	if token != "" {
		q.Set("continuation-token", token)
	}
	u.RawQuery = queryAWS(q)
	return s.request(ctx, u)
}

// page implements api.
func (s *s3) page(data []byte) (page, error) {
	var got struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Encoding string   `xml:"EncodingType"`
		Objects  []struct {
			Key  string `xml:"Key"`
			Size *int64 `xml:"Size"`
			ETag string `xml:"ETag"`
		} `xml:"Contents"`
		More bool   `xml:"IsTruncated"`
		Next string `xml:"NextContinuationToken"`
	}
	if err := xml.Unmarshal(data, &got); err != nil {
		return page{}, err
	}
	var p page
	for _, o := range got.Objects {
		if got.Encoding == "url" { // for names that XML cannot hold
			name, err := url.QueryUnescape(o.Key)
			if err != nil {
				return page{}, err
			}
			o.Key = name
		}
		if o.Size == nil {
			return page{}, fmt.Errorf("no size")
		}
		p.objects = append(p.objects, object{key: o.Key, size: *o.Size, tag: strong(o.ETag), sum: fetch.SumOf(o.ETag)})
	}
	if got.More {
		p.next = got.Next
	}
	return p, nil
}

// get implements api. If-Match makes a bucket refuse what is not the object of the listing any more, in a range as well.
func (s *s3) get(ctx context.Context, o object) (*http.Request, error) {
	r, err := s.request(ctx, s.url(o.key))
	if err == nil && o.tag != "" {
		r.Header.Set("If-Match", o.tag)
	}
	return r, err
}

// strong is an ETag as headers have it, in quotes; "" for a weak one, which promises no bytes. Listings of some
// stores leave the quotes away.
func strong(tag string) string {
	switch {
	case tag == "" || strings.HasPrefix(tag, "W/"):
		return ""
	case strings.HasPrefix(tag, `"`):
		return tag
	}
	return `"` + tag + `"`
}
