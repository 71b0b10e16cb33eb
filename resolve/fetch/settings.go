package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mlenv/resolve/internal/ini"
)

// Environment is what MLflow's settings are read from.
type Environment struct {
	Env      func(name string) string // an environment variable, "" where it is not set
	ReadFile func(name string) ([]byte, error)
	ReadDir  func(name string) ([]fs.DirEntry, error)
	Home     string // "": none
	Tracking string // instead of MLFLOW_TRACKING_URI, "" for none
}

// Configure reads the settings that MLflow's own client reads, by their names there:
// MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_USERNAME, …_PASSWORD and …_TOKEN,
// …_INSECURE_TLS, …_SERVER_CERT_PATH, …_CLIENT_CERT_PATH, MLFLOW_WORKSPACE,
// MLFLOW_HTTP_REQUEST_TIMEOUT (seconds) and …_MAX_RETRIES, and the file ~/.mlflow/credentials for a user and a password
// that no variable has. Proxies are those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case. Where
// no tracking URI is set it is ./mlruns, if that is a file store, else ./mlflow.db, if there is one. Its
// errors are of kind BadSettings or Unsupported.
func Configure(e Environment) (Options, error) {
	o := Options{
		Tracking: e.Tracking, Registry: strings.TrimSpace(e.Env("MLFLOW_REGISTRY_URI")), Workspace: strings.TrimSpace(e.Env("MLFLOW_WORKSPACE")),
		Proxy: Proxy{HTTP: e.either("HTTP_PROXY"), HTTPS: e.either("HTTPS_PROXY"), No: e.either("NO_PROXY")},
		TLS:   TLS{CAFile: e.Env("MLFLOW_TRACKING_SERVER_CERT_PATH"), ClientCert: e.Env("MLFLOW_TRACKING_CLIENT_CERT_PATH")},
	}
	if o.Tracking == "" {
		o.Tracking = strings.TrimSpace(e.Env("MLFLOW_TRACKING_URI"))
	}
	if o.Tracking == "" {
		o.Tracking = e.defaultTracking()
	}
	var err error
	if o.TLS.Insecure, err = e.boolean("MLFLOW_TRACKING_INSECURE_TLS"); err != nil {
		return o, err
	}
	if seconds, err := e.number("MLFLOW_HTTP_REQUEST_TIMEOUT"); err != nil {
		return o, err
	} else if seconds > 0 {
		o.Timeout = time.Duration(seconds) * time.Second
	}
	if text := e.Env("MLFLOW_HTTP_REQUEST_MAX_RETRIES"); text != "" {
		if o.Retries, err = e.number("MLFLOW_HTTP_REQUEST_MAX_RETRIES"); err != nil {
			return o, err
		}
		if o.Retries = min(o.Retries, 10); o.Retries == 0 {
			o.Retries = -1
		}
	}
	for _, name := range []string{"MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4"} {
		if v := strings.ToLower(e.Env(name)); v != "" && v != "false" && v != "0" {
			return o, &Error{Kind: Unsupported, Detail: name, Msg: name + " is set: mlenv does not sign requests in that way"}
		}
	}
	o.Databricks = e.databricks
	o.Auth, err = e.auth()
	return o, err
}

// databricks reads how a workspace of Databricks is reached, as its own tools do: a profile that is named from
// ~/.databrickscfg, else DATABRICKS_HOST with DATABRICKS_TOKEN, or with DATABRICKS_CLIENT_ID and …_CLIENT_SECRET, else the
// default profile.
func (e Environment) databricks(profile string) (Databricks, error) {
	env := func(name string) string { return strings.TrimSpace(e.Env("DATABRICKS_" + name)) }
	d := Databricks{Host: env("HOST"), Token: env("TOKEN"), ClientID: env("CLIENT_ID"), ClientSecret: env("CLIENT_SECRET")}
	if profile == "" && d.Host != "" {
		return d, nil
	}
	if profile == "" {
		profile = env("CONFIG_PROFILE")
	}
	file := env("CONFIG_FILE")
	if file == "" && e.Home != "" {
		file = filepath.Join(e.Home, ".databrickscfg")
	}
	if file == "" {
		return d, nil
	}
	data, err := e.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && profile == "":
		return d, nil
	case err != nil:
		return d, &Error{Kind: BadSettings, Detail: "databricks", Msg: "reading the profiles of Databricks", Err: withoutPath(err)}
	}
	name := profile
	if name == "" {
		name = "DEFAULT"
	}
	section := ini.Section(string(data), name)
	if len(section) == 0 && profile != "" {
		return d, &Error{Kind: BadSettings, Detail: "databricks", Msg: "~/.databrickscfg has no profile " + quote(profile)}
	}
	return Databricks{Host: section["host"], Token: section["token"], ClientID: section["client_id"], ClientSecret: section["client_secret"]}, nil
}

// either reads a variable whose name is written in capitals or not; as in curl, the latter is stronger.
func (e Environment) either(name string) string {
	if v := e.Env(strings.ToLower(name)); v != "" {
		return v
	}
	return e.Env(name)
}

// boolean reads a switch as MLflow does. What it was set to is not shown: it may be a password that
// somebody put into the wrong variable.
func (e Environment) boolean(name string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(e.Env(name))) {
	case "", "false", "0":
		return false, nil
	case "true", "1":
		return true, nil
	}
	return false, &Error{Kind: BadSettings, Msg: name + " is neither true nor false"}
}

func (e Environment) number(name string) (int, error) {
	text := strings.TrimSpace(e.Env(name))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return 0, &Error{Kind: BadSettings, Msg: name + " is not a number that makes sense"}
	}
	return n, nil
}

// auth reads the credentials. A secret that a file or a CI system provides often ends in a newline.
func (e Environment) auth() (Auth, error) {
	a := Auth{
		User: strings.TrimSpace(e.Env("MLFLOW_TRACKING_USERNAME")), Password: strings.TrimSpace(e.Env("MLFLOW_TRACKING_PASSWORD")),
		Token: strings.TrimSpace(e.Env("MLFLOW_TRACKING_TOKEN")),
	}
	if a.User != "" && a.Password != "" || e.Home == "" {
		return a, nil
	}
	data, err := e.ReadFile(filepath.Join(e.Home, ".mlflow", "credentials"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, nil
	case err != nil:
		return a, &Error{Kind: BadSettings, Msg: "reading ~/.mlflow/credentials", Err: err}
	}
	section := ini.Section(string(data), "mlflow")
	if a.User == "" {
		a.User = section["mlflow_tracking_username"]
	}
	if a.Password == "" {
		a.Password = section["mlflow_tracking_password"]
	}
	return a, nil
}

// defaultTracking is what MLflow takes where nothing is set: ./mlruns, where an experiment is in it, else
// the database ./mlflow.db. Where there is neither, nothing is meant.
func (e Environment) defaultTracking() string {
	if e.ReadDir == nil {
		return ""
	}
	experiments, _ := e.ReadDir("mlruns") // where it cannot be read, there is none
	for _, x := range experiments {
		if digits.MatchString(x.Name()) {
			if _, err := e.ReadFile(filepath.Join("mlruns", x.Name(), "meta.yaml")); err == nil {
				return "mlruns"
			}
		}
	}
	if here, _ := e.ReadDir("."); len(here) > 0 {
		for _, f := range here {
			if f.Name() == "mlflow.db" {
				return fmt.Sprintf("sqlite:///%s", f.Name())
			}
		}
	}
	return ""
}
