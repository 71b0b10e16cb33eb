package resolve

import (
	"cmp"
	"slices"
)

// Rule describes one kind of finding.
type Rule struct {
	ID       string // kebab-case; never changes its meaning
	Severity Severity
	Summary  string // what is found
	Help     string // why it matters and how to mend it
}

// The rules of this package.
const (
	ruleConflict         = "conflicting-requirements"
	ruleConstraint       = "conflicting-constraint"
	ruleHashes           = "conflicting-hashes"
	rulePythonMinor      = "python-minor-differs"
	ruleMissingFile      = "missing-file"
	ruleBuildDiffers     = "build-dependency-differs"
	ruleCredentials      = "credentials-in-url"
	ruleExtras           = "extras-differ"
	ruleIndexDiffers     = "index-url-differs"
	ruleMLflowMissing    = "mlflow-missing"
	ruleMLflowUnpinned   = "mlflow-unpinned"
	ruleMLflowDiffers    = "mlflow-version-differs"
	ruleMLflowUnknown    = "mlflow-version-unknown"
	ruleOrphan           = "orphan-constraints"
	rulePythonMissing    = "python-missing"
	rulePythonInexact    = "python-inexact"
	rulePythonOverridden = "python-overridden"
	rulePythonPatch      = "python-patch-differs"
	ruleOneFile          = "requirement-in-one-file"
	ruleSpecifiers       = "specifiers-differ"
	ruleCondaPackages    = "conda-packages"
	ruleDuplicate        = "duplicate-requirement"
	ruleLocked           = "locked-requirements"
	ruleMLflowShort      = "mlflow-pin-short"
	ruleUnnamed          = "unnamed-environment-file"
	ruleUVLock           = "uv-lock-unused"
)

