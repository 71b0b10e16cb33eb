package resolve_test

import (
	"os"
	"os/exec"
	"testing"
)

// accepts reads the files of its arguments as pip, uv and conda's solver (rattler) do.
const accepts = `
import subprocess, sys, yaml
from rattler import MatchSpec
from pip._internal.network.session import PipSession
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements

bad = 0
for name in sys.argv[1:]:
    try:
        if name.endswith(".yml"):
            for d in yaml.safe_load(open(name))["dependencies"]:
                if isinstance(d, str):
                    MatchSpec(d)
        else:
            for r in parse_requirements(name, session=PipSession()):
                if not r.requirement.startswith(("./", "-e ./")) and not r.is_editable:
                    install_req_from_parsed_requirement(r)
            text = "".join(l for l in open(name) if not l.startswith(("./", "-e ", "--")) and " @ " not in l)
            # Without an index nothing is found, which is said of requirements that uv could read.
            p = subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-index", "--no-config", "-r", "-"],
                               input=text, capture_output=True, text=True)
            if "ouldn't parse" in p.stderr or "nexpected" in p.stderr:
                raise ValueError(p.stderr)
    except Exception as e:
        bad += 1
        print(name, type(e).__name__, e)
sys.exit(bad != 0)
`

// What is printed for pip, uv and conda is what they accept.
func TestFormsAreAccepted(t *testing.T) {
	python := os.Getenv("MLENV_PYTHON")
	if python == "" {
		t.Skip("MLENV_PYTHON names no Python with pip, uv, pyyaml and py-rattler")
	}
	if exec.Command(python, "-c", "import pip, rattler, uv, yaml").Run() != nil {
		t.Fatal("MLENV_PYTHON lacks one of pip, uv, pyyaml and py-rattler")
	}
	args := []string{"-c", accepts}
	for _, pattern := range []string{"testdata/*/*.requirements.txt", "testdata/*/*.conda.yml"} {
		args = append(args, glob(t, pattern)...)
	}
	if out, err := exec.Command(python, args...).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
