package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// apiRoute is below which an MLflow server has its REST API.
const apiRoute = "/api/2.0/mlflow/"

// registryRoute is below which the server has its registry.
func (s *server) registryRoute() string {
	if s.registry != "" {
		return s.registry
	}
	return apiRoute
}

// findVersion finds the version that a models:/ URI means.
func (s *server) findVersion(ctx context.Context, m modelURI) (modelVersion, error) {
	switch {
	case m.alias != "":
		return s.alias(ctx, m.name, m.alias)
	case m.version != "":
		return s.version(ctx, m.name, m.version)
	}
	return s.latest(ctx, m.name, m.stage)
}

// modelVersion is a version of a registered model. Its source is no place to fetch from: it may be
// models:/m-…, runs:/… or what somebody wrote by hand; get-download-uri has the place.
type modelVersion struct {
	Name    string `json:"name"`
	Version text   `json:"version"`
	Stage   string `json:"current_stage"`
	Source  string `json:"source"`
	RunID   string `json:"run_id"`
	Status  string `json:"status"`
	Message string `json:"status_message"`
}

// text is a JSON string, or a number, which some servers write instead.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) != nil {
		s = string(data)
	}
	*t = text(s)
	return nil
}

// loggedModel is a model of MLflow 3, which lies beside runs instead of in one.
type loggedModel struct {
	ID      string `json:"model_id"`
	Name    string `json:"name"`
	Root    string `json:"artifact_uri"`
	Status  string `json:"status"`
	RunID   string `json:"source_run_id"`
	Created text   `json:"creation_timestamp_ms"`
}

// run is what counts of a run.
type run struct {
	Root    string
	Deleted bool     // it can be restored, until MLflow's garbage collection
	Outputs []string // IDs of logged models
}

// named gives a server's error the words for what was asked for.
func named(err error, format string, args ...any) error {
	var e *Error
	if !errors.As(err, &e) || e.Kind != NotFound {
		return err
	}
	one := *e
	one.Msg = fmt.Sprintf(format, args...)
	return &one
}

// version asks for a version by its number.
func (s *server) version(ctx context.Context, name, version string) (modelVersion, error) {
	var got struct {
		Version modelVersion `json:"model_version"`
	}
	err := s.call(ctx, request{path: s.registryRoute() + "model-versions/get", query: url.Values{"name": {name}, "version": {version}}}, &got)
	if err = named(err, "%s has no version %s of a model %s", s.at(), version, name); err != nil {
		return got.Version, err
	}
	return got.Version, s.checkVersion(got.Version, name)
}

// checkVersion refuses an answer that is about nothing, or a version that has no files yet.
func (s *server) checkVersion(v modelVersion, name string) error {
	switch {
	case v.Name != name || !digits.MatchString(string(v.Version)):
		return &Error{Kind: NotMLflow, Msg: s.at() + " answers, but not as an MLflow server does: it does not name the version"}
	case v.Status != "" && v.Status != "READY":
		msg := fmt.Sprintf("version %s of %s is not ready: its status is %s", v.Version, name, quote(v.Status))
		if why := quote(v.Message); why != "" {
			msg += " (" + why + ")"
		}
		return &Error{Kind: NotReady, Msg: msg}
	}
	return nil
}

// alias asks which version has an alias.
func (s *server) alias(ctx context.Context, name, alias string) (modelVersion, error) {
	var got struct {
		Version modelVersion `json:"model_version"`
	}
	err := s.call(ctx, request{path: s.registryRoute() + "registered-models/alias", query: url.Values{"name": {name}, "alias": {alias}}}, &got)
	var e *Error
	switch {
	case errors.As(err, &e) && e.Status == http.StatusBadRequest && e.Detail == "INVALID_PARAMETER_VALUE":
		return got.Version, &Error{Kind: NotFound, Status: e.Status, Msg: fmt.Sprintf("%s has no alias %s of a model %s", s.at(), alias, name)}
	case err != nil:
		return got.Version, named(err, "%s has no model %s", s.at(), name)
	}
	return got.Version, s.checkVersion(got.Version, name)
}

