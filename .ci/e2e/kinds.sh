# Models of many kinds, as .ci/oracle/kinds.py logs them, served from their images: each has to answer
# as MLflow did in the Python that logged it. Sourced after lib.sh and bases.sh, with a registry, Docker,
# mlenv and the bases at hand. Models, environments and images are removed as soon as they were used.

# kinds_env DIR PYTHON REQUIREMENT... makes a virtual environment with uv.
kinds_env() {
	local env=$1 python=$2; shift 2
	[ -x "$E2E/venv/bin/uv" ] || { "$(python_prefix)/bin/python3.11" -m venv "$E2E/venv" && "$E2E/venv/bin/pip" install -q uv >"$E2E/pip.log" 2>&1; }
	rm -rf "$env"
	"$E2E/venv/bin/uv" venv -q -p "$python" "$env"
	# MLflow reads pip's version where it writes conda.yaml, and takes wheels with it.
	"$E2E/venv/bin/uv" pip install -q -p "$env/bin/python" pip wheel "$@" >"$E2E/pip.log" 2>&1 || { tail -5 "$E2E/pip.log" >&2; return 1; }
}

# log_kinds ENV OUT KIND... logs kinds into OUT; without KIND all that the environment has libraries for.
log_kinds() {
	local env=$1 out=$2; shift 2
	PATH=$E2E/venv/bin:$PATH MLFLOW_DISABLE_TELEMETRY=true "$env/bin/python" "$root/.ci/oracle/kinds.py" "$out" "$@" >"$E2E/log.log" 2>&1
}

# kind_model OUT KIND prints the folder of the model.
kind_model() {
	python3 -c 'import json, sys; print(sys.argv[1] + "/" + json.load(open(f"{sys.argv[1]}/{sys.argv[2]}.json"))["model"])' "$1" "$2"
}

# serve_kind OUT KIND FLAG... builds the image of a model, loads it into Docker, starts it with a
# read-only root, and asks it what Python was asked. The FLAGs choose the base. Prints the seconds from
# the start to the first answered /ping; where that fails, the reason is in $E2E/kind.log.
serve_kind() {
	local out=$1 kind=$2 tag=e2e-kind:1 port id good=; shift 2
	"$E2E/mlenv" image "$(kind_model "$out" "$kind")" "$@" --load --name "$tag" --quiet >"$E2E/kind.log" 2>&1 || return 1
	port=$(free_port)
	id=$(docker run -d --network=host -e PORT="$port" --read-only --tmpfs /tmp "$tag" 2>>"$E2E/kind.log") &&
		python3 "$root/.ci/e2e/ask.py" "$port" "$kind" "$out/predictions.json" 300 2>>"$E2E/kind.log" && good=yes
	[ -n "$good" ] || docker logs "$id" 2>&1 | tail -30 >>"$E2E/kind.log" || true
	docker rm -f "$id" >/dev/null 2>&1 || true
	docker rmi -f "$tag" >/dev/null 2>&1 || true
	[ -n "$good" ]
}

# kinds serves those that are quick to log and to start, and that tell most: what a model from code, a
# model of messages and one with type hints is asked differs from all others.
kinds() {
	step "kinds of models"
	local out=$E2E/kinds env=$E2E/kinds-env kind took list=(model-from-code type-hints chat-agent responses-agent statsmodels onnx)
	rm -rf "$out"
	kinds_env "$env" "$(python_prefix)/bin/python3.11" 'mlflow==3.17.2' statsmodels onnx onnxruntime || die "the libraries could not be installed"
	log_kinds "$env" "$out" "${list[@]}" || { tail -20 "$E2E/log.log" >&2; die "the kinds could not be logged"; }
	rm -rf "$env"
	for kind in "${list[@]}"; do
		"$E2E/mlenv" check "$(kind_model "$out" "$kind")" >"$E2E/check.log" 2>&1 || { cat "$E2E/check.log" >&2; die "check finds errors in $kind"; }
		took=$(serve_kind "$out" "$kind" --base "$SLIM") || { cat "$E2E/kind.log" >&2; die "$kind does not answer from its image as in Python"; }
		say "$kind: answers as in Python, /ping after $took s"
	done
	rm -rf "$out"
}
