package bucket

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"mlenv/resolve/fetch"
)

// early is how long before their end credentials are renewed: a request that is under way must not outlive them.
const early = 5 * time.Minute

// renewed is a value that ends some time, and is then fetched anew.
type renewed[T any] struct {
	now   func() time.Time
	fetch func(context.Context) (T, time.Time, error) // the time is that of the value's end, zero for none

	mu    sync.Mutex
	value T
	until time.Time
	there bool
}

// get gives the value. Several callers wait for one that fetches it.
func (v *renewed[T]) get(ctx context.Context) (T, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.there && (v.until.IsZero() || v.now().Add(early).Before(v.until)) {
		return v.value, nil
	}
	value, until, err := v.fetch(ctx)
	if err != nil {
		var none T
		return none, err
	}
	v.value, v.until, v.there = value, until, true
	return value, nil
}

// bearer signs requests with a token.
func bearer(tokens *renewed[string]) signer {
	return func(r *http.Request) error {
		token, err := tokens.get(r.Context())
		if err == nil && token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return err
	}
}

// unsigned leaves requests as they are, for stores that everybody may read.
func unsigned(*http.Request) error { return nil }

// tokenService asks the services that give credentials.
type tokenService struct {
	cloud  string
	client *fetch.Client
	now    func() time.Time
}

// maxToken bounds the answer of such a service.
const maxToken = 1 << 20

// tokenCall is what such a service is asked.
type tokenCall struct {
	method  string // "": GET, or POST with a form
	address string
	form    url.Values
	json    string // instead of a form
	header  map[string]string
}

// request makes the request.
func (c tokenCall) request(ctx context.Context) (*http.Request, error) {
	method, body, kind := http.MethodGet, c.json, ""
	switch {
	case c.form != nil:
		method, body, kind = http.MethodPost, c.form.Encode(), "application/x-www-form-urlencoded"
	case c.json != "":
		method, kind = http.MethodPost, "application/json"
	case c.method != "":
		method = c.method
	}
	r, err := http.NewRequestWithContext(ctx, method, c.address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	return r, nil
}

// ask sends a request, with retries, and gives what it answers. Neither the request nor the answer are ever quoted.
func (s *tokenService) ask(ctx context.Context, c tokenCall) ([]byte, error) {
	var data []byte
	err := s.client.Try(ctx, func() error {
		r, err := c.request(ctx)
		if err != nil {
			return bad(fetch.BadSettings, s.cloud, "the address of the service that gives credentials is not a URL")
		}
		resp, err := s.client.Send(r, 0)
		if err != nil {
			return err
		}
		if resp.StatusCode/100 != 2 {
			return refusal(s.cloud, resp)
		}
		defer resp.Body.Close()
		data, err = io.ReadAll(io.LimitReader(resp.Body, maxToken))
		if err != nil {
			return &fetch.Error{Kind: fetch.Truncated, Msg: host(resp) + " ended its answer early", Temporary: true}
		}
		return nil
	})
	return data, err
}

// oauth asks for a token, and reads the answer (RFC 6749, section 5.1).
func (s *tokenService) oauth(ctx context.Context, c tokenCall) (string, time.Time, error) {
	data, err := s.ask(ctx, c)
	if err != nil {
		return "", time.Time{}, err
	}
	var got struct {
		Token   string      `json:"access_token"`
		Seconds json.Number `json:"expires_in"`
	}
	if json.Unmarshal(data, &got) != nil || got.Token == "" {
		return "", time.Time{}, s.unreadable()
	}
	// Without an end, which the standard allows, the token is taken to be good for one request.
	seconds, _ := got.Seconds.Int64()
	return got.Token, s.now().Add(time.Duration(seconds) * time.Second), nil
}

func (s *tokenService) unreadable() error {
	return bad(fetch.Denied, s.cloud, "the service that gives credentials answers without any")
}

// awsKeys are AWS credentials as services give them, as JSON or XML.
type awsKeys struct {
	XMLName xml.Name  `xml:"Credentials" json:"-"`
	ID      string    `json:"AccessKeyId" xml:"AccessKeyId"`
	Secret  string    `json:"SecretAccessKey" xml:"SecretAccessKey"`
	Token   string    `json:"Token" xml:"SessionToken"`
	Until   time.Time `json:"Expiration" xml:"Expiration"`
}
