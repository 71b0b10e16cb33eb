package check

import "mlenv/resolve/finding"

// Need is something that a rule compares and that not every check is given.
type Need int

// The needs of rules.
const (
	NeedsLock Need = iota
	NeedsOnline
	NeedsBase
	NeedsAdvisories
	NeedsPolicy
	NeedsBuilding // found when an image is built, never by a check, or only with a key; not counted
)

// needs are the rules that need more than the model.
var needs = map[finding.ID]Need{
	finding.HashMissing: NeedsLock, finding.ImportNotLocked: NeedsLock, finding.FlavorVersionNotLocked: NeedsLock,
	finding.LockOutOfDate: NeedsLock, finding.LockPythonDiffers: NeedsLock, finding.LockedVersionExcluded: NeedsLock,
	finding.RequirementNotLocked: NeedsLock, finding.NoFittingWheel: NeedsLock, finding.GPUDriver: NeedsLock,
	finding.ReleaseGone: NeedsOnline, finding.YankedRelease: NeedsOnline, finding.UnsatisfiableEnvironment: NeedsOnline,
	finding.NativeLibraryMissing: NeedsBase, finding.BaseNotAllowed: NeedsPolicy,
	finding.KnownVulnerability: NeedsAdvisories, finding.MaliciousPackage: NeedsAdvisories,
	finding.ExceptionExpired: NeedsPolicy, finding.ExceptionUnused: NeedsPolicy, finding.IndexNotAllowed: NeedsPolicy,
	finding.LicenceNotAllowed: NeedsPolicy, finding.LicenceUnknown: NeedsPolicy, finding.PackageDenied: NeedsPolicy,
	finding.PackageNotAllowed: NeedsPolicy,
	finding.BaseNotExact:      NeedsBuilding, finding.LargeLayer: NeedsBuilding, finding.PythonOfBase: NeedsBuilding,
	finding.ModelSignature:       NeedsBuilding,
	finding.SystemPackageMissing: NeedsBuilding, finding.WheelFilesOverlap: NeedsBuilding, finding.WheelModulesOverlap: NeedsBuilding,
	finding.WheelNamesByCase: NeedsBuilding, finding.WheelRecord: NeedsBuilding, finding.WheelVersion: NeedsBuilding,
}

// NotRun counts the rules that a check of the input cannot find anything by, for each need that it
// lacks. rules is how many a check could apply at all.
func NotRun(in Input) (rules int, lacking map[Need]int) {
	have := map[Need]bool{
		NeedsLock: in.Lock != nil, NeedsOnline: in.Releases != nil || in.NoSolution != "", NeedsBase: in.Libraries != nil,
		NeedsAdvisories: in.Advisories != nil, NeedsPolicy: in.Policy != nil,
	}
	lacking = map[Need]int{}
	for _, r := range finding.Rules() {
		need, ok := needs[r.ID]
		if ok && need == NeedsBuilding {
			continue
		}
		rules++
		if ok && !have[need] {
			lacking[need]++
		}
	}
	return rules, lacking
}
