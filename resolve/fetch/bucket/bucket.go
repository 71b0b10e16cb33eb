// Package bucket reads models in object stores: Amazon S3 and what speaks like it (s3:), Google Cloud
// Storage (gs:), and Azure Blob Storage and Data Lake (wasbs:, abfss:).
//
// # Why no SDK
//
// A model needs two requests of a store: list what lies below a prefix, and read an object from a byte
// on. The SDKs of the three clouds would make the binary half as large again or more (docs/benchmarks.md
// has what each costs), read the environment by themselves, and try again and follow redirects by rules
// of their own. So the requests are written out here, and sent by the same client as those to MLflow's servers, with
// the same bounds.
//
// # Credentials
//
// They are searched for where the cloud's own tools do, in the same order; what is not supported is refused
// by name, never passed over, so that nobody reads with other credentials than was thought. Where there are none,
// requests go unsigned, which public buckets allow. A request is signed for the one host that it is made for,
// and redirects are not followed, so credentials reach no other. A URI that a server names may send them to
// the clouds' own hosts alone, or to the endpoint that the user has set.
//
// # What is proved
//
// Each store lists an object with a tag (an ETag, a generation) that changes whenever the object does, and
// is asked for the object of just that tag: what is replaced between listing and reading is noticed.
package bucket

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mlenv/resolve/fetch"
	"mlenv/resolve/pattern"
)

// Outside is what stores take from the world around them.
type Outside struct {
	fetch.Environment
	Now func() time.Time // requests are signed with the time
}

// Stores gives the stores by their schemes, for Options.Stores of package fetch. Of the options they take Proxy,
// UserAgent, Timeout, Retries and Sleep. Their settings are read when one is opened, so that a wrong one for S3 is no
// error for who does not use it. Errors are of type *fetch.Error, with the scheme's cloud ("s3", "gs", "azure") as Detail.
func Stores(world Outside, o fetch.Options) map[string]func(ctx context.Context, uri string) (fetch.Store, error) {
	return map[string]func(context.Context, string) (fetch.Store, error){
		"s3":    func(_ context.Context, uri string) (fetch.Store, error) { return openS3(world, o, uri) },
		"gs":    func(_ context.Context, uri string) (fetch.Store, error) { return openGCS(world, o, uri) },
		"wasbs": func(_ context.Context, uri string) (fetch.Store, error) { return openAzure(world, o, uri) },
		"abfss": func(_ context.Context, uri string) (fetch.Store, error) { return openAzure(world, o, uri) },
	}
}

// object is what a store lists.
type object struct {
	key  string // from the bucket's root
	dir  bool
	size int64
	tag  string
	sum  string // as fetch.File has it
}

// page is a part of a listing.
type page struct {
	objects []object
	next    string // the token of the next part, "" for none
}

// api is how one kind of store is spoken to. Requests are complete but for their signature.
type api interface {
	// list asks for the objects below a prefix, from where a token says.
	list(ctx context.Context, prefix, token string) (*http.Request, error)
	// page reads the answer.
	page(data []byte) (page, error)
	// get asks for an object as it was listed.
	get(ctx context.Context, o object) (*http.Request, error)
}

// signer adds the credentials to a request.
type signer func(r *http.Request) error

// store is a fetch.Store of the objects below a prefix.
type store struct {
	kind   string // "s3", "gs", "azure"
	prefix string // "" or ending in a slash
	api    api
	sign   signer
	client *fetch.Client
	// learns reports whether a refusal teaches the API how to ask, as S3 does with a bucket's region. May be nil.
	learns func(*http.Response) bool
}

const (
	maxPages = 1000     // of a listing, which has a thousand objects on each
	maxPage  = 32 << 20 // bytes
)

