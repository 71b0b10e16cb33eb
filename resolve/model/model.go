// Package model reads an MLflow Model directory: its MLmodel file of any era and the files that
// it names. It executes nothing and unpickles nothing.
package model

import "io/fs"

// Value is a scalar as written, with its place.
type Value struct {
	Text string
	File string // relative to the model
	Line int    // from 1; 0 where the value was not written
}

// Flavor is one entry of MLmodel's flavors.
type Flavor struct {
	Name   string
	Line   int
	Fields []Field // in the order of the file; maps flattened with dots ("env.conda", "artifacts.x.path")
}

// Field is one scalar below a flavor or of an unknown top-level key.
type Field struct {
	Key   string
	Value Value
}

// Model is what an MLflow Model directory says of itself.
type Model struct {
	FS                                                 fs.FS    // the model directory
	MLmodel                                            string   // the path of the MLmodel file in FS
	Flavors                                            []Flavor // sorted by name
	MLflowVersion                                      Value
	ModelID                                            Value // model_id, else model_uuid
	RunID                                              Value
	ArtifactPath                                       Value
	TimeCreated                                        Value // utc_time_created or time_created, as written
	PythonVersion                                      Value // the pyfunc flavor's python_version
	CondaEnv                                           Value // path of the conda file, "" if none
	VirtualEnv                                         Value // path of the python_env file, "" if none
	RequirementsTxt                                    string
	ConstraintsTxt                                     string
	PythonVersionTx                                    string // .python-version
	PyProject                                          string
	UVLock                                             string
	SignatureInputs, SignatureOutputs, SignatureParams Value // the JSON texts
	HasSignature                                       bool
	InputExample                                       Value // path of the input example, "" if none
	ServingExample                                     string
	Code                                               []Value  // directories of code, relative ("code"); one per flavor field, unique
	EnvVars                                            []Value  // names from env_vars and environment_variables.txt, sorted, unique
	Wheels                                             []string // wheels/*.whl, sorted
	SizeBytes                                          Value
	Metadata                                           []Field
	Other                                              []Field // unknown top-level keys
}

// Error is one thing wrong with a file of the model.
type Error struct {
	File string
	Line int
	Msg  string
	Hint string
}

func (e *Error) Error() string { panic("unwritten") }

// Read reads the model at the root of fsys.
func Read(fsys fs.FS) (*Model, error) { panic("unwritten") }

// Flavor gives the flavor of that name, or nil.
func (m *Model) Flavor(name string) *Flavor { panic("unwritten") }

// Get gives a field of the flavor, or the zero Value.
func (f *Flavor) Get(key string) Value { panic("unwritten") }
