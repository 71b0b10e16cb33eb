package check

import (
	"fmt"
	"strings"

	"mlenv/resolve/finding"
	"mlenv/resolve/pattern"
	"mlenv/resolve/pep508"
)

// cudaDriver is the oldest driver of NVIDIA's that runs programs of a major version of CUDA (NVIDIA, "CUDA
// Compatibility", minor version compatibility).
var cudaDriver = map[string]string{"11": "450", "12": "525", "13": "580"}

// cudaLabel is the local label of a version that was built for CUDA: the last digit is the minor version.
var cudaLabel = pattern.New(`^cu(\d+)(\d)$`)

// accelerator says what the locked packages need of a GPU's driver. Wheels bring all of CUDA or ROCm but
// that: it belongs to the kernel of the machine, so that no image can hold it, and no lock shows whether a
// machine has it.
func (c *checker) accelerator() {
	name, built := c.built()
	if name == "" {
		return
	}
	p := c.locked(name)
	say := func(format string, args ...any) {
		what := fmt.Sprintf("%s %s ", name, p.Version)
		c.find(finding.GPUDriver, string(name), []finding.Origin{c.lockOrigin(name)}, "%s", what+fmt.Sprintf(format, args...))
	}
	smaller := ""
	if strings.HasPrefix(string(name), "torch") || c.locked("torch") != nil {
		smaller = "; without a GPU, PyTorch's build for cpu is enough, and smaller"
	}
	major, _, _ := strings.Cut(built, ".")
	switch {
	case strings.HasPrefix(built, "rocm"):
		say("is for ROCm %s: the base needs none of ROCm, but the machine needs a GPU of AMD's with the amdgpu driver, and the container its devices /dev/kfd and /dev/dri%s", built[len("rocm"):], smaller)
	case built == "xpu":
		say("is for Intel's GPUs: the machine needs one with its driver, and the base the driver's libraries (Level Zero), which no wheel brings%s", smaller)
	case cudaDriver[major] != "":
		say("is for CUDA %s: the base needs none of CUDA, but the machine needs a GPU and a driver of NVIDIA's, %s or newer (some of CUDA needs the one that came with %s), which the NVIDIA Container Toolkit lends the container%s",
			built, cudaDriver[major], built, smaller)
	default:
		say("is for CUDA %s: the machine needs a GPU and a driver of NVIDIA's for it%s", built, smaller)
	}
}

// built returns what the locked packages are built for, "12.8", "rocm6.3" or "xpu", and which of them says
// so: torch by its label, else the CUDA runtime that packages for GPUs bring. name is "" where none does.
func (c *checker) built() (name pep508.Name, what string) {
	if p := c.locked("torch"); p != nil {
		label := p.Version.Local()
		if m := cudaLabel.FindStringSubmatch(label); m != nil {
			return p.Name, m[1] + "." + m[2]
		}
		if label == "xpu" || strings.HasPrefix(label, "rocm") && len(label) > len("rocm") {
			return p.Name, label
		}
	}
	for i := range c.in.Lock.Packages {
		p := &c.in.Lock.Packages[i]
		if n := string(p.Name); n == "nvidia-cuda-runtime" || strings.HasPrefix(n, "nvidia-cuda-runtime-cu") {
			return p.Name, p.Version.Minor()
		}
	}
	return "", ""
}
