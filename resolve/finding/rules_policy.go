package finding

// policyRules are the rules of the category "policy". What the policy forbids is an Error, for whoever
// writes a policy means it; what it cannot judge, or no longer needs, is less.
var policyRules = []Rule{
	{BaseNotAllowed, Policy, Error, "the base image comes from a registry that the policy does not allow",
		"Use a base from a registry that the policy allows."},
	{ExceptionExpired, Policy, Error, "an exception of the policy is past its end date",
		"It no longer counts. Fix the problem, or renew the exception."},
	{ExceptionUnused, Policy, Info, "an exception of the policy covers no finding",
		"Remove it, so that it does not hide anything later."},
	{IndexNotAllowed, Policy, Error, "packages come from an index that the policy does not allow",
		"Use an index that the policy allows."},
	{LicenceNotAllowed, Policy, Error, "a package's licence is not allowed by the policy",
		"Replace the package, or ask for an exception."},
	{LicenceUnknown, Policy, Warning, "a package's licence is not known",
		"Its metadata names none. Look it up, and add an exception for the package to the policy."},
	{PackageDenied, Policy, Error, "the policy denies a package",
		"Replace it, or ask for an exception."},
	{PackageNotAllowed, Policy, Error, "the policy's list of allowed packages leaves a package out",
		"Replace it, or have it added to the list."},
}
