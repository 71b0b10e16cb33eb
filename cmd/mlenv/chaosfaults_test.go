package main

import (
	"bytes"
	"context"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
)

// chaos lets servers fail. Which request fails and how depends on the seed, the round, the request
// and how often it was made in this round: not on the order in which requests happen to arrive.
// Only for the few blobs that name the servers' ports, in a lock, does it differ between runs.
type chaos struct {
	mu       sync.Mutex
	rate     float64        // of the requests that fail; 0: none
	round    uint64         // mixed into every decision
	asked    map[string]int // how often each request was made in this round
	total    int            // requests of this round
	cancelAt int            // the request that interrupts the build; 0: none
	cancel   context.CancelFunc
	done     map[fault]int // how often each fault happened, in all rounds
}

type fault string

const (
	none      fault = ""
	reset     fault = "connection reset"
	lost      fault = "answer lost" // the server did what it was asked for
	broken    fault = "5xx"
	tooMany   fault = "429"
	truncated fault = "body cut short"
	slow      fault = "slow body"
	wrong     fault = "wrong bytes"
	upload    fault = "upload changed on its way"
)

var allFaults = []fault{reset, lost, broken, tooMany, truncated, slow, wrong, upload}

// begin starts a round.
func (c *chaos) begin(round uint64, rate float64, cancelAt int, cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round, c.rate, c.cancelAt, c.cancel = round, rate, cancelAt, cancel
	c.asked, c.total = map[string]int{}, 0
}

// uploadID is random in every run.
var uploadID = regexp.MustCompile(`/uploads/[^?]+`)

// choose decides a request's fate, and gives a number for the details.
func (c *chaos) choose(r *http.Request) (fault, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total++; c.total == c.cancelAt {
		c.cancel()
	}
	if c.rate == 0 {
		return none, 0
	}
	key := r.Method + " " + uploadID.ReplaceAllString(r.URL.Path, "/uploads/") + "?" + r.URL.RawQuery + " " + r.Header.Get("Range")
	h := fnv.New64a()
	io.WriteString(h, key)
	rng := rand.New(rand.NewPCG(c.round, h.Sum64()+uint64(c.asked[key])))
	c.asked[key]++
	if rng.Float64() >= c.rate {
		return none, 0
	}
	f := allFaults[rng.IntN(len(allFaults))]
	// Not among the faults: a server that lies about what it did or has, and what changes a page or
	// a manifest that is known by its name alone. No client can find them; TLS guards against them.
	hasBlob := (r.Method == http.MethodPatch || r.Method == http.MethodPut) && uploadID.MatchString(r.URL.Path)
	switch {
	case hasBlob && (f == wrong || f == slow):
		f = upload
	case !hasBlob && f == upload:
		f = reset
	case f == wrong && r.Method != http.MethodGet:
		f = broken
	}
	c.done[f]++
	return f, rng.Uint64()
}

// wrap gives the server that fails.
func (c *chaos) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, n := c.choose(r)
		switch f {
		case none:
			next.ServeHTTP(w, r)
		case reset:
			hangUp(w)
		case lost:
			next.ServeHTTP(httptest.NewRecorder(), r)
			hangUp(w)
		case broken:
			if n%2 == 0 {
				w.Header().Set("Retry-After", "3600")
			}
			w.WriteHeader([]int{500, 502, 503, 504}[n%4])
		case tooMany:
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
		case upload:
			body, err := io.ReadAll(r.Body)
			if err == nil && len(body) > 0 {
				body[n%uint64(len(body))] ^= 1
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next.ServeHTTP(w, r)
		default:
			spoil(w, r, next, f, n)
		}
	})
}

// contentAddressed are the paths of what a client can check by a hash that it knows.
var contentAddressed = regexp.MustCompile(`^/files/|sha256:`)

// spoil answers as the server would, but for the body.
func spoil(w http.ResponseWriter, r *http.Request, next http.Handler, f fault, n uint64) {
	r.Header.Del("Accept-Encoding")
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if f == wrong && len(body) > 0 {
		if contentAddressed.MatchString(r.URL.Path) {
			body[n%uint64(len(body))] ^= 1
		} else { // the portal of a hotel's network
			answer = httptest.NewRecorder()
			answer.Header().Set("Content-Type", "text/html")
			body = []byte("<!DOCTYPE html><html><body>Welcome! Please log in.</body></html>")
		}
	}
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	if r.Method != http.MethodHead && answer.Code != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(answer.Code)
	switch {
	case r.Method == http.MethodHead:
	case f == truncated:
		w.Write(body[:len(body)/2])
		flush(w)
		hangUp(w)
	case f == slow:
		for len(body) > 0 {
			piece := min(len(body), 1+len(body)/4)
			w.Write(body[:piece])
			flush(w)
			body = body[piece:]
		}
	default:
		w.Write(body)
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// hangUp resets the connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST instead of FIN
	}
	conn.Close()
}

// swappable is a handler that can be exchanged while its server runs.
type swappable struct {
	mu   sync.RWMutex
	next http.Handler
}

func (s *swappable) set(next http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = next
}

func (s *swappable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.RLock()
	next := s.next
	s.mu.RUnlock()
	next.ServeHTTP(w, r)
}

// withPassword asks for a user and a password (HTTP basic authentication).
func withPassword(user, password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="chaos"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
