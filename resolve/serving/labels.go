package serving

import (
	"slices"
	"strings"
)

// Facts are what the labels and annotations of an image say of the model in it.
type Facts struct {
	Title, Version       string // name and version of the registered model, "" if unknown
	Created              string // RFC 3339; the model's own time or SOURCE_DATE_EPOCH
	RunID, ModelID       string
	Flavors              []string
	MLflowVersion        string
	SpecDigest           string // resolve.Spec's digest
	LockDigest           string // "sha256:…" of the lock's bytes
	BaseName, BaseDigest string
}

// Labels gives the labels (and annotations) of an image: the OCI image specification's pre-defined
// keys that apply, and mlenv's own. Keys without a value are left out; the order is by key.
func Labels(f Facts) []Var {
	flavors := slices.Clone(f.Flavors)
	slices.Sort(flavors)
	all := []Var{
		{"io.mlenv.flavors", strings.Join(flavors, ",")},
		{"io.mlenv.lock.digest", f.LockDigest},
		{"io.mlenv.mlflow.version", f.MLflowVersion},
		{"io.mlenv.model.id", f.ModelID},
		{"io.mlenv.run.id", f.RunID},
		{"io.mlenv.spec.digest", f.SpecDigest},
		{"org.opencontainers.image.base.digest", f.BaseDigest},
		{"org.opencontainers.image.base.name", f.BaseName},
		{"org.opencontainers.image.created", f.Created},
		{"org.opencontainers.image.title", f.Title},
		{"org.opencontainers.image.version", f.Version},
	}
	return slices.DeleteFunc(all, func(v Var) bool { return v.Value == "" })
}
