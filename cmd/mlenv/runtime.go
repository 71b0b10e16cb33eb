package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
	"mlenv/resolve/serving"
)

// runtime is the contract of the container that serves a model, the same for an image and a
// Dockerfile. mlflow is the version that will run.
func (in *inputs) runtime(c *cli.Context, mlflow pep440.Version, env map[string]string) (*serving.Runtime, error) {
	kind, err := serving.ParseKind(c.String("serve"))
	if err != nil {
		return nil, err
	}
	s := serving.Input{
		Kind: kind, MLflowVersion: mlflow, ExtraCode: len(c.StringSlice("code-paths")) > 0,
		Port: c.Int("port"), Workers: c.Int("workers"), User: c.String("user"),
		Env: env, Entrypoint: c.StringSlice("entrypoint"),
	}
	for _, code := range in.Model.Code {
		s.Code = append(s.Code, code.Text)
	}
	return serving.New(s)
}

// mlflowVersion is the MLflow that will run: the lock's, else what the model says; zero if nobody
// knows. The lock may be nil.
func (in *inputs) mlflowVersion(l *pylock.Lock) pep440.Version {
	if l != nil {
		for _, p := range l.Packages {
			if p.Name == "mlflow" || p.Name == "mlflow-skinny" {
				return p.Version
			}
		}
	}
	v, err := pep440.Parse(in.Spec.Model.MLflowVersion)
	if err != nil {
		return pep440.Version{} // old models do not say
	}
	return v
}

// created is when the image counts as made: the time that was asked for, else the model's own,
// else a constant, but never now.
func (in *inputs) created(asked time.Time) time.Time {
	if !asked.IsZero() {
		return asked
	}
	for _, form := range []string{"2006-01-02 15:04:05.999999", time.RFC3339Nano, "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(form, in.Spec.Model.TimeCreated); err == nil {
			return t.UTC().Truncate(time.Second)
		}
	}
	return layer.Epoch
}

// facts are what the labels say of the model.
func (in *inputs) facts(created time.Time) serving.Facts {
	m := in.Spec.Model
	return serving.Facts{
		Created: created.Format(time.RFC3339), RunID: m.RunID, ModelID: m.ModelID, Flavors: m.Flavors,
		MLflowVersion: m.MLflowVersion, SpecDigest: in.Spec.Digest,
	}
}
