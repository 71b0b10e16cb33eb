package resolve

import (
	"slices"

	"mlenv/resolve/model"
)

// systemNeed is a Debian package that wheels or a flavor need but do not contain.
type systemNeed struct {
	pkg, reason string
	flavors     []string
	names       []string // distributions, by their normalized names
}

// systemNeeds lists packages known to be missing from a slim base. The wheels of xgboost and
// scikit-learn contain their own libgomp, so they are not listed. A table is enough: manylinux (PEP 600)
// lets wheels expect few libraries, and auditwheel puts the others into the wheel. What is not in it is found
// when the libraries of a lock are compared with those of a base.
var systemNeeds = []systemNeed{
	{"default-jre-headless", "h2o runs on Java", []string{"h2o"}, nil},
	{"default-jre-headless", "johnsnowlabs runs on Java", []string{"johnsnowlabs"}, nil},
	{"default-jre-headless", "spark runs on Java", []string{"spark"}, nil},
	{"libgl1", "opencv-python loads libGL.so.1", nil, []string{"opencv-python", "opencv-contrib-python"}},
	{"libglib2.0-0", "opencv-python loads libgthread-2.0.so.0", nil, []string{"opencv-python", "opencv-contrib-python"}},
	{"libgomp1", "lightgbm loads libgomp.so.1", []string{"lightgbm"}, []string{"lightgbm"}},
	{"libgomp1", "paddlepaddle loads libgomp.so.1", []string{"paddle"}, []string{"paddlepaddle", "paddlepaddle-gpu"}},
}

// addSystemPackages adds the system packages that the model's flavors and requirements need. If
// there are several reasons for a package, the first is recorded.
func (m *merger) addSystemPackages(flavors []model.Flavor) {
	for _, need := range systemNeeds {
		wanted := slices.ContainsFunc(flavors, func(f model.Flavor) bool { return slices.Contains(need.flavors, f.Name) }) ||
			slices.ContainsFunc(m.spec.Requirements, func(r Requirement) bool { return slices.Contains(need.names, string(r.Name)) })
		known := slices.ContainsFunc(m.spec.SystemPackages, func(p SystemPackage) bool { return p.Name == need.pkg })
		if wanted && !known {
			m.spec.SystemPackages = append(m.spec.SystemPackages, SystemPackage{Name: need.pkg, Reason: need.reason})
		}
	}
}
