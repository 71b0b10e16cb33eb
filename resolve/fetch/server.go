package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// server is an MLflow server, spoken to by its REST API.
type server struct {
	root     *url.URL // without credentials
	client   *Client
	registry string // the route of its registry, "" for MLflow's own
	// authorize adds credentials to a request, where the client does not. May be nil.
	authorize func(*http.Request) error
}

// request is what a server is asked for.
type request struct {
	path  string // below the server's root, unescaped
	query url.Values
	post  any        // the JSON of a POST; nil: a GET
	form  url.Values // of a POST instead, nil for none
	after int64      // the offset to begin at
	tag   string     // of the file whose rest is wanted
	size  int64      // of what is asked for, as far as it is known
	page  bool       // what is asked for is a page for people by its name
}

// maxAnswer bounds what an API call answers.
const maxAnswer = 32 << 20

// call asks for JSON, with retries. Its errors are of type *Error.
func (s *server) call(ctx context.Context, r request, into any) error {
	return s.client.Try(ctx, func() error {
		resp, err := s.send(ctx, r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		if err != nil {
			return &Error{Kind: Truncated, Msg: s.at() + " ended its answer early", Err: withoutURL(err), Temporary: true}
		}
		if len(data) > maxAnswer || json.Unmarshal(data, into) != nil {
			return s.notMLflow(resp)
		}
		return nil
	})
}

// file asks for the content of a file, once.
func (s *server) file(ctx context.Context, r request) (*Body, error) {
	resp, err := s.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if isPage(resp) && !r.page {
		resp.Body.Close()
		return nil, s.notMLflow(resp) // a login page
	}
	return BodyOf(resp)
}

// setRange asks for the rest of a file, if it is still the one of the tag.
func setRange(r *http.Request, offset int64, tag string) {
	if offset > 0 {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
		r.Header.Set("If-Range", tag)
	}
}

// strongTag is an ETag that promises the same bytes (RFC 9110, section 8.8.3).
func strongTag(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return ""
}

// send sends a request once, and turns all that is no success into an *Error.
func (s *server) send(ctx context.Context, r request) (*http.Response, error) {
	u := s.root.JoinPath(strings.Split(escapePath(r.path), "/")...)
	u.RawQuery = r.query.Encode()
	var body io.Reader
	method := http.MethodGet
	kind := ""
	switch {
	case r.post != nil:
		data, err := json.Marshal(r.post)
		if err != nil {
			return nil, err
		}
		method, body, kind = http.MethodPost, bytes.NewReader(data), "application/json"
	case r.form != nil:
		method, body, kind = http.MethodPost, strings.NewReader(r.form.Encode()), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, withoutURL(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	setRange(req, r.after, r.tag)
	if s.authorize != nil {
		if err := s.authorize(req); err != nil {
			return nil, err
		}
	}
	resp, err := s.client.Send(req, r.size)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, s.refusal(resp)
	}
	return resp, nil
}

// escapePath escapes the parts of a path, so that a name with a "?" or a "%" stays one.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// at names the server in a message.
func (s *server) at() string { return s.root.Host }

// refusal reads an answer that is no success. An MLflow server says why as JSON.
func (s *server) refusal(resp *http.Response) error {
	var said struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
		Detail  string `json:"detail"`
	}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is not quoted
	_ = json.Unmarshal(data, &said)
	e := &Error{Kind: ServerFailed, Status: resp.StatusCode, Detail: said.Code}
	e.Msg = fmt.Sprintf("%s answered %d", s.at(), resp.StatusCode)
	if why := quote(said.Message); why != "" {
		e.Msg += ": " + why
	}
	switch c := resp.StatusCode; {
	case c == http.StatusUnauthorized || c == http.StatusForbidden || c == http.StatusProxyAuthRequired:
		e.Kind = Denied
	case c == http.StatusNotFound && said.Code == "":
		return s.notMLflow(resp)
	case c == http.StatusNotFound:
		e.Kind = NotFound
	case c == http.StatusServiceUnavailable && (bytes.Contains(data, []byte("serve-artifacts"))):
		e.Kind, e.Detail = Unsupported, notProxied
	case c == http.StatusRequestTimeout || c == http.StatusTooManyRequests || c >= 500 && c != http.StatusNotImplemented:
		e.Temporary, e.After = true, RetryAfter(resp)
	}
	return e
}

// notProxied is the Detail of the error of a server that hands out no artifacts by its proxy route.
const notProxied = "no-serve-artifacts"

// quote makes a server's message fit for one line of ours.
func quote(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return strings.TrimSuffix(text, ".")
}

// notMLflow says that something else than an MLflow server answered.
func (s *server) notMLflow(resp *http.Response) error {
	e := &Error{Kind: NotMLflow, Status: resp.StatusCode, Msg: s.at() + " answers, but not as an MLflow server does"}
	if isPage(resp) {
		e.Msg = s.at() + " answers with a page for people, not as an MLflow server does"
	}
	if last := resp.Request.URL.Host; last != s.root.Host {
		e.Msg = s.at() + " redirects to " + last + ", which does not answer as an MLflow server does"
	}
	return e
}

func isPage(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return kind == "text/html"
}
