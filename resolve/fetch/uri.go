package fetch

import (
	"net/url"
	"strconv"
	"strings"

	"mlenv/resolve/pattern"
	"mlenv/resolve/secret"
)

// schemes are those that MLflow knows, or that mlenv names in an answer.
var schemes = map[string]bool{
	"file": true, "models": true, "runs": true, "mlflow-artifacts": true, "http": true, "https": true,
	"s3": true, "r2": true, "b2": true, "gs": true, "wasb": true, "wasbs": true, "abfs": true, "abfss": true,
	"dbfs": true, "hdfs": true, "viewfs": true, "ftp": true, "sftp": true, "databricks": true,
}

// Shown is a URI as it may be shown: without credentials and without a query.
func Shown(uri string) string {
	switch Scheme(uri) {
	case "models", "runs": // an "@" in it is before an alias
		if !strings.Contains(uri, "://") {
			return uri
		}
	}
	return secret.URL(uri)
}

var uriStart = pattern.New(`^([A-Za-z][A-Za-z0-9+-]+):`)

// Scheme gives the scheme of a URI in lower case, "" for what is the path of a file. A scheme that
// MLflow does not know counts where "//" follows it: plugins add their own.
func Scheme(text string) string {
	m := uriStart.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	scheme := strings.ToLower(m[1])
	if schemes[scheme] || strings.HasPrefix(text[len(m[0]):], "//") {
		return scheme
	}
	return ""
}

// modelURI is what a models:/ URI says (MLflow's store/artifact/utils/models.py).
type modelURI struct {
	name    string
	version string // decimal digits
	stage   string // any case
	alias   string
	latest  bool
	id      string // of a logged model, instead of all others
	path    string // of a directory within the version, "" for all of it
}

var digits = pattern.New(`^[0-9]+$`)

// parseModel reads models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME/latest and models:/NAME@ALIAS, all of which may have a
// path behind them, and models:/MODEL_ID. A name with an "@" in it can be given by an alias alone, as with MLflow.
func parseModel(uri string) (modelURI, error) {
	bad := func(why string) (modelURI, error) {
		return modelURI{}, &Error{Kind: BadURI, URI: Shown(uri), Msg: why, Detail: "models"}
	}
	_, rest, _ := strings.Cut(uri, ":")
	switch {
	case !strings.HasPrefix(rest, "/"):
		return bad("has no / behind models:")
	}
	parts := strings.Split(rest[1:], "/")
	for _, p := range parts {
		if p == "" {
			return bad("has an empty part")
		}
	}
	path, named := "", 2 // how many parts name the version
	if strings.Contains(parts[0], "@") {
		named = 1
	}
	if len(parts) > named {
		path = strings.Join(parts[named:], "/")
		if parts = parts[:named]; checkPath(path) != nil {
			return bad("does not name a path within the model")
		}
	}
	switch len(parts) {
	case 1:
		// The last "@": a name may hold one, an alias may not.
		at := strings.LastIndexByte(parts[0], '@')
		switch {
		case at < 0:
			return modelURI{id: parts[0]}, nil
		case at == 0 || at == len(parts[0])-1:
			return bad("has no name before the @, or no alias behind it")
		}
		return modelURI{name: parts[0][:at], alias: parts[0][at+1:], path: path}, nil
	case 2:
		m := modelURI{name: parts[0], path: path}
		switch {
		case digits.MatchString(parts[1]):
			m.version = parts[1]
		case strings.EqualFold(parts[1], "latest"):
			m.latest = true
		default:
			m.stage = parts[1]
		}
		return m, nil
	}
	return bad("has no name")
}

// OtherVersion is the URI of another version of the model that a models:/ URI names: that of a number, or
// the one that has an alias.
func OtherVersion(uri, version string) (string, error) {
	start, within := "models:/", uri
	if _, rest, _ := strings.Cut(uri, ":"); strings.HasPrefix(rest, "//") { // in Databricks
		workspace, name, _ := strings.Cut(rest[2:], "/")
		start, within = "models://"+workspace+"/", "models:/"+name
	}
	m, err := parseModel(within)
	switch {
	case Scheme(uri) != "models":
		return "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "is not that of a registered model", Detail: "models"}
	case err != nil:
		return "", err
	case m.name == "":
		return "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "names a logged model, which has no versions", Detail: "models"}
	case version == "" || strings.ContainsAny(version, "/@"):
		return "", &Error{Kind: BadURI, Msg: strconv.Quote(version) + " is neither a version nor an alias", Detail: "models"}
	case digits.MatchString(version):
		return start + m.name + "/" + version, nil
	}
	return start + m.name + "@" + version, nil
}

// parseRun reads runs:/RUN_ID/PATH.
func parseRun(uri string) (id, path string, err error) {
	_, rest, _ := strings.Cut(uri, ":")
	id, path, ok := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	path = strings.Trim(path, "/")
	switch {
	case strings.HasPrefix(rest, "//"):
		return "", "", &Error{Kind: Unsupported, URI: Shown(uri), Msg: "names a run in Databricks, of which mlenv does not read the files", Detail: "databricks-model"}
	case !strings.HasPrefix(rest, "/") || id == "":
		return "", "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "names no run", Detail: "runs"}
	case !ok || path == "":
		return "", "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "names a run, but no model of it", Detail: "runs"}
	}
	if err := checkPath(path); err != nil {
		return "", "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "does not name a path below the run's artifacts", Detail: "runs"}
	}
	return id, path, nil
}

// parseArtifacts reads mlflow-artifacts:/PATH and mlflow-artifacts://HOST:PORT/PATH. The root is that of
// the server: where the URI names a host, it speaks as the tracking server does, and has its prefix.
func parseArtifacts(uri string, tracking *url.URL) (root *url.URL, path string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Opaque != "" {
		return nil, "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "is not of the form mlflow-artifacts:/PATH", Detail: "mlflow-artifacts"}
	}
	at := *tracking
	if u.Host != "" {
		at.Host, at.User = u.Host, nil
	}
	path = strings.Trim(u.Path, "/")
	if checkPath(path) != nil {
		return nil, "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "does not name a path below the server's artifacts", Detail: "mlflow-artifacts"}
	}
	return &at, path, nil
}

// proxyRoute is where a server hands out artifacts, below its root.
const proxyRoute = "/api/2.0/mlflow-artifacts/artifacts"

// parseHTTP takes the address of a server's artifact apart: the server's root, and the path.
func parseHTTP(uri string) (root *url.URL, path string, err error) {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return nil, "", &Error{Kind: BadURI, URI: Shown(uri), Msg: "is not a URL", Detail: "http"}
	}
	prefix, path, ok := strings.Cut(u.Path, proxyRoute+"/")
	path = strings.Trim(path, "/")
	if !ok || checkPath(path) != nil {
		return nil, "", &Error{Kind: Unsupported, URI: Shown(uri), Detail: "http",
			Msg: "is not the address of a directory that an MLflow server hands out, which has " + proxyRoute + " in it"}
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, User: u.User, Path: prefix}, path, nil
}
