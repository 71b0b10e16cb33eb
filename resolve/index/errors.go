package index

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"mlenv/resolve/pep508"
	"mlenv/resolve/secret"
)

// ErrNoMetadata is wrapped by Metadata's error for a source distribution that says nothing
// reliable of its requirements without being built.
var ErrNoMetadata = errors.New("no static metadata")

// NotFoundError reports that a name, or a file that a page names, is not there: every index
// answered, and none has it.
type NotFoundError struct {
	Name  pep508.Name // of the project; "" for a file
	File  string      // the URL, if a file is missing
	Where []string    // the indexes and links that were asked, without credentials
	Own   bool        // the project has an index of its own, see Assignment
}

func (e *NotFoundError) Error() string {
	if e.File != "" {
		return "not found: " + e.File
	}
	if len(e.Where) == 0 {
		return fmt.Sprintf("finding %s: no index and no find-links location is set", e.Name)
	}
	return fmt.Sprintf("finding %s: not in %s", e.Name, strings.Join(e.Where, ", "))
}

// NetworkError reports that a server could not be asked, or did not give a usable answer. What it
// was asked for may well exist.
type NetworkError struct {
	URL    string // without credentials and query
	Status int    // of the last answer; 0 if there was none
	Tries  int
	Err    error // nil if Status says it all
}

func (e *NetworkError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fetching %s: ", e.URL)
	switch {
	case e.Err != nil:
		b.WriteString(e.Err.Error())
	default:
		fmt.Fprintf(&b, "the server answered %d", e.Status)
	}
	if e.Tries > 1 {
		fmt.Fprintf(&b, " (tried %d times)", e.Tries)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// HashError reports that what was received is not what the index, the lock or the requirement
// named.
type HashError struct {
	URL       string // without credentials and query
	Algorithm string // "size" if the length already differs
	Want, Got string
}

func (e *HashError) Error() string {
	return fmt.Sprintf("verifying %s: its %s is %s, but %s was promised", e.URL, e.Algorithm, e.Got, e.Want)
}

// SizeError reports a file that is larger than the user lets files be.
type SizeError struct {
	URL        string // without credentials and query
	Size, Most int64  // bytes; Size is 0 if the index does not say it
}

func (e *SizeError) Error() string {
	if e.Size > 0 {
		return fmt.Sprintf("%s has %d bytes, more than the %d that are downloaded of a file", e.URL, e.Size, e.Most)
	}
	return fmt.Sprintf("%s has more than the %d bytes that are downloaded of a file", e.URL, e.Most)
}

// OfflineError reports that something is not in the cache and that the network is not to be used.
type OfflineError struct {
	What string // "the page of numpy from https://…", without credentials
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("%s is not in the cache, and the network is switched off", e.What)
}

// FormatError reports an answer that is not what its standard asks for.
type FormatError struct {
	URL string // without credentials and query
	Err error
}

func (e *FormatError) Error() string { return fmt.Sprintf("reading %s: %v", e.URL, e.Err) }

// Unwrap gives the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Redact gives a URL without user name, password, query and fragment, fit for a message.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return secret.URL(raw)
	}
	return redact(u)
}

func redact(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.Fragment, c.RawFragment, c.ForceQuery = nil, "", "", "", false
	return c.String()
}

// withoutUser gives a URL without credentials but otherwise whole, fragment excepted.
func withoutUser(u *url.URL) string {
	c := *u
	c.User, c.Fragment, c.RawFragment = nil, "", ""
	return c.String()
}
