package serving

import (
	"time"

	"mlenv/resolve"
	"mlenv/resolve/model"
	"mlenv/resolve/pep440"
	"mlenv/resolve/pylock"
)

// Choices are what the user decides about the container, beside the model. The zero value is
// MLflow's server with its defaults.
type Choices struct {
	Kind       Kind
	Port       int               // 0: DefaultPort
	Workers    int               // 0: 1
	User       string            // "": DefaultUser
	Env        map[string]string // set in the container, over what the server needs
	Entrypoint []string          // replaces the server's command
	ExtraCode  bool              // there is code beside the model's own, in CodePath
	Created    time.Time         // when the image counts as made; zero: when the model was
}

// Check finds choices that no container could have, before anything is known of the model.
func (c Choices) Check() error {
	_, err := New(c.input())
	return err
}

func (c Choices) input() Input {
	return Input{
		Kind: c.Kind, Port: c.Port, Workers: c.Workers, User: c.User,
		Env: c.Env, Entrypoint: c.Entrypoint, ExtraCode: c.ExtraCode,
	}
}

// Contract is what a container of one model is like: how it runs, and what its labels say of the
// model. An image and a Dockerfile are made from the same one.
type Contract struct {
	Runtime *Runtime
	Facts   Facts     // without those of the base and the lock, which come with the image
	Created time.Time // UTC, in whole seconds; never the time of the build
	Choices Choices   // that it was made with
}

// ForModel gives the contract for a model. The lock says which MLflow will run; where it is nil, or
// has none, the model's own version counts.
func ForModel(m *model.Model, s *resolve.Spec, l *pylock.Lock, c Choices) (*Contract, error) {
	in := c.input()
	in.MLflowVersion = runningMLflow(s, l)
	in.Name, in.Version = m.RegisteredName.Text, m.RegisteredVersion.Text
	for _, code := range m.Code {
		in.Code = append(in.Code, code.Text)
	}
	r, err := New(in)
	if err != nil {
		return nil, err
	}
	created := c.Created
	if created.IsZero() {
		created = modelCreated(s)
	}
	return &Contract{
		Runtime: r, Created: created, Choices: c,
		Facts: Facts{
			Title: in.Name, Version: in.Version, Created: created.Format(time.RFC3339),
			RunID: s.Model.RunID, ModelID: s.Model.ModelID, Flavors: s.Model.Flavors,
			MLflowVersion: s.Model.MLflowVersion, SpecDigest: s.Digest,
		},
	}, nil
}

// runningMLflow is the MLflow that will run: the lock's, else the model's own; zero if nobody knows.
func runningMLflow(s *resolve.Spec, l *pylock.Lock) pep440.Version {
	if l != nil {
		for i := range l.Packages {
			if p := &l.Packages[i]; p.Name == "mlflow" || p.Name == "mlflow-skinny" {
				return p.Version
			}
		}
	}
	v, err := pep440.Parse(s.Model.MLflowVersion)
	if err != nil {
		return pep440.Version{} // old models do not say
	}
	return v
}

// Epoch is when an image counts as made whose model does not say when it was logged. Zip archives
// cannot hold an earlier time, and some programs take 0 for "missing".
var Epoch = time.Unix(315532800, 0).UTC() // 1980-01-01T00:00:00Z

// modelCreated is the time at which the model was logged, in one of the forms that versions of
// MLflow have written.
func modelCreated(s *resolve.Spec) time.Time {
	for _, form := range []string{"2006-01-02 15:04:05.999999", time.RFC3339Nano, "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(form, s.Model.TimeCreated); err == nil {
			return t.UTC().Truncate(time.Second)
		}
	}
	return Epoch
}