// latest asks for the newest version of a stage, or with "" of all.
func (s *server) latest(ctx context.Context, name, stage string) (modelVersion, error) {
	var got struct {
		Versions []modelVersion `json:"model_versions"`
	}
	ask := map[string]any{"name": name}
	if stage != "" {
		ask["stages"] = []string{stage}
	}
	err := s.call(ctx, request{path: s.registryRoute() + "registered-models/get-latest-versions", post: ask}, &got)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && e.Detail == "INVALID_PARAMETER_VALUE" {
		return modelVersion{}, &Error{Kind: NotFound, Status: e.Status, Detail: "stage",
			Msg: fmt.Sprintf("%q is neither a version, nor latest, nor a stage that %s knows", stage, s.at())}
	}
	if err = named(err, "%s has no model %s", s.at(), name); err != nil {
		return modelVersion{}, err
	}
	var best modelVersion
	most := -1
	for _, v := range got.Versions {
		if n, err := strconv.Atoi(string(v.Version)); err == nil && n > most {
			best, most = v, n
		}
	}
	switch {
	case most < 0 && stage != "":
		return best, &Error{Kind: NotFound, Msg: fmt.Sprintf("the model %s of %s has no version in the stage %s", name, s.at(), stage)}
	case most < 0:
		return best, &Error{Kind: NotFound, Msg: fmt.Sprintf("the model %s of %s has no versions", name, s.at())}
	}
	return best, s.checkVersion(best, name)
}

// downloadURI asks where the files of a version are.
func (s *server) downloadURI(ctx context.Context, v modelVersion) (string, error) {
	var got struct {
		URI string `json:"artifact_uri"`
	}
	q := url.Values{"name": {v.Name}, "version": {string(v.Version)}}
	err := s.call(ctx, request{path: s.registryRoute() + "model-versions/get-download-uri", query: q}, &got)
	if err == nil && got.URI == "" {
		err = &Error{Kind: Empty, Msg: fmt.Sprintf("%s does not say where the files of version %s of %s are", s.at(), v.Version, v.Name)}
	}
	return got.URI, err
}

// logged asks for a logged model.
func (s *server) logged(ctx context.Context, id string) (loggedModel, error) {
	var got struct {
		Model struct {
			Info loggedModel `json:"info"`
		} `json:"model"`
	}
	err := s.call(ctx, request{path: apiRoute + "logged-models/" + id}, &got)
	m := got.Model.Info
	var e *Error
	err = named(err, "%s has no logged model %s", s.at(), id)
	switch {
	case errors.As(err, &e) && e.Status == http.StatusNotFound && e.Kind == NotMLflow:
		return m, &Error{Kind: NotFound, Status: e.Status, Msg: s.at() + " has no logged models, which came with MLflow 3"}
	case err != nil && !strings.HasPrefix(id, "m-"):
		return m, named(err, "%s has no logged model %s, and a registered model's URI ends in a version or an alias", s.at(), id)
	case err != nil:
		return m, err
	case m.ID != id:
		return m, &Error{Kind: NotMLflow, Msg: s.at() + " answers, but not as an MLflow server does: it does not name the logged model"}
	case m.Status != "" && m.Status != "LOGGED_MODEL_READY":
		return m, &Error{Kind: NotReady, Msg: fmt.Sprintf("the logged model %s is not ready: its status is %s", id, quote(m.Status))}
	}
	return m, nil
}

// run asks for a run.
func (s *server) run(ctx context.Context, id string) (run, error) {
	var got struct {
		Run struct {
			Info struct {
				Root  string `json:"artifact_uri"`
				Stage string `json:"lifecycle_stage"`
			} `json:"info"`
			Outputs struct {
				Models []struct {
					ID string `json:"model_id"`
				} `json:"model_outputs"`
			} `json:"outputs"`
		} `json:"run"`
	}
	err := s.call(ctx, request{path: apiRoute + "runs/get", query: url.Values{"run_id": {id}}}, &got)
	if err = named(err, "%s has no run %s", s.at(), id); err != nil {
		return run{}, err
	}
	out := run{Root: strings.TrimSuffix(got.Run.Info.Root, "/"), Deleted: got.Run.Info.Stage == "deleted"}
	for _, m := range got.Run.Outputs.Models {
		out.Outputs = append(out.Outputs, m.ID)
	}
	if out.Root == "" {
		return out, &Error{Kind: NotMLflow, Msg: s.at() + " does not say where the files of the run " + id + " are"}
	}
	return out, nil
}
