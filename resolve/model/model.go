// Package model reads an MLflow Model directory: the MLmodel file, as written by any version of
// MLflow, and the files that it names. It executes nothing and unpickles nothing.
package model

import (
	"io"
	"io/fs"

	"mlenv/resolve/internal/source"
)

// Value is a scalar as written, with its position. Credentials in URLs have been removed.
type Value struct {
	Text string
	File string // relative to the model
	Line int    // from 1; 0 if the value was not in a file
}

// Flavor is one entry of MLmodel's flavors.
type Flavor struct {
	Name   string
	Line   int
	Fields []Field // in the order of the file; maps flattened with dots ("env.conda", "artifacts.x.path"), lists with numbers ("code.0")
}

// Field is one scalar in a flavor or in an unknown top-level key.
type Field struct {
	Key   string
	Value Value
}

// Model describes an MLflow Model directory. Paths are slash-separated, relative to FS, and never
// leave it.
type Model struct {
	FS      fs.FS    // the model directory, as returned by Files
	MLmodel string   // the path of the MLmodel file in FS
	Flavors []Flavor // sorted by name

	Logged
	Examples
	EnvFiles

	Code     []Value  // directories of code, relative ("code"); without duplicates
	EnvVars  []Value  // names from env_vars and environment_variables.txt, sorted, unique
	Wheels   []string // wheels/*.whl, sorted
	Metadata []Field  // flattened like Flavor.Fields
	Other    []Field  // all other top-level keys, flattened

	GoneEnv  []Value     // environment files that MLmodel names and that are not there, though another describes the environment
	BadLinks []LinkError // links that cannot be followed, by name; FS does not list them

	closer io.Closer
}

// Logged identifies the model and the software that logged it.
type Logged struct {
	MLflowVersion Value
	PythonVersion Value // the pyfunc flavor's python_version
	ModelID       Value // model_id, else model_uuid
	RunID         Value
	ArtifactPath  Value
	TimeCreated   Value // utc_time_created or time_created, as written
	SizeBytes     Value // model_size_bytes

	RegisteredName    Value // of the registered model it was downloaded from, see registered_model_meta
	RegisteredVersion Value // the version in the registry
}

// Examples are examples of the model's input.
type Examples struct {
	Signature      Signature
	InputExample   Value   // path of the input example, "" if none
	ServingExample string  // serving_input_example.json, "" if none
	ExampleInfo    []Field // saved_input_example_info, flattened like Flavor.Fields
}

// EnvFiles are the paths of the files that describe the environment, "" for files that do not
// exist.
type EnvFiles struct {
	CondaEnv        Value  // the conda file that MLmodel names
	VirtualEnv      Value  // the python_env file that MLmodel names
	UnnamedConda    string // conda.yaml when it exists but MLmodel names no conda file
	UnnamedVirtual  string // python_env.yaml when it exists but MLmodel names none: MLflow uses it anyway
	RequirementsTxt string
	ConstraintsTxt  string

	OriginalRequirementsTxt string // original_requirements.txt of a wheeled model
	PythonVersionFile       string // .python-version
	PyProject               string // pyproject.toml
	UVLock                  string // uv.lock
}

// Signature is the model's signature; each part is the JSON text as written.
type Signature struct {
	Inputs, Outputs, Params Value
}

// IsZero reports whether the model has no signature.
func (s Signature) IsZero() bool { return s == Signature{} }

// CodeDirs are the directories of code, slash-separated and relative to FS.
func (m *Model) CodeDirs() []string {
	var out []string
	for _, c := range m.Code {
		out = append(out, c.Text)
	}
	return out
}

// Close releases what Open opened. It does nothing for a model returned by Read.
func (m *Model) Close() error {
	if m.closer == nil {
		return nil
	}
	return m.closer.Close()
}

// Flavor returns the flavor with a name, or nil.
func (m *Model) Flavor(name string) *Flavor {
	for i := range m.Flavors {
		if m.Flavors[i].Name == name {
			return &m.Flavors[i]
		}
	}
	return nil
}

// Get returns a field of the flavor, or the zero Value. It may be called on a nil Flavor.
func (f *Flavor) Get(key string) Value {
	if f == nil {
		return Value{}
	}
	for _, field := range f.Fields {
		if field.Key == key {
			return field.Value
		}
	}
	return Value{}
}

// Error is one thing wrong with a file of the model.
type Error = source.Error
