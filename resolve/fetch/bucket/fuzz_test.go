package bucket

import (
	"strings"
	"testing"
)

// FuzzPage reads what a store may answer to the request for a listing: it is understood or refused, and never panics; no size is
// missing, and no sum is anything but an MD5.
func FuzzPage(f *testing.F) {
	f.Add([]byte(`<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%20b</Key><Size>1</Size><ETag>"x"</ETag></Contents></ListBucketResult>`))
	f.Add([]byte(`{"items":[{"name":"a","size":"1","generation":"2","md5Hash":"1B2M2Y8AsgTpgAmY7PhCfg=="}],"nextPageToken":"x"}`))
	f.Add([]byte(`<EnumerationResults><Blobs><Blob><Name Encoded="true">a%2Fb</Name><Properties><Content-Length>0</Content-Length></Properties></Blob></Blobs></EnumerationResults>`))
	f.Add([]byte(`<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, a := range []api{&s3{}, &gcs{}, &azure{}} {
			p, err := a.page(data)
			if err != nil {
				continue
			}
			for _, o := range p.objects {
				if o.sum != "" && (!strings.HasPrefix(o.sum, "md5:") || len(o.sum) < 36 || len(o.sum) > 42) {
					t.Errorf("the sum %q", o.sum)
				}
				if strings.HasPrefix(o.tag, "W/") {
					t.Errorf("the tag %q", o.tag)
				}
			}
		}
	})
}

// FuzzURI reads what a user or a server may write as the URI of a bucket: it is opened or refused, and never panics. What is
// opened is on a host of the cloud's.
func FuzzURI(f *testing.F) {
	for _, uri := range []string{"s3://bucket/a b", "gs://bucket", "wasbs://c1@account.blob.core.windows.net/x", "abfss://c1@evil.example/x", "s3://a@b.c/%2e%2e", "s3://[::1]/x"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		scheme, _, _ := strings.Cut(uri, ":")
		open, ok := Stores(outside(map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, nil), options(t))[scheme]
		if !ok {
			return
		}
		s, err := open(t.Context(), uri)
		if err != nil {
			return
		}
		r, err := s.(*store).api.get(t.Context(), object{key: "k"})
		if err != nil {
			return
		}
		host := r.URL.Hostname()
		if !strings.HasSuffix(host, ".amazonaws.com") && host != "storage.googleapis.com" && !azureHost.MatchString(host) {
			t.Errorf("%q asks %q", uri, host)
		}
	})
}
