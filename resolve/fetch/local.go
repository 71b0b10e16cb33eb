package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// fileStore is a directory in which MLflow itself keeps runs and models, "mlruns".
type fileStore struct{ dir string }

// fileMeta is what counts of any meta.yaml of a file store.
type fileMeta struct {
	Storage  string `yaml:"storage_location"`
	Source   string `yaml:"source"`
	Stage    string `yaml:"current_stage"`
	Artifact string `yaml:"artifact_uri"`
	Location string `yaml:"artifact_location"`
	Name     string `yaml:"name"`
	RunID    string `yaml:"run_id"`
	SourceID string `yaml:"source_run_id"`
	Created  int64  `yaml:"creation_timestamp"`
	ModelID  string `yaml:"model_id"`
}

// maxMeta bounds a meta.yaml.
const maxMeta = 1 << 20

// plain refuses names that would leave the store's directory.
func plain(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00:") {
		return &Error{Kind: NotFound, Msg: fmt.Sprintf("%q is no name that a file store has", name)}
	}
	return nil
}

// read reads the meta.yaml in a directory of the store.
func (s *fileStore) read(missing string, parts ...string) (fileMeta, error) {
	var m fileMeta
	name := filepath.Join(append(append([]string{s.dir}, parts...), "meta.yaml")...)
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, &Error{Kind: NotFound, Msg: "the file store " + s.dir + " has no " + missing}
	case err != nil:
		return m, fmt.Errorf("reading the file store: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxMeta:
		return m, fmt.Errorf("reading the file store: %s is not a file of MLflow's", name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return m, fmt.Errorf("reading the file store: %w", err)
	}
	if err := yaml.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("reading the file store: %s is not a file of MLflow's", name)
	}
	return m, nil
}

// version finds a registered version.
func (s *fileStore) version(m modelURI, at *Location) (next string, err error) {
	if err := plain(m.name); err != nil {
		return "", err
	}
	if _, err := s.read("model "+m.name, "models", m.name); err != nil {
		return "", err
	}
	version := m.version
	switch {
	case m.alias != "":
		version, err = s.alias(m.name, m.alias)
	case version == "":
		version, err = s.latest(m.name, m.stage)
	}
	if err != nil {
		return "", err
	}
	meta, err := s.read("version "+version+" of "+m.name, "models", m.name, "version-"+version)
	if err != nil {
		return "", err
	}
	at.Alias, at.Stage, at.Name, at.Version, at.RunID, at.ModelID = m.alias, m.stage, m.name, version, meta.RunID, sourceID(meta.Source)
	if meta.Storage != "" {
		return meta.Storage, nil
	}
	return meta.Source, nil
}

// alias reads which version has an alias.
func (s *fileStore) alias(name, alias string) (string, error) {
	if err := plain(alias); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(s.dir, "models", name, "aliases", alias))
	version := strings.TrimSpace(string(data))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &Error{Kind: NotFound, Msg: fmt.Sprintf("the model %s of the file store %s has no alias %s", name, s.dir, alias)}
	case err != nil:
		return "", fmt.Errorf("reading the file store: %w", err)
	case !digits.MatchString(version):
		return "", fmt.Errorf("reading the file store: the alias %s of %s names no version", alias, name)
	}
	return version, nil
}

// latest is the newest version, or that of a stage.
func (s *fileStore) latest(name, stage string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "models", name))
	if err != nil {
		return "", fmt.Errorf("reading the file store: %w", err)
	}
	most := -1
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), "version-")
		n, err := strconv.Atoi(text)
		if !ok || err != nil || n <= most {
			continue
		}
		meta, err := s.read("version "+text, "models", name, e.Name())
		if err != nil {
			return "", err
		}
		if stage == "" || strings.EqualFold(meta.Stage, stage) {
			most = n
		}
	}
	switch {
	case most >= 0:
		return strconv.Itoa(most), nil
	case stage != "":
		return "", &Error{Kind: NotFound, Detail: "stage", Msg: fmt.Sprintf("the model %s of the file store %s has no version in the stage %s", name, s.dir, stage)}
	}
	return "", &Error{Kind: NotFound, Msg: fmt.Sprintf("the model %s of the file store %s has no versions", name, s.dir)}
}

// experiment finds the experiment that has a directory below it, such as a run's.
func (s *fileStore) experiment(missing string, parts ...string) (string, error) {
	for _, p := range parts {
		if err := plain(p); err != nil {
			return "", err
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", fmt.Errorf("reading the file store: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(append(append([]string{s.dir, e.Name()}, parts...), "meta.yaml")...)
		if _, err := os.Stat(name); err == nil {
			return e.Name(), nil
		}
	}
	return "", &Error{Kind: NotFound, Msg: "the file store " + s.dir + " has no " + missing}
}

// logged finds a logged model.
func (s *fileStore) logged(id string, at *Location) (next string, err error) {
	experiment, err := s.experiment("logged model "+id, "models", id)
	if err != nil {
		return "", err
	}
	meta, err := s.read("logged model "+id, experiment, "models", id)
	at.ModelID, at.RunID = id, meta.SourceID
	return meta.Location, err
}

// run finds what a run has, or the logged model of that name.
func (s *fileStore) run(id, path string, at *Location) (next string, err error) {
	experiment, err := s.experiment("run "+id, id)
	if err != nil {
		return "", err
	}
	name, below, _ := strings.Cut(path, "/")
	models, err := os.ReadDir(filepath.Join(s.dir, experiment, "models"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the file store: %w", err)
	}
	var best fileMeta
	for _, e := range models {
		meta, err := s.read("logged model "+e.Name(), experiment, "models", e.Name())
		if err == nil && meta.Name == name && meta.SourceID == id && meta.Location != "" && (best.Location == "" || meta.Created > best.Created) {
			best = meta
		}
	}
	if best.Location != "" {
		at.ModelID = best.ModelID
		return strings.TrimSuffix(join(best.Location, below), "/"), nil
	}
	meta, err := s.read("run "+id, experiment, id)
	return strings.TrimSuffix(meta.Artifact, "/") + "/" + path, err
}
