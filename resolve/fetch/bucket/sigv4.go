package bucket

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// emptySHA is the SHA-256 of no bytes: no request that is signed here has a body.
const emptySHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// signV4 signs a request without a body for S3, by AWS Signature Version 4. It signs the host and all x-amz
// headers; the path and the query must be escaped as escapeAWS and queryAWS do.
func signV4(r *http.Request, k awsKeys, region string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	r.Header.Set("X-Amz-Date", stamp)
	r.Header.Set("X-Amz-Content-Sha256", emptySHA)
	if k.Token != "" {
		r.Header.Set("X-Amz-Security-Token", k.Token)
	}
	headers := map[string]string{"host": r.URL.Host}
	for name := range r.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-amz-") {
			headers[low] = strings.TrimSpace(r.Header.Get(name))
		}
	}
	var names []string
	for name := range headers {
		names = append(names, name)
	}
	slices.Sort(names)
	request := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range names {
		request += name + ":" + headers[name] + "\n"
	}
	signed := strings.Join(names, ";")
	request += "\n" + signed + "\n" + emptySHA
	sum := sha256.Sum256([]byte(request))
	key := []byte("AWS4" + k.Secret)
	for _, part := range []string{stamp[:8], region, "s3", "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	signature := hmacSHA256(key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(sum[:]))
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+k.ID+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(signature))
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}

// escapeAWS escapes a path as signatures want it: everything but letters, digits, "-._~" and the slash.
func escapeAWS(path string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
	var out strings.Builder
	for _, b := range []byte(path) {
		if strings.IndexByte(plain, b) >= 0 {
			out.WriteByte(b)
		} else {
			out.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{b})))
		}
	}
	return out.String()
}

// queryAWS is a query as signatures want it: sorted, and with spaces as %20.
func queryAWS(q url.Values) string { return strings.ReplaceAll(q.Encode(), "+", "%20") }
