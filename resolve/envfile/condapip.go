package envfile

import (
	"slices"
	"strings"

	"mlenv/resolve/pep440"
	"mlenv/resolve/pep508"
)

// pipNames are the conda packages whose project on the Python Package Index has another name. conda splits
// some projects into a base without the heavy dependencies and the rest; pip has one project of both.
var pipNames = map[string]string{
	"dask-core": "dask", "matplotlib-base": "matplotlib", "msgpack-python": "msgpack", "py-lightgbm": "lightgbm",
	"py-xgboost": "xgboost", "py-xgboost-cpu": "xgboost", "pytables": "tables", "python-graphviz": "graphviz",
	"pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch",
	"seaborn-base": "seaborn", "tensorflow-base": "tensorflow", "tensorflow-gpu": "tensorflow",
}

// nativePackages are conda packages that are no Python project, although the index may have one of
// that name: another one.
var nativePackages = []string{
	"blas", "boost", "bzip2", "ca-certificates", "clang", "cmake", "compilers", "cpuonly", "cudatoolkit", "cudnn", "cxx-compiler",
	"ffmpeg", "gcc", "gdal", "git", "graphviz", "gxx", "hdf5", "icu", "intel-openmp", "java-jdk", "krb5", "lame", "llvm-openmp",
	"make", "maven", "mkl", "mpi", "nccl", "ncurses", "ninja", "nodejs", "nomkl", "openblas", "opencv", "openjdk", "openmpi", "openssl",
	"postgresql", "py-opencv", "pytorch-cuda", "pytorch-mutex", "r", "r-base", "readline", "snappy", "sqlite", "tbb", "tk", "xz", "zlib", "zstd",
}

// isNative reports a package that brings more than Python code can bring, judged by its name: that of
// a C library, a compiler, CUDA or R. To take one for a Python project would be worse than to refuse it:
// whoever registers its name on the index decides what is installed.
func isNative(name string) bool {
	return slices.Contains(nativePackages, name) || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "r-") ||
		strings.HasPrefix(name, "cuda") || strings.HasPrefix(name, "libg") || strings.HasPrefix(name, "libstdcxx") ||
		strings.HasPrefix(name, "gcc_") || strings.HasPrefix(name, "gxx_")
}

// plainChannels hold builds of what is published for pip too. Other channels have builds of their own,
// such as those for CUDA.
var plainChannels = []string{"", "anaconda", "conda-forge", "defaults", "main", "pkgs/main"}

// Requirement returns the conda package as a requirement for pip: that of the same name, or of the
// name that pip knows it by, with conda's version exactly. If it cannot be one, why says so. What conda
// chooses by beside the version (a build, a channel with builds of its own, a platform) pip cannot ask
// for, and to leave it out would be another package.
func (p CondaPackage) Requirement() (r Requirement, why string) {
	m, err := parseMatchSpec(p.MatchSpec)
	if err != nil {
		return r, err.Error()
	}
	name := m.name
	if other, ok := pipNames[name]; ok {
		name = other
	}
	switch {
	case isNative(m.name):
		return r, "it is no Python package"
	case m.url != "":
		return r, "it names one file of conda's"
	case !slices.Contains(plainChannels, m.channel):
		return r, "the channel " + m.channel + " has builds of its own"
	case m.subdir != "" && m.subdir != "noarch":
		return r, "it names a platform, " + m.subdir
	case m.build != "":
		return r, "it names the build " + m.build
	case len(m.fields) > 0:
		return r, "it names a " + m.fields[0].key
	case !pep508.ValidName(name):
		return r, "its name is none that pip takes"
	}
	version, plain, ok := m.pep440()
	if plain {
		if m.fuzzy() {
			version += ".*"
		}
		version = "==" + version
	}
	set, err := pep440.ParseSpecifiers(version)
	if !ok || err != nil {
		return r, "pip has no way to write the version " + p.Version
	}
	r = Requirement{Requirement: pep508.Requirement{Name: pep508.NormalizeName(name), Spelling: name, Specifier: set}, From: p.From}
	return r, ""
}
