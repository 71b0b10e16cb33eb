package pep508

import (
	"slices"
	"strings"

	"mlenv/resolve/pep440"
)

// Environment holds the values of the marker variables (PEP 508, "Environment Markers").
type Environment struct {
	OSName                       string // os_name: "posix"
	SysPlatform                  string // sys_platform: "linux"
	PlatformMachine              string // "x86_64", "aarch64"
	PlatformPythonImplementation string // "CPython"
	PlatformRelease              string
	PlatformSystem               string // "Linux"
	PlatformVersion              string
	PythonVersion                string // "3.11"
	PythonFullVersion            string // "3.11.7"
	ImplementationName           string // "cpython"
	ImplementationVersion        string
	// Extras holds the requested extras. The variable "extra" equals each of them and no other
	// name; if there are none, it is "" (PEP 508). "extras" is the set of them (PEP 751).
	Extras           []Name
	DependencyGroups []string
}

// variable is a marker variable; 0 means none.
type variable uint8

const (
	varImplementationVersion variable = iota + 1
	varPlatformRelease
	varPythonFullVersion
	varPythonVersion // the last variable that holds a version
	varImplementationName
	varOSName
	varPlatformMachine
	varPlatformPythonImplementation
	varPlatformSystem
	varPlatformVersion
	varSysPlatform
	varExtra // from here on, variables that do not describe the platform
	varExtras
	varDependencyGroups
)

var variableNames = [...]string{
	varImplementationVersion:        "implementation_version",
	varPlatformRelease:              "platform_release",
	varPythonFullVersion:            "python_full_version",
	varPythonVersion:                "python_version",
	varImplementationName:           "implementation_name",
	varOSName:                       "os_name",
	varPlatformMachine:              "platform_machine",
	varPlatformPythonImplementation: "platform_python_implementation",
	varPlatformSystem:               "platform_system",
	varPlatformVersion:              "platform_version",
	varSysPlatform:                  "sys_platform",
	varExtra:                        "extra",
	varExtras:                       "extras",
	varDependencyGroups:             "dependency_groups",
}

// variableOf returns the variable with a name, which may be an old one of setuptools (PEP 345).
func variableOf(name string) variable {
	switch name {
	case "os.name":
		return varOSName
	case "sys.platform":
		return varSysPlatform
	case "platform.version":
		return varPlatformVersion
	case "platform.machine":
		return varPlatformMachine
	case "platform.python_implementation", "python_implementation":
		return varPlatformPythonImplementation
	}
	return variable(max(0, slices.Index(variableNames[1:], name)+1))
}

// value returns the value of a variable that holds a string, other than extra.
func (env *Environment) value(v variable) string {
	switch v {
	case varImplementationVersion:
		return env.ImplementationVersion
	case varPlatformRelease:
		return env.PlatformRelease
	case varPythonFullVersion:
		// A Python built from an untagged commit has the version "3.13.0+", which is not valid in
		// PEP 440.
		if strings.HasSuffix(env.PythonFullVersion, "+") {
			return env.PythonFullVersion + "local"
		}
		return env.PythonFullVersion
	case varPythonVersion:
		return env.PythonVersion
	case varImplementationName:
		return env.ImplementationName
	case varOSName:
		return env.OSName
	case varPlatformMachine:
		return env.PlatformMachine
	case varPlatformPythonImplementation:
		return env.PlatformPythonImplementation
	case varPlatformSystem:
		return env.PlatformSystem
	case varPlatformVersion:
		return env.PlatformVersion
	}
	return env.SysPlatform
}

// operand is one side of a comparison.
type operand struct {
	text     string // the value of a string, or the name of a variable
	variable variable
}

func (o operand) write(b *strings.Builder) {
	if o.variable != 0 {
		b.WriteString(o.text)
	} else {
		b.WriteString(quote(o.text))
	}
}

// comparison is one comparison of a marker.
type comparison struct {
	left, right operand
	op          string
	subject     variable       // the variable that decides how to compare, or 0
	clause      *pep440.Clause // set if left is the subject, which holds a version, and right is valid in a specifier
}

func newComparison(left operand, op string, right operand) *comparison {
	// Names of extras are normalized (PEP 685).
	switch {
	case left.variable == varExtra && right.variable == 0:
		right.text = string(NormalizeName(right.text))
	case right.variable >= varExtra && left.variable == 0:
		left.text = string(NormalizeName(left.text))
	}
	c := &comparison{left: left, op: op, right: right}
	if left.variable != 0 {
		c.subject = left.variable
		c.clause = versionClause(c.subject, op, right.text)
	} else if c.subject = right.variable; c.subject == 0 {
		// As in packaging, a string on the right that is the name of a variable counts as that
		// variable.
		c.subject = variable(max(0, slices.Index(variableNames[1:], right.text)+1))
	}
	return c
}

// versionClause returns the specifier that a comparison with a version is equivalent to, or nil. As
// in packaging, operator and version are concatenated first: < with "=3" means <=3.
func versionClause(v variable, op, version string) *pep440.Clause {
	if v == 0 || v > varPythonVersion || op == "in" || op == "not in" {
		return nil
	}
	if c, err := pep440.ParseClause(op + version); err == nil {
		return &c
	}
	return nil
}

func (c *comparison) eval(env *Environment) bool {
	fromLeft := c.left.variable != 0
	switch {
	case c.subject == 0:
		return false
	case c.subject == varExtra:
		return c.evalExtra(env.Extras)
	case c.subject == varExtras:
		return !fromLeft && c.evalSet(slices.Contains(env.Extras, NormalizeName(c.left.text)))
	case c.subject == varDependencyGroups:
		name := NormalizeName(c.left.text)
		return !fromLeft && c.evalSet(slices.ContainsFunc(env.DependencyGroups, func(group string) bool {
			return NormalizeName(group) == name
		}))
	case fromLeft && c.clause != nil:
		return c.clause.MatchText(env.value(c.subject))
	case fromLeft:
		return compareText(env.value(c.subject), c.op, c.right.text)
	}
	value := env.value(c.subject)
	if clause := versionClause(c.subject, c.op, value); clause != nil {
		return clause.MatchText(c.left.text)
	}
	return compareText(c.left.text, c.op, value)
}

// evalExtra compares with the requested extras: != and "not in" must hold for all of them, the
// other operators for at least one.
func (c *comparison) evalExtra(extras []Name) bool {
	negative := c.op == "!=" || c.op == "not in"
	for i := range max(1, len(extras)) {
		extra := ""
		if i < len(extras) {
			extra = string(NormalizeName(string(extras[i])))
		}
		left, right := extra, c.right.text
		if c.left.variable == 0 {
			left, right = c.left.text, extra
		}
		if compareText(left, c.op, right) != negative {
			return !negative
		}
	}
	return negative
}

// evalSet compares a string with a set; in is whether the set contains it.
func (c *comparison) evalSet(in bool) bool {
	switch c.op {
	case "in":
		return in
	case "not in":
		return !in
	}
	return c.op == "!=" // a string never equals a set
}

// compareText compares strings that are not versions as packaging does: < and > never hold.
func compareText(left, op, right string) bool {
	switch op {
	case "in":
		return strings.Contains(right, left)
	case "not in":
		return !strings.Contains(right, left)
	case "==", "<=", ">=":
		return left == right
	case "!=":
		return left != right
	}
	return false
}
