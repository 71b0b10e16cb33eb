package finding

import (
	"cmp"
	"slices"
)

// Rule describes one kind of finding. Summary and Help are read by people who meet the rule for the first
// time, in a report or in docs/rules.md: Help says what happens if nothing is done, and what to do. They
// name no flags, for they are shown by systems that have none.
type Rule struct {
	ID       ID
	Category Category
	Severity Severity // unless a policy changes it
	Summary  string   // what is found
	Help     string   // why it matters and how to fix it
}

// Category groups rules for people: those who own the model fix another part of them than those who own
// the platform, or who answer for what comes from outside.
type Category string

// The categories.
const (
	Environment Category = "environment"
	Model       Category = "model"
	Signature   Category = "signature"
	Target      Category = "target"
	Supply      Category = "supply chain"
	Policy      Category = "policy"
)

// Categories lists the categories in the order of the documentation.
func Categories() []Category {
	return []Category{Environment, Model, Signature, Target, Supply, Policy}
}

// Rules lists all rules, sorted by id. The list is made anew each time, since a caller may change it.
func Rules() []Rule {
	all := slices.Concat(environmentRules, modelRules, signatureRules, targetRules, supplyRules, policyRules)
	slices.SortFunc(all, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Lookup returns the rule with an ID, and whether there is one.
func Lookup(id ID) (Rule, bool) {
	for _, group := range [][]Rule{environmentRules, modelRules, signatureRules, targetRules, supplyRules, policyRules} {
		for _, r := range group {
			if r.ID == id {
				return r, true
			}
		}
	}
	return Rule{}, false
}
