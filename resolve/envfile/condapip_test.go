package envfile

import "testing"

// TestCondaAsPip holds how a conda package is written for pip, or why it cannot be.
func TestCondaAsPip(t *testing.T) {
	for in, want := range map[string]string{
		"scikit-image":                 "scikit-image",
		"keras=2.11":                   "keras==2.11.*",
		"keras=2.11.0":                 "keras==2.11.0.*",
		"keras==2.11.0":                "keras==2.11.0",
		"keras 2.11.0":                 "keras==2.11.0",
		"tensorflow>=2.4,<2.12":        "tensorflow<2.12,>=2.4",
		"matminer=0.7.*":               "matminer==0.7.*",
		"matminer~=0.7.1":              "matminer~=0.7.1",
		"matminer!=0.7":                "matminer!=0.7",
		"pytorch=1.13":                 "torch==1.13.*",
		"conda-forge::py-xgboost=1.7":  "xgboost==1.7.*",
		"defaults::PyYAML":             "pyyaml",
		"conda-forge/noarch::tqdm":     "tqdm",
		"ruamel.yaml=0.17":             "ruamel-yaml==0.17.*",
		"pytorch::pytorch=1.13":        "-the channel pytorch has builds of its own",
		"nvidia::numpy":                "-the channel nvidia has builds of its own",
		"conda-forge/linux-64::numpy":  "-it names a platform, linux-64",
		"pytorch=1.8.1=py3.8_cuda10.2": "-it names the build py3.8_cuda10.2",
		"numpy[build_number=3]":        "-it names a build_number",
		"numpy=1.2|1.4":                "-pip has no way to write the version =1.2|1.4",
		"cudatoolkit=11":               "-it is no Python package",
		"cuda-nvcc":                    "-it is no Python package",
		"libgcc-ng":                    "-it is no Python package",
		"graphviz":                     "-it is no Python package",
		"python-graphviz":              "graphviz",
		"opencv=4.8":                   "-it is no Python package",
		"r-ggplot2":                    "-it is no Python package",
	} {
		m, err := parseMatchSpec(in)
		if err != nil {
			t.Fatal(err)
		}
		r, why := CondaPackage{Name: m.name, Channel: m.channel, Version: m.written, Build: m.build, MatchSpec: m.String()}.Requirement()
		got := r.Requirement.String()
		if why != "" {
			got = "-" + why
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}
