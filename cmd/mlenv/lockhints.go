package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mlenv/resolve/index"
	"mlenv/resolve/lock"
	"mlenv/resolve/pep508"
)

// hintTime is how long one waits for hints once the explanation stands there: about as long as for the
// explanation, so that a refusal takes no more than twice the time, whatever the network is like.
func (a *app) hintTime() time.Duration {
	return min(max(a.clock().Sub(a.began), time.Second), 3*time.Second)
}

// printNoSolution prints why there is no solution, and then, as it is found, what would help: that
// takes searches of its own, for which nobody should wait to read the explanation. about is what goes
// before the explanation.
func (a *app) printNoSolution(ctx context.Context, about string, e *lock.NoSolutionError) {
	s := a.console()
	s.print("%s %s%s", s.paint(red, "error:"), about, lock.Summary)
	for _, line := range folded(e.Reasons, a.verbose) {
		s.print("  %s", line)
	}
	ctx, cancel := context.WithTimeout(ctx, a.hintTime())
	defer cancel()
	defer collectLate()()
	for h := range e.Hints(ctx) {
		s.print("  %s %s", s.paint(cyan, "try:"), lockHint(h))
	}
}

// noSolutionText is what printNoSolution prints, for those who want it as a text.
func (a *app) noSolutionText(ctx context.Context, e *lock.NoSolutionError) string {
	lines := append([]string{lock.Summary}, folded(e.Reasons, false)...)
	ctx, cancel := context.WithTimeout(ctx, a.hintTime())
	defer cancel()
	for h := range e.Hints(ctx) {
		lines = append(lines, "try: "+lockHint(h))
	}
	return strings.Join(lines, "\n  ")
}

// mostSteps is how many steps of a proof are printed; of a longer one the middle is left out, unless
// everything is wanted.
const mostSteps = 12

func folded(steps []string, whole bool) []string {
	const first, last = 4, 6
	if whole || len(steps) <= mostSteps {
		return steps
	}
	left := len(steps) - first - last
	return slices.Concat(steps[:first], []string{fmt.Sprintf("… (%d more steps; mlenv lock --verbose prints them)", left)}, steps[len(steps)-last:])
}

// buildRecipe is how one comes by a wheel of what is published as source only.
const buildRecipe = "build it with pip wheel in a container of the base, and give its folder with --find-links (docs/sources.md has the commands); or let mlenv dockerfile write a Dockerfile, which builds it"

// lockHint words what would help where there is no solution.
func lockHint(h lock.Hint) string {
	names := packageList(h.Packages)
	requirement, from := "", ""
	if h.Root != nil {
		requirement = h.Root.Line()
		if len(h.Root.From) > 0 {
			from = " (" + strings.Join(h.Root.From, ", ") + ")"
		}
	}
	switch h.Kind {
	case lock.OtherVersion:
		return fmt.Sprintf("%s %s instead of %s%s", names, h.Version, requirement, from)
	case lock.WithoutConstraint:
		return fmt.Sprintf("without the constraint %s%s", requirement, from)
	case lock.NearVersions:
		var versions []string
		for _, v := range h.Versions {
			versions = append(versions, v.String())
		}
		return fmt.Sprintf("%s %s, which are the nearest there are to %s%s", names, oneOf(versions), requirement, from)
	case lock.WithoutLabel:
		return fmt.Sprintf("%s==%s, which is there and fits: %s", names, h.Version, labelOf(h))
	case lock.OtherLabel:
		return fmt.Sprintf("%s==%s, which is there: %s", names, h.Version, labelOf(h))
	case lock.OnOtherIndex:
		return fmt.Sprintf("--index-strategy unsafe-best-match, if you trust all indexes alike: %s has %s %s, but a package is taken from the first index that has it", h.Index, names, h.Version)
	case lock.AdmitPre:
		return fmt.Sprintf("--pre, which admits pre-releases: with those of %s there is a solution", names)
	case lock.LaterCutoff:
		return fmt.Sprintf("--exclude-newer %s, which admits what was uploaded of %s by then", h.Cutoff.UTC().AddDate(0, 0, -1).Format(time.DateOnly), names)
	case lock.OtherTarget:
		return fmt.Sprintf("another --python, --platform or --libc that %s has wheels for, or a wheel of your own in a folder given by --find-links", names)
	case lock.BuildWheel:
		return fmt.Sprintf("a wheel of your own of %s: %s", names, buildRecipe)
	case lock.OtherPython:
		return fmt.Sprintf("another --python that %s admits", names)
	case lock.AdmitWheels:
		return fmt.Sprintf("to drop --no-binary for %s: an image is made of wheels only", names)
	}
	return ""
}

// labelOf says where a local label comes from. PyTorch's family is the one case that everybody meets.
func labelOf(h lock.Hint) string {
	if isTorch(h.Packages[0]) && index.ValidTorchBackend(h.Label) {
		return fmt.Sprintf("the label +%s is that of PyTorch's own index for %s, from which --torch-backend %s takes it", h.Label, h.Label, h.Label)
	}
	return fmt.Sprintf("the label +%s is that of another index than those that were asked, which --extra-index-url can add", h.Label)
}

// isTorch reports whether PyTorch's own index has a package with labels of its backends.
func isTorch(name pep508.Name) bool {
	return name == "torch" || strings.HasPrefix(string(name), "torch") || name == "pytorch-triton" || name == "triton"
}

// refusedHint says what helps against requirements that no lock can hold.
func refusedHint(e *lock.RefusedError) string {
	if slices.ContainsFunc(e.Refusals, func(r lock.Refusal) bool { return r.Kind.NeedsBuilding() }) {
		return buildRecipe
	}
	return ""
}

func packageList(names []pep508.Name) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = string(n)
	}
	return listed(list)
}

// listed joins words as one says them.
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// noSolution finds the failure to solve in an error.
func noSolution(err error) *lock.NoSolutionError {
	var none *lock.NoSolutionError
	errors.As(err, &none)
	return none
}