// Rules lists the rules of the findings that Merge and Model report, sorted by id.
func Rules() []Rule {
	return slices.SortedFunc(slices.Values(rules), func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
}

var rules = []Rule{
	{ruleBuildDiffers, Warning, "two files want different versions of a build dependency",
		"MLflow installs what python_env.yaml names. Make conda.yaml agree, or log the model again."},
	{ruleCondaPackages, Info, "the model declares packages for conda",
		"pip and uv do not install them, so an environment without conda lacks them. Move them to the pip requirements, or build with mlenv dockerfile --installer conda."},
	{ruleConstraint, Error, "a requirement and a constraint exclude each other",
		"No version can be installed. Loosen one of the two."},
	{ruleHashes, Error, "two files give different hashes for the same requirement",
		"A file that fits one hash fails the other. Find out which of the two is right before anything is installed."},
	{ruleConflict, Error, "two requirements of one package exclude each other",
		"What is installed depends on which file the tool reads: MLflow takes python_env.yaml, then requirements.txt, then conda.yaml. Make the files agree."},
	{ruleCredentials, Warning, "a URL carries credentials",
		"Whoever can read the model can read them. Change them, take them out of the file, and give them to the build as a secret (netrc, PIP_INDEX_URL)."},
	{ruleDuplicate, Info, "one file names a package more than once",
		"The lines are joined. Keep one of them."},
	{ruleExtras, Warning, "two files want different extras of a package",
		"An extra brings packages of its own. mlenv takes them all; make the files agree."},
	{ruleIndexDiffers, Warning, "two files name different package indexes",
		"The same name may be another package on another index. mlenv takes the one that MLflow would; make the files agree."},
	{ruleLocked, Info, "requirements.txt is a lock written by MLflow",
		"It names the whole dependency tree; only the commented lines are the model's own requirements."},
	{ruleMissingFile, Error, "a requirement or code path names a file that the model does not have",
		"The model cannot be installed. Log it again with the file, or take the line out."},
	{ruleMLflowMissing, Warning, "no file requires mlflow",
		"The model cannot be loaded as a pyfunc without it. mlenv adds the version that logged the model; add it to the requirements."},
	{ruleMLflowShort, Info, "the pin of mlflow is shorter than the version that logged the model",
		"mlflow==2.4 means 2.4.0. MLflow 2.4 wrote its pins this way; the nearest patch release is usually the better choice."},
	{ruleMLflowUnpinned, Warning, "mlflow is required without an exact version",
		"The newest MLflow may not load the model. mlenv pins it to the version that logged the model; pin it in the requirements."},
	{ruleMLflowDiffers, Warning, "the model was logged with another mlflow than it requires",
		"The environment's mlflow must read what the logging mlflow wrote. Pin the version of mlflow_version unless the difference is meant."},
	{ruleMLflowUnknown, Warning, "mlflow is not pinned and the model does not say what logged it",
		"mlenv cannot tell which mlflow loads the model. Pin it with --extra-pip-requirements mlflow==VERSION."},
	{ruleOrphan, Warning, "constraints.txt is there but no file applies it",
		"pip never reads it. Add -c constraints.txt to requirements.txt, or give it with --constraint."},
	{rulePythonInexact, Warning, "the Python version is a range",
		"The Python that is installed depends on the day. Name a version, at least 3.N; --python does so for one run."},
	{rulePythonMinor, Error, "two files want different minor versions of Python",
		"Pickles and binary wheels fit one minor version. Make the files agree, or decide with --python."},
	{rulePythonMissing, Warning, "no file says which Python the model needs",
		"MLflow would take the Python of whoever builds. Decide with --python."},
	{rulePythonOverridden, Warning, "--python asks for another minor version than the model",
		"Pickles made on one minor version of Python may not load on another. Test the model before it serves."},
	{rulePythonPatch, Warning, "two files want different patch versions of Python",
		"Usually harmless; mlenv takes the one that MLflow would. Make the files agree."},
	{ruleOneFile, Warning, "a requirement is declared in some of the files only",
		"Whether it is installed depends on which file the tool reads. Declare it in all of them, or log the model again."},
	{ruleSpecifiers, Warning, "files want different, compatible versions of a package",
		"mlenv joins them. Make the files agree, so that every tool installs the same."},
	{ruleUnnamed, Info, "an environment file is there but MLmodel does not name it",
		"MLflow finds it by its name. Name it in MLmodel's env so that other tools find it too."},
	// What the parsers of package envfile note.
	{"build-option", Info, "a requirement has options for building it",
		"They have no effect on wheels, which is all that mlenv installs."},
	{"environment-variable", Warning, "a requirements file names an environment variable",
		"What is installed then depends on who builds. Write the value, or give the index on the command line."},
	{"ignored-option", Warning, "pip ignores an option where it stands",
		"It has no effect. Put options for one requirement on its line, and all others on lines of their own."},
	{"ignored-text", Warning, "pip ignores text behind the options of a line",
		"It has no effect, though it looks as if it had. Put it on a line of its own."},
	{"python-not-text", Warning, "python_env.yaml gives the Python version as a number",
		"MLflow refuses it, and other readers take 3.10 for 3.1. Put it into quotation marks."},
	{"python-not-understood", Warning, "a Python version cannot be read",
		"It is left out of the comparison. Write a version such as 3.11.7."},
	{"python-without-version", Info, "conda.yaml lists python without a version",
		"Conda then takes the newest. Write the version beside it."},
	{"several-pip-sections", Warning, "conda.yaml has several pip sections",
		"MLflow reads the first for one purpose and the last for another. Make them one."},
	{"unknown-key", Info, "a file has a key that its readers ignore",
		"Check its spelling, or take it out."},
	{"version-not-understood", Info, "the version of a conda build dependency has no counterpart in PEP 440",
		"The dependency is taken without a version. Write it with ==, <= or >=."},
	{ruleUVLock, Info, "uv.lock is there but not used",
		"mlenv reads requirements.txt, which MLflow exported from it. The model does not record which groups and extras were meant."},
}

// severity gives the severity of a rule; what parsers merely note is Info unless the table says
// otherwise.
func severity(id string) Severity {
	for _, r := range rules {
		if r.ID == id {
			return r.Severity
		}
	}
	return Info
}