// List implements fetch.Store.
func (s *store) List(ctx context.Context, add func(fetch.File) error) error {
	token := ""
	for range maxPages {
		var got page
		err := s.client.Try(ctx, func() error {
			resp, err := s.send(0, func() (*http.Request, error) { return s.api.list(ctx, s.prefix, token) })
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
			if err != nil {
				return &fetch.Error{Kind: fetch.Truncated, Msg: host(resp) + " ended its answer early", Err: err, Temporary: true}
			}
			if got, err = s.api.page(data); err != nil || len(data) > maxPage {
				return &fetch.Error{Kind: fetch.ServerFailed, Detail: s.kind, Msg: host(resp) + " answers, but not as the store of " + s.kind + ": does"}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, o := range got.objects {
			if err := s.add(o, add); err != nil {
				return err
			}
		}
		if got.next == "" {
			return nil
		}
		token = got.next
	}
	return &fetch.Error{Kind: fetch.BadListing, Msg: fmt.Sprintf("the store lists its objects on more than %d pages", maxPages)}
}

// add tells of one object. Some tools write empty objects whose names end in a slash, which stand for directories.
func (s *store) add(o object, add func(fetch.File) error) error {
	name, below := strings.CutPrefix(o.key, s.prefix)
	if !below {
		return &fetch.Error{Kind: fetch.BadListing, Msg: fmt.Sprintf("the store lists %q, which was not asked for", o.key)}
	}
	if o.size < 0 { // which would stand for a size that is not known
		return &fetch.Error{Kind: fetch.BadListing, Msg: fmt.Sprintf("the store lists %q with a size of %d bytes", o.key, o.size)}
	}
	if dir, ok := strings.CutSuffix(name, "/"); ok && o.size == 0 {
		name, o.dir = dir, true
	}
	if name == "" {
		return nil
	}
	return add(fetch.File{Path: name, Dir: o.dir, Size: o.size, Tag: o.tag, Sum: o.sum})
}

// Open implements fetch.Store.
func (s *store) Open(ctx context.Context, f fetch.File, offset int64) (*fetch.Body, error) {
	o := object{key: s.prefix + f.Path, size: f.Size, tag: f.Tag}
	resp, err := s.send(f.Size, func() (*http.Request, error) {
		r, err := s.api.get(ctx, o)
		if err == nil && offset > 0 {
			r.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	b, err := fetch.BodyOf(resp)
	if err == nil {
		b.Tag = f.Tag // which was a condition of the request
	}
	return b, err
}

// Name implements fetch.Named. Two names of a bucket, such as by way of two regions, are two stores.
func (s *store) Name(f fetch.File) string {
	r, err := s.api.get(context.Background(), object{key: s.prefix + f.Path})
	if err != nil {
		return ""
	}
	u := *r.URL
	u.RawQuery = "" // which may give access
	return u.String()
}

// send signs and sends a request, and turns what is no success into an error.
func (s *store) send(size int64, request func() (*http.Request, error)) (*http.Response, error) {
	for again := false; ; again = true {
		r, err := request()
		if err != nil {
			return nil, err
		}
		if err := s.sign(r); err != nil {
			return nil, err
		}
		resp, err := s.client.Send(r, size)
		if err != nil || resp.StatusCode/100 == 2 {
			return resp, err
		}
		if !again && s.learns != nil && s.learns(resp) {
			resp.Body.Close()
			continue
		}
		return nil, refusal(s.kind, resp)
	}
}

func host(resp *http.Response) string { return resp.Request.URL.Host }

// codeText is a code that may be quoted. Messages are not: some stores quote the request in them, with its signature.
var codeText = pattern.New(`^[A-Za-z_]{1,60}$`)

// refusal reads an answer that is no success, and closes it.
func refusal(kind string, resp *http.Response) error {
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is not quoted
	e := &fetch.Error{Kind: fetch.ServerFailed, Status: resp.StatusCode, Detail: kind}
	e.Msg = fmt.Sprintf("%s answered %d", host(resp), resp.StatusCode)
	code := errorCode(data)
	if code != "" {
		e.Msg += " (" + code + ")"
	}
	switch c := resp.StatusCode; {
	case c == http.StatusUnauthorized || c == http.StatusForbidden || c == http.StatusProxyAuthRequired,
		c == http.StatusBadRequest && (code == "ExpiredToken" || code == "InvalidToken" || strings.HasPrefix(code, "invalid_")):
		e.Kind = fetch.Denied
	case c == http.StatusNotFound:
		e.Kind = fetch.NotFound
	case c == http.StatusPreconditionFailed || c == http.StatusRequestedRangeNotSatisfiable:
		e.Kind, e.Msg = fetch.Changed, "it was replaced in the store after it was listed"
	case c == http.StatusRequestTimeout || c == http.StatusTooManyRequests || c >= 500 && c != http.StatusNotImplemented:
		e.Temporary, e.After = true, fetch.RetryAfter(resp)
	}
	return e
}

// errorCode is the word by which a store says what is wrong: S3 and Azure as XML, Google and token services as JSON.
func errorCode(data []byte) string {
	var inXML struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
	}
	var inJSON struct {
		Error json.RawMessage `json:"error"`
	}
	var code string
	if xml.Unmarshal(data, &inXML) == nil {
		code = inXML.Code
	} else if json.Unmarshal(data, &inJSON) == nil {
		var whole struct {
			Errors []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		}
		if json.Unmarshal(inJSON.Error, &code) != nil && json.Unmarshal(inJSON.Error, &whole) == nil && len(whole.Errors) > 0 {
			code = whole.Errors[0].Reason
		}
	}
	if !codeText.MatchString(code) {
		return ""
	}
	return code
}

func bad(kind fetch.Kind, cloud, format string, args ...any) error {
	return &fetch.Error{Kind: kind, Detail: cloud, Msg: fmt.Sprintf(format, args...)}
}

// split takes a URI apart: what stands behind the slashes, and the path. MLflow takes nothing in a path as escaped,
// so neither does mlenv: "%20" is three characters of a name.
func split(uri string) (authority, path string) {
	_, rest, _ := strings.Cut(uri, "://")
	authority, path, _ = strings.Cut(rest, "/")
	return authority, path
}

// withSlash makes a path a prefix: "" stays that.
func withSlash(p string) string {
	if p = strings.Trim(p, "/"); p != "" {
		p += "/"
	}
	return p
}
