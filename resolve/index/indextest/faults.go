package indextest

import (
	"net/http"
	"net/http/httptest"
	"strconv"
)

// Status answers with a status, and with header fields given as pairs of key and value.
func Status(code int, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	})
}

// Body answers 200 with a content type and a body.
func Body(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write([]byte(body))
	})
}

// Truncate answers as the index would but breaks the connection after n bytes of the body.
func (x *Index) Truncate(n int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := x.record(r)
		body := answer.Body.Bytes()
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		w.Write(body[:min(n, len(body))])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

// Corrupt answers as the index would but changes one byte in the middle of the body.
func (x *Index) Corrupt() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding") // else the error would be one of gzip
		answer := x.record(r)
		body := answer.Body.Bytes()
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		w.Write(body)
	})
}

func (x *Index) record(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	x.Serve(answer, r)
	return answer
}

// Hang answers nothing, or the header and nothing of the body, until the client goes away.
func Hang(header bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if header {
			w.Header().Set("Content-Length", "1000000")
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	})
}

// WithQuery answers as the index would, but only who asks with a query; others are not allowed to.
func WithQuery(query string, x *Index) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != query {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		x.Serve(w, r)
	})
}

// Redirect answers 302 with a location.
func Redirect(to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
}
