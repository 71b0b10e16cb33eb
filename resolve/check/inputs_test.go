package check_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"mlenv/resolve"
	"mlenv/resolve/check"
	"mlenv/resolve/dist"
	"mlenv/resolve/finding"
	"mlenv/resolve/model"
	"mlenv/resolve/pep508"
	"mlenv/resolve/pylock"
)

const lockText = `lock-version = "1.0"
created-by = "mlenv"

[[packages]]
name = "mlflow"
version = "2.9.2"
index = "https://pypi.example/simple/"
wheels = [{name = "mlflow-2.9.2-py3-none-any.whl", url = "https://files.example/mlflow-2.9.2-py3-none-any.whl", hashes = {sha256 = "00"}}]

[[packages]]
name = "pillow"
version = "10.0.0"
index = "https://pypi.example/simple/"
wheels = [{name = "pillow-10.0.0-cp311-cp311-manylinux_2_28_x86_64.whl", url = "https://files.example/pillow-10.0.0-cp311-cp311-manylinux_2_28_x86_64.whl", hashes = {sha256 = "00"}}]
`

// locked returns the input of a small model with a lock.
func locked(t *testing.T, policy string) check.Input {
	t.Helper()
	m, err := model.Read(fstest.MapFS{
		"MLmodel": {Data: []byte("flavors:\n  python_function: {loader_module: mlflow.pyfunc.model, python_version: 3.11.7}\n" +
			"mlflow_version: 2.9.2\nsignature: {inputs: '[{\"type\": \"long\", \"name\": \"a\"}]'}\n")},
		"requirements.txt": {Data: []byte("mlflow==2.9.2\npillow==10.0.0\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := resolve.Model(m, resolve.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lock, err := pylock.Parse("pylock.toml", []byte(lockText))
	if err != nil {
		t.Fatal(err)
	}
	in := check.Input{Spec: spec, Model: m, Lock: &check.Lock{Lock: lock, Name: "pylock.toml", Data: []byte(lockText)}, Today: day}
	if policy != "" {
		if in.Policy, err = check.ParsePolicy("policy.yaml", []byte(policy)); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// messages are the findings of some rules, with their places.
func messages(t *testing.T, in check.Input, rules ...string) []string {
	t.Helper()
	r, err := check.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range r.Findings {
		if slices.Contains(rules, string(f.Rule)) {
			out = append(out, string(f.Rule)+" "+f.Message)
			if f.From[0].File != "pylock.toml" || f.From[0].Line == 0 {
				t.Errorf("%s stands at %+v", f.Rule, f.From)
			}
		}
	}
	return out
}

func file(t *testing.T, name string, yanked string) dist.File {
	t.Helper()
	f, err := dist.NewFile("", name, "https://files.example/"+name)
	if err != nil {
		t.Fatal(err)
	}
	f.Yanked, f.YankedReason = yanked != "", yanked
	return f
}

func TestReleases(t *testing.T) {
	in := locked(t, "")
	in.Releases = map[pep508.Name][]dist.File{
		"mlflow": {file(t, "mlflow-2.9.2-py3-none-any.whl", "leaks")},
		"pillow": {file(t, "pillow-10.0.0-cp311-cp311-win_amd64.whl", "")},
	}
	want := []string{
		"release-gone the index no longer lists pillow-10.0.0-cp311-cp311-manylinux_2_28_x86_64.whl",
		"yanked-release mlflow 2.9.2 was yanked: leaks",
	}
	if got := messages(t, in, "release-gone", "yanked-release"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLicences(t *testing.T) {
	tests := []struct{ policy, licence, want string }{
		{"allow: [MIT, HPND]", "MIT", ""},
		{"allow: [MIT]", "mit OR GPL-3.0-only", ""},
		{"allow: [MIT]", "MIT AND GPL-3.0-only", "licence-not-allowed"},
		{"allow: [Apache-2.0]", "Apache-2.0 WITH LLVM-exception", ""},
		{"deny: [GPL-3.0-only]", "GPL-3.0-only", "licence-not-allowed"},
		{"deny: [GPL-3.0-only]", "MIT", ""},
		{"deny: [GPL-3.0-only]", "", "licence-unknown"},
	}
	for _, test := range tests {
		in := locked(t, "licences: {"+test.policy+"}")
		in.Licences = map[pep508.Name]string{"pillow": test.licence}
		got := messages(t, in, "licence-not-allowed", "licence-unknown")
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.want+" ")) {
			t.Errorf("%s, %q: %q, want %q", test.policy, test.licence, got, test.want)
		}
	}
}

func TestLicenceOfMetadata(t *testing.T) {
	tests := []struct{ metadata, want string }{
		{"Metadata-Version: 2.4\nLicense-Expression: MIT-CMU\n", "MIT-CMU"},
		{"Metadata-Version: 2.1\nLicense: Apache 2.0\n", "Apache-2.0"},
		{"Metadata-Version: 2.1\nLicense: see LICENSE\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"},
		{"Metadata-Version: 2.1\nLicense: " + strings.Repeat("Permission is hereby granted. ", 9) + "\n", ""},
		{"Metadata-Version: 2.1\nLicense: UNKNOWN\n", ""},
	}
	for _, test := range tests {
		m, err := dist.ParseMetadata([]byte(test.metadata + "Name: x\nVersion: 1\n\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := check.Licence(m); got != test.want {
			t.Errorf("%q: %q, want %q", test.metadata, got, test.want)
		}
	}
}

func TestLibraries(t *testing.T) {
	in := locked(t, "")
	in.Libraries = &check.Libraries{
		Base: "python:3.11-slim", Bring: []string{"libc.so.6"},
		Wheels: []check.WheelLibraries{{Name: "pillow", Files: []check.ELFFile{
			{Path: "PIL/_imaging.so", Needed: []string{"libc.so.6", "libjpeg-1.so.62", "libGL.so.1", "ld-linux-x86-64.so.2"}},
			{Path: "pillow.libs/libjpeg-1.so.62", Soname: "libjpeg-1.so.62", Needed: []string{"libc.so.6", "libGL.so.1"}},
		}}},
	}
	want := []string{"native-library-missing _imaging.so of pillow needs libGL.so.1, which neither python:3.11-slim nor a wheel provides"}
	if got := messages(t, in, "native-library-missing"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAdvisoryRanges(t *testing.T) {
	read := func(events string) *check.Advisories {
		a, err := check.ReadAdvisories(fstest.MapFS{"x.json": {Data: []byte(
			`{"id": "X-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "pillow"}, "ranges": [{"type": "ECOSYSTEM", "events": [` + events + `]}]}]}`)}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	tests := []struct {
		events   string
		affected bool
	}{
		{`{"introduced": "0"}`, true},
		{`{"introduced": "0"}, {"fixed": "10.0.0"}`, false},
		{`{"introduced": "0"}, {"fixed": "10.0.1"}`, true},
		{`{"introduced": "0"}, {"last_affected": "10.0.0"}`, true},
		{`{"introduced": "0"}, {"last_affected": "9.5"}`, false},
		{`{"introduced": "10.0.1"}`, false},
		{`{"fixed": "9.0"}, {"introduced": "0"}, {"introduced": "9.5"}, {"fixed": "11"}`, true},
		{`{"introduced": "0"}, {"limit": "9"}`, false},
	}
	for _, test := range tests {
		in := locked(t, "")
		in.Advisories = read(test.events)
		if got := messages(t, in, "known-vulnerability"); (len(got) > 0) != test.affected {
			t.Errorf("%s: %q", test.events, got)
		}
	}
	if _, err := check.ReadAdvisories(fstest.MapFS{"x.json": {Data: []byte(`{"id": 1, "ecosystem": "PyPI"}`)}}); err == nil {
		t.Error("a record with a number for an id is taken")
	}
}

func TestNoSolution(t *testing.T) {
	in := locked(t, "")
	in.Lock, in.NoSolution = nil, "a needs b<2, and c needs b>=2"
	r, err := check.Run(in)
	if err != nil || !slices.ContainsFunc(r.Findings, func(f finding.Finding) bool {
		return f.Rule == "unsatisfiable-environment" && f.Message == in.NoSolution
	}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPolicyRoundTrip(t *testing.T) {
	p, err := check.ParsePolicy("p.yaml", []byte("version: 1\npackages: {deny: [a<2]}\nexceptions: [{rule: http-index, reason: r, until: 2026-01-31}]\n"))
	if err != nil || len(p.Deny) != 1 || p.Deny[0].Line != 2 || len(p.Exceptions) != 1 ||
		!p.Exceptions[0].Until.Equal(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := check.ParsePolicy("p.yaml", nil); err != nil || len(p.Rules) != 0 {
		t.Errorf("an empty policy: %+v, %v", p, err)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte("version: 1\nrules: {http-index: off}\npackages: {deny: [{package: a<2, reason: x}], allow: [b]}\n"))
	f.Add([]byte("licences: {allow: [MIT]}\nindexes: {allow: [https://a.example]}\nbases: {allow: []}\n"))
	f.Add([]byte("exceptions:\n- {rule: http-index, subject: a, reason: r, until: 2026-01-31}\n"))
	f.Add([]byte("a: &a [*a]\n--- x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := check.ParsePolicy("p.yaml", data)
		if err != nil {
			if _, ok := check.FromError(err, nil, day); !ok {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		if len(p.Deny)+len(p.Exceptions) > len(data) {
			t.Errorf("%d bytes give %+v", len(data), p)
		}
	})
}

func FuzzAdvisories(f *testing.F) {
	f.Add([]byte(`{"id": "X", "affected": [{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": ["1"], "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := check.ReadAdvisories(fstest.MapFS{"x.json": {Data: data}})
		if err == nil && a.Count > 1 {
			t.Errorf("one file is %d records", a.Count)
		}
	})
}

// TestGPUDriver locks builds for CPUs and GPUs.
func TestGPUDriver(t *testing.T) {
	const rest = "; without a GPU, PyTorch's build for cpu is enough, and smaller"
	for packages, want := range map[string]string{
		"torch 2.7.1+cpu": "",
		"torch 2.7.1":     "",
		"torch 2.7.1+cu128": "gpu-driver torch 2.7.1+cu128 is for CUDA 12.8: the base needs none of CUDA, but the machine needs a GPU and a driver of NVIDIA's, " +
			"525 or newer (some of CUDA needs the one that came with 12.8), which the NVIDIA Container Toolkit lends the container" + rest,
		"torch 2.7.1, nvidia-cuda-runtime-cu12 12.6.77": "gpu-driver nvidia-cuda-runtime-cu12 12.6.77 is for CUDA 12.6: the base needs none of CUDA, but the machine needs a GPU and a driver of NVIDIA's, " +
			"525 or newer (some of CUDA needs the one that came with 12.6), which the NVIDIA Container Toolkit lends the container" + rest,
		"nvidia-cuda-runtime 13.0.48": "gpu-driver nvidia-cuda-runtime 13.0.48 is for CUDA 13.0: the base needs none of CUDA, but the machine needs a GPU and a driver of NVIDIA's, " +
			"580 or newer (some of CUDA needs the one that came with 13.0), which the NVIDIA Container Toolkit lends the container",
		"torch 2.7.1+cu102": "gpu-driver torch 2.7.1+cu102 is for CUDA 10.2: the machine needs a GPU and a driver of NVIDIA's for it" + rest,
		"torch 2.7.1+rocm6.3": "gpu-driver torch 2.7.1+rocm6.3 is for ROCm 6.3: the base needs none of ROCm, but the machine needs a GPU of AMD's with the amdgpu driver, " +
			"and the container its devices /dev/kfd and /dev/dri" + rest,
		"torch 2.7.1+xpu": "gpu-driver torch 2.7.1+xpu is for Intel's GPUs: the machine needs one with its driver, and the base the driver's libraries (Level Zero), which no wheel brings" + rest,
	} {
		in, text := locked(t, ""), lockText
		for p := range strings.SplitSeq(packages, ", ") {
			name, version, _ := strings.Cut(p, " ")
			text += "\n[[packages]]\nname = \"" + name + "\"\nversion = \"" + version + "\"\n" +
				"wheels = [{name = \"" + strings.ReplaceAll(name, "-", "_") + "-" + version + "-py3-none-any.whl\", url = \"https://files.example/x.whl\", hashes = {sha256 = \"00\"}}]\n"
		}
		lock, err := pylock.Parse("pylock.toml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		in.Lock = &check.Lock{Lock: lock, Name: "pylock.toml", Data: []byte(text)}
		if got := strings.Join(messages(t, in, "gpu-driver"), "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", packages, got, want)
		}
	}
}
