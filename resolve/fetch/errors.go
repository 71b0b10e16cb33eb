package fetch

import (
	"time"

	"mlenv/resolve/secret"
)

// Kind is what kept a model from being fetched, for those who say what can be done about it.
type Kind string

// The kinds of errors.
const (
	BadURI       Kind = "bad URI"       // it is not written as its scheme wants it
	Unsupported  Kind = "unsupported"   // of a scheme, or a kind of store, that mlenv does not read
	NoServer     Kind = "no server"     // a models:/ or runs:/ URI, and nothing says which server is meant
	Database     Kind = "database"      // the tracking URI names a database, which only MLflow's server reads
	BadSettings  Kind = "bad settings"  // the settings contradict each other, or a file of theirs cannot be read
	NotFound     Kind = "not found"     // no such model, version, alias, run or logged model
	Empty        Kind = "empty"         // it is there, but has no files
	Denied       Kind = "denied"        // the credentials are missing, wrong or not enough
	NotMLflow    Kind = "not MLflow"    // what answers is something else, such as the login page of a proxy
	Unreachable  Kind = "unreachable"   // no connection
	Certificate  Kind = "certificate"   // the server's certificate is not trusted
	ServerFailed Kind = "server failed" // it answered with an error that is not the user's
	Truncated    Kind = "truncated"     // a file ended early, however often it was asked for
	Changed      Kind = "changed"       // a file does not have the size or the content that it had when it was listed
	BadListing   Kind = "bad listing"   // what the server lists cannot be the files of a model
	NotEmptyDir  Kind = "not empty"     // the directory to download to holds something else
	NotReady     Kind = "not ready"     // the model is being uploaded, or that failed
)

// Error says why a model could not be fetched. No message holds a credential.
type Error struct {
	Kind   Kind
	URI    string // what was to be fetched, "" where that is clear
	Msg    string // without the URI
	Status int    // of the server's answer, 0 where there was none
	// Detail is a word that a hint can use: the command's scheme, a database's URI.
	Detail string
	// Temporary says that another try may end otherwise.
	Temporary bool
	After     time.Duration // before that try, as the server asks; 0 where it does not

	Err error // nil where Msg says it all
}

// Error implements error.
func (e *Error) Error() string {
	msg := e.Msg
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	if e.URI != "" {
		msg = "fetching " + e.URI + ": " + msg
	}
	return secret.Redact(msg)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// of names the URI in an error that does not name one.
func of(uri string, err error) error {
	if e, ok := err.(*Error); ok && e.URI == "" {
		named := *e
		named.URI = Shown(uri)
		return &named
	}
	return err
}
