package serving

import (
	"fmt"
	"slices"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// Needs is what a server wants of the environment beyond the model's own requirements.
type Needs struct {
	Requirements []pep508.Requirement // to be installed
	Constraints  []pep508.Requirement // to be kept to if the package is installed at all
}

// rule is one need of MLflow's scoring server, found by starting it: which versions have it, and
// whether only a model without the full mlflow package (mlflow-skinny, mlflow-tracing) does.
type rule struct {
	from, before [2]uint64 // first and first not affected MLflow version; zero: open
	skinny       bool
	requirement  string
	constraint   bool
}

// The full mlflow package brings its server; mlflow-skinny leaves out what the scoring server
// imports. The bounds are those that the full package of the same age puts on the same libraries.
var mlflowRules = []rule{
	// requirements_utils imports pkg_resources, which setuptools dropped in 82. A virtual
	// environment of our making has no setuptools unless it is asked for.
	{before: [2]uint64{2, 16}, requirement: "setuptools<82"},
	// The scoring server calls FastAPI.route, which went with Starlette 1.0; these versions
	// set no upper bound for it themselves.
	{from: [2]uint64{2, 21}, before: [2]uint64{3, 11}, requirement: "starlette<1", constraint: true},

	{before: [2]uint64{2, 16}, skinny: true, requirement: "numpy<2"},
	{from: [2]uint64{2, 16}, skinny: true, requirement: "numpy<3"},
	{before: [2]uint64{2, 3}, skinny: true, requirement: "pandas<2"},
	{from: [2]uint64{2, 3}, before: [2]uint64{3, 16}, skinny: true, requirement: "pandas<3"},
	{from: [2]uint64{3, 16}, skinny: true, requirement: "pandas<4"},
	{before: [2]uint64{2, 9}, skinny: true, requirement: "flask<3"},
	{from: [2]uint64{2, 9}, before: [2]uint64{2, 21}, skinny: true, requirement: "flask<4"},
	{before: [2]uint64{2, 21}, skinny: true, requirement: "gunicorn<24"},
	{from: [2]uint64{2, 21}, skinny: true, requirement: "fastapi<1"},
	{from: [2]uint64{2, 21}, skinny: true, requirement: "uvicorn<1"},
}

// mlserverRules are the bounds that MLflow itself puts on MLServer. Besides, 1.7.0 of both does not say
// what it cannot do without, as 1.7.1 does: protobuf 5.27, which MLflow before 2.15 excludes, and
// types of MLflow 2.10. uvloop 0.22 broke MLServer.
var mlserverRules = []rule{
	{requirement: "mlserver>=1.2.0,!=1.3.1,!=1.7.0,<2"},
	{requirement: "mlserver-mlflow>=1.2.0,!=1.3.1,!=1.7.0,<2"},
	{requirement: "uvloop<0.22", constraint: true},
}

// ServerNeeds gives what the server needs beside the model's own requirements. declared are the
// names that the model itself requires; nothing is required twice, for the model knows better
// which version it was trained with, but it may still be constrained.
func ServerNeeds(kind Kind, mlflow pep440.Version, declared []pep508.Name) (Needs, error) {
	rules := mlflowRules
	switch kind {
	case None:
		return Needs{}, nil
	case MLServer:
		// It loads the model by MLflow too, and so wants what MLflow wants to be imported.
		rules = append(slices.Clone(mlflowRules[:1]), mlserverRules...)
	}
	full := slices.Contains(declared, "mlflow")
	var n Needs
	for _, r := range rules {
		if r.skinny && full || !r.covers(mlflow) {
			continue
		}
		req, err := pep508.Parse(r.requirement)
		if err != nil {
			return Needs{}, fmt.Errorf("server requirement %q: %w", r.requirement, err)
		}
		// What the model declares stays the model's: a second requirement could only contradict it, while a
		// constraint says which versions of it the server is known to fail with.
		switch {
		case r.constraint:
			n.Constraints = append(n.Constraints, req)
		case !slices.Contains(declared, req.Name):
			n.Requirements = append(n.Requirements, req)
		}
	}
	return n, nil
}

// Unmet gives those needs that an environment does not meet, as text. locked are the versions of
// the packages in it.
func (n Needs) Unmet(locked map[pep508.Name]pep440.Version) []string {
	var out []string
	fits := func(r pep508.Requirement, missing bool) bool {
		v, ok := locked[r.Name]
		return ok && r.Specifier.Match(v) || !ok && !missing
	}
	for _, r := range n.Requirements {
		if !fits(r, true) {
			out = append(out, r.String())
		}
	}
	// A constraint is no requirement: what is not there breaks nothing.
	for _, r := range n.Constraints {
		if !fits(r, false) {
			out = append(out, r.String())
		}
	}
	return out
}

// covers reports whether a version is among those that the rule is for. An unknown version is
// taken for a current one.
func (r rule) covers(v pep440.Version) bool {
	if v.IsZero() {
		return r.before == [2]uint64{}
	}
	return atLeast(v, r.from[0], r.from[1]) &&
		(r.before == [2]uint64{} || !atLeast(v, r.before[0], r.before[1]))
}
