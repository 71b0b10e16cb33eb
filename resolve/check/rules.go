package check

import (
	"cmp"
	"slices"

	"mlenv/resolve"
)

// Rule describes one kind of finding: package resolve's rules and those of this package.
type Rule struct {
	resolve.Rule
	Category Category
}

// Category groups rules for people.
type Category string

// The categories.
const (
	Environment Category = "environment"
	Model       Category = "model"
	Signature   Category = "signature"
	Target      Category = "target"
	Supply      Category = "supply chain"
	PolicyRules Category = "policy"
)

// Categories lists the categories in the order of the documentation.
func Categories() []Category {
	return []Category{Environment, Model, Signature, Target, Supply, PolicyRules}
}

// Rules lists all rules, sorted by id.
func Rules() []Rule {
	all := slices.Clone(rules)
	for _, r := range resolve.Rules() {
		category, ok := resolveCategories[r.ID]
		if !ok {
			category = Environment
		}
		all = append(all, Rule{Rule: r, Category: category})
	}
	slices.SortFunc(all, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// resolveCategories are the categories of package resolve's rules that are not Environment.
var resolveCategories = map[string]Category{
	"missing-file":       Model,
	"credentials-in-url": Supply,
	"conflicting-hashes": Supply,
}

// The rules of this package.
const (
	ruleUnreadable      = "unreadable-file"
	ruleUnsatisfiable   = "unsatisfiable-requirement"
	ruleNoSolution      = "unsatisfiable-environment"
	ruleUnpinned        = "unpinned-requirement"
	ruleLoose           = "loosely-pinned-requirement"
	ruleLocalPath       = "local-path"
	ruleEditable        = "editable-requirement"
	ruleSource          = "source-requirement"
	ruleVCS             = "vcs-without-commit"
	ruleHTTP            = "http-index"
	ruleTrusted         = "trusted-host"
	ruleBuildPython     = "build-dependency-python"
	rulePythonEnd       = "python-end-of-life"
	ruleModelFile       = "missing-model-file"
	ruleOutside         = "path-outside-model"
	ruleFlavorVersion   = "flavor-version-excluded"
	ruleFlavorMissing   = "flavor-library-missing"
	ruleFlavorLocked    = "flavor-version-not-locked"
	ruleMLflowFeature   = "mlflow-too-old"
	ruleCodeName        = "code-not-importable"
	ruleShadowStdlib    = "code-shadows-stdlib"
	ruleShadowPackage   = "code-shadows-package"
	ruleImport          = "import-without-requirement"
	ruleImportLocked    = "import-not-locked"
	ruleStdlibGone      = "import-removed-from-python"
	ruleNoSignature     = "signature-missing"
	ruleBadSignature    = "signature-unreadable"
	ruleNoExample       = "example-missing"
	ruleBadExample      = "example-unreadable"
	ruleExample         = "example-mismatch"
	ruleServingExample  = "serving-example-mismatch"
	ruleLockStale       = "lock-out-of-date"
	ruleLockLacks       = "requirement-not-locked"
	ruleLockExcludes    = "locked-version-excluded"
	ruleLockPython      = "lock-python-differs"
	ruleNoWheel         = "no-fitting-wheel"
	ruleNativeLibrary   = "native-library-missing"
	ruleYanked          = "yanked-release"
	ruleGone            = "release-gone"
	ruleNoHash          = "hash-missing"
	ruleURLHash         = "url-without-hash"
	ruleVulnerable      = "known-vulnerability"
	ruleMalicious       = "malicious-package"
	rulePackageDenied   = "package-denied"
	ruleNotAllowed      = "package-not-allowed"
	ruleIndexDenied     = "index-not-allowed"
	ruleBaseDenied      = "base-not-allowed"
	ruleLicenceDenied   = "licence-not-allowed"
	ruleLicenceUnknown  = "licence-unknown"
	ruleExceptionEnded  = "exception-expired"
	ruleExceptionUnused = "exception-unused"
)

func rule(id string, c Category, s resolve.Severity, summary, help string) Rule {
	return Rule{resolve.Rule{ID: id, Severity: s, Summary: summary, Help: help}, c}
}

var rules = slices.Concat(environmentRules, modelRules, signatureRules, supplyRules, policyRules)

var environmentRules = []Rule{
	rule(ruleUnreadable, Environment, resolve.Error, "a file of the model cannot be read or understood",
		"Neither MLflow nor mlenv can tell what the model needs. Mend the line, or log the model again."),
	rule(ruleUnsatisfiable, Environment, resolve.Error, "a requirement contradicts itself",
		"No version can satisfy it, so the installation fails. Mend its specifier."),
	rule(ruleNoSolution, Environment, resolve.Error, "the requirements and those of their packages exclude each other",
		"The installation fails. The message names what cannot go together; loosen one of the two."),
	rule(ruleUnpinned, Environment, resolve.Warning, "a requirement has no version",
		"The newest release on the day of the build is installed, which the model never saw. Pin it with ==, or build from a lock."),
	rule(ruleLoose, Environment, resolve.Info, "a requirement admits several versions",
		"Two builds may differ. Pin it with ==, or build from a lock."),
	rule(ruleLocalPath, Environment, resolve.Error, "a requirement is a path outside of the model",
		"The path exists on the machine that logged the model, and nowhere else. Put the distribution into the model, or publish it."),
	rule(ruleSource, Environment, resolve.Warning, "a requirement is source code inside the model",
		"It is built again wherever it is installed, with the build tools of that day, and mlenv image takes wheels only. Put a wheel of it into the model, or its modules into code_paths."),
	rule(ruleEditable, Environment, resolve.Warning, "a requirement is an editable install",
		"An editable install points at a working copy and is not meant for production. Build a wheel of it."),
	rule(ruleVCS, Environment, resolve.Warning, "a requirement from version control names no commit",
		"A branch or tag moves, so two builds may differ. Name the full commit, or build a wheel of it."),
	rule(ruleBuildPython, Environment, resolve.Warning, "a build dependency does not fit the Python",
		"The pinned pip, setuptools or wheel does not install or does not run on the model's Python. Pin a version that does."),
	rule(rulePythonEnd, Target, resolve.Warning, "the Python gets no more security fixes",
		"Holes found in it from now on stay open, and base images stop being built. Log the model on a newer Python."),
}

var modelRules = []Rule{
	rule(ruleModelFile, Model, resolve.Error, "MLmodel names a file that the model does not have",
		"The model cannot be loaded. Upload the file, or log the model again."),
	rule(ruleOutside, Model, resolve.Error, "MLmodel names a path outside of the model",
		"The path exists on the machine that logged the model, and nowhere else. Log the model again with the file as an artifact."),
	rule(ruleFlavorVersion, Model, resolve.Error, "the requirements exclude the library version that saved the model",
		"Saved estimators are not made for other versions: loading fails, or worse, predictions change. Require the version that MLmodel records."),
	rule(ruleFlavorMissing, Model, resolve.Warning, "no requirement names the library of a flavor",
		"The model loads only if something else happens to bring the library. Require it in the version that MLmodel records."),
	rule(ruleFlavorLocked, Model, resolve.Warning, "the lock has another version of a flavor's library than the one that saved the model",
		"Saved estimators are not made for other versions. Pin the recorded version and lock again."),
	rule(ruleMLflowFeature, Model, resolve.Error, "the required mlflow is too old for what the model uses",
		"That mlflow cannot read the model. Require at least the version that the message names."),
	rule(ruleCodeName, Model, resolve.Warning, "a code path holds something that Python cannot import",
		"A module's name must be an identifier. Rename the file or folder, or take it out of code_paths."),
	rule(ruleShadowStdlib, Model, resolve.Error, "a module of the model hides one of Python's own",
		"The model's code stands first on Python's path, so other libraries import the wrong module and fail in odd ways. Rename it."),
	rule(ruleShadowPackage, Model, resolve.Warning, "a module of the model hides an installed package",
		"The model's code stands first on Python's path, so every import finds it instead of the package. Rename it, or take the requirement out."),
	rule(ruleImport, Model, resolve.Warning, "the model's code imports a module that no requirement brings",
		"The import fails unless something else happens to bring the module. Add the requirement."),
	rule(ruleImportLocked, Model, resolve.Error, "the model's code imports a module that nothing in the lock brings",
		"The import fails at start or, if it stands in a function, at the first request. Add the requirement and lock again."),
	rule(ruleStdlibGone, Model, resolve.Error, "the model's code imports a module that the model's Python no longer has",
		"The import fails. Use its replacement, or require a distribution that brings the module."),
}

var signatureRules = []Rule{
	rule(ruleNoSignature, Signature, resolve.Warning, "the model has no signature",
		"MLflow then checks no request, and wrong ones fail inside of the model. Log the model with a signature or an input example."),
	rule(ruleBadSignature, Signature, resolve.Error, "the signature cannot be read",
		"MLflow fails to load the model. Log it again."),
	rule(ruleNoExample, Signature, resolve.Info, "the model has no input example",
		"There is nothing to try the deployed model with. Log the model with input_example."),
	rule(ruleBadExample, Signature, resolve.Error, "an input example cannot be read",
		"Whoever tries the model with it fails. Log the model again."),
	rule(ruleExample, Signature, resolve.Error, "the input example does not fit the signature",
		"The model's own example is refused, so either of the two is wrong. Log the model again with both from the same data."),
	rule(ruleServingExample, Signature, resolve.Error, "the serving example does not fit the signature",
		"The request that documents the model is refused by its server. Log the model again, or mend the file."),
}

var supplyRules = []Rule{
	rule(ruleHTTP, Supply, resolve.Warning, "packages come over a connection without encryption",
		"Whoever sits on the way can put other packages in their place. Use https."),
	rule(ruleTrusted, Supply, resolve.Warning, "certificates of an index are not checked",
		"--trusted-host accepts any certificate. Give the index's own certificate to the build instead."),
	rule(ruleLockStale, Supply, resolve.Warning, "the lock was made for another state of the model's requirements",
		"What is deployed is not what the model declares. Run mlenv lock again."),
	rule(ruleLockLacks, Supply, resolve.Error, "a requirement is not in the lock",
		"What is built from the lock lacks it. Run mlenv lock again."),
	rule(ruleLockExcludes, Supply, resolve.Error, "the lock has a version that a requirement excludes",
		"What is built from the lock is not what the model declares. Run mlenv lock again."),
	rule(ruleLockPython, Supply, resolve.Error, "the lock was made for another Python than the model's",
		"Pickles and binary wheels fit one minor version. Run mlenv lock again."),
	rule(ruleNoWheel, Target, resolve.Error, "a locked package has no wheel for the platform",
		"It cannot be installed there without a compiler. Choose a version with a wheel, or another base."),
	rule(ruleNativeLibrary, Target, resolve.Error, "a wheel needs a shared library that nothing brings",
		"The import fails with \"cannot open shared object file\". Choose a base that has it, or install its package."),
	rule(ruleYanked, Supply, resolve.Warning, "a locked release was withdrawn by its authors",
		"Authors yank releases that are broken or unsafe. Move to another version and lock again."),
	rule(ruleGone, Supply, resolve.Error, "the index no longer lists a locked file",
		"The image cannot be built again. Lock again."),
	rule(ruleNoHash, Supply, resolve.Error, "a locked file has no strong hash",
		"What is downloaded cannot be told from something else in its place. Lock again."),
	rule(ruleURLHash, Supply, resolve.Warning, "a requirement is a URL without a hash",
		"What is downloaded cannot be told from something else in its place. Add #sha256=… to the URL, or build from a lock."),
	rule(ruleVulnerable, Supply, resolve.Error, "a locked package has a known vulnerability",
		"Move to a version with the fix, or except the vulnerability in the policy with a reason and an end date."),
	rule(ruleMalicious, Supply, resolve.Error, "a locked package is known to be malicious",
		"Do not install it; look for what has already run it."),
}

var policyRules = []Rule{
	rule(rulePackageDenied, PolicyRules, resolve.Error, "the policy denies a package",
		"Replace it, or ask for an exception."),
	rule(ruleNotAllowed, PolicyRules, resolve.Error, "the policy's list of allowed packages leaves a package out",
		"Replace it, or have it added to the list."),
	rule(ruleIndexDenied, PolicyRules, resolve.Error, "packages come from an index that the policy does not allow",
		"Use an index that the policy allows."),
	rule(ruleBaseDenied, PolicyRules, resolve.Error, "the base image comes from a registry that the policy does not allow",
		"Use a base from a registry that the policy allows."),
	rule(ruleLicenceDenied, PolicyRules, resolve.Error, "a package's licence is not allowed by the policy",
		"Replace the package, or ask for an exception."),
	rule(ruleLicenceUnknown, PolicyRules, resolve.Warning, "a package's licence cannot be told",
		"Its metadata names none. Look it up, and except the package in the policy."),
	rule(ruleExceptionEnded, PolicyRules, resolve.Error, "an exception of the policy is past its end date",
		"It no longer counts. Mend what it excepted, or decide anew."),
	rule(ruleExceptionUnused, PolicyRules, resolve.Info, "an exception of the policy covers no finding",
		"Take it out, so that it hides nothing later."),
}

// severityOf gives the severity of a rule of this package.
func severityOf(id string) resolve.Severity {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
	return rules[i].Severity
}
