# How containers behave where models are served: variables, arguments, timeouts, little processor,
# signals; Docker's form of manifest; mlenv serve. Sourced after places.sh.

# old_python prints a CPython that MLflow 1.30 runs on, if this machine has one.
old_python() {
	local p
	for p in "${MLENV_E2E_OLD_PYTHON:-}" ~/.pyenv/versions/3.9*/bin/python3.9 ~/.pyenv/versions/3.10*/bin/python3.10 /usr/bin/python3.9; do
		[ -x "$p" ] && "$p" -c 'import ssl, sqlite3' 2>/dev/null && echo "$p" && return
	done
	return 1
}

# sleeper VERSION PYTHON REQUIREMENT... logs a model that sleeps as long as it is told, by that MLflow.
sleeper() {
	local version=$1 python=$2 env=$E2E/mlflow-sleeper-$1; shift 2
	[ -f "$E2E/models/sleeper-$version/MLmodel" ] && return
	[ -x "$E2E/venv/bin/uv" ] || { "$(python_prefix)/bin/python3.11" -m venv "$E2E/venv" && "$E2E/venv/bin/pip" install -q uv >"$E2E/pip.log" 2>&1; }
	[ -x "$env/bin/python" ] || "$E2E/venv/bin/uv" venv -q -p "$python" "$env"
	"$E2E/venv/bin/uv" pip install -q -p "$env/bin/python" "$@" >"$E2E/pip.log" 2>&1 || { tail -5 "$E2E/pip.log" >&2; die "MLflow $version could not be installed"; }
	(cd "$E2E" && MLFLOW_DISABLE_TELEMETRY=true "$env/bin/python" "$here/log_sleeper.py" "$E2E/models" "sleeper-$version") >"$E2E/log.log" 2>&1 ||
		{ tail -20 "$E2E/log.log" >&2; die "sleeper-$version could not be logged"; }
}

# body VERSION SECONDS prints a request to which the answer has 3.0 and 4.0.
body() {
	local split="{\"columns\": [\"x\", \"seconds\"], \"data\": [[1.5, $2], [2.0, 0.0]]}"
	case $1 in 1.*) echo "$split" ;; *) echo "{\"dataframe_split\": $split}" ;; esac
}

answers() { curl -fs -m 5 "http://127.0.0.1:$1/ping"; }

# lives NAME VERSION SECONDS WAIT WORKERS ARG... starts a sleeper's image with these arguments of docker
# run and the word serve, waits for its /ping, asks for a prediction that takes some seconds, and ends
# it by SIGTERM. No worker may be killed, and the container has to end by itself.
lives() {
	local name=$1 version=$2 sleep=$3 wait=$4 workers=$5 port id took code began=$SECONDS; shift 5
	port=$(free_port)
	id=$(docker run -d --network=host -e PORT="$port" "$@" "e2e-sleeper:$version" serve)
	local failed=
	if ! wait_for "$wait" answers "$port"; then failed="does not answer /ping within $wait s"
	else
		took=$((SECONDS - began))
		curl -s -m 240 -H 'Content-Type: application/json' -d "$(body "$version" "$sleep")" "http://127.0.0.1:$port/invocations" >"$E2E/lives-$id" || true
		grep -q '3.0.*4.0' "$E2E/lives-$id" || failed="answers $(head -c 300 "$E2E/lives-$id")"
		docker top "$id" -eo pid,args >"$E2E/top-$id"
		[ "$(grep -cE 'run-gunicorn|spawn_main|-m uvicorn' "$E2E/top-$id")" -ge "$workers" ] || failed="has too few processes: $(cat "$E2E/top-$id")"
		rm -f "$E2E/lives-$id" "$E2E/top-$id"
	fi
	docker stop -t 20 "$id" >/dev/null
	code=$(docker inspect -f '{{.State.ExitCode}}' "$id")
	[ "$code" = 0 ] || [ "$code" = 143 ] || failed="${failed:-ends with exit code $code}"
	if docker logs "$id" 2>&1 | grep -E 'WORKER TIMEOUT|Child process .* died'; then failed="${failed:-has killed a worker}"; fi
	[ -z "$failed" ] || { docker logs "$id" 2>&1 | tail -20 >&2; docker rm -f "$id" >/dev/null; die "MLflow $version, $name: $failed"; }
	docker rm -f "$id" >/dev/null
	say "MLflow $version, $name: /ping after ${took} s, right prediction, exit code $code"
}

# runtime starts images of several MLflow versions as platforms do. What waits, waits at once.
runtime() {
	step "runtime"
	local version versions=(2.9 2.20 3) base pids=() old p
	sleeper 2.9 "$(python_prefix)/bin/python3.11" 'mlflow==2.9.2' 'setuptools<70' 'numpy<2'
	sleeper 2.20 "$(python_prefix)/bin/python3.11" 'mlflow==2.20.4' 'setuptools<80'
	sleeper 3 "$(python_prefix)/bin/python3.11" 'mlflow==3.17.2'
	if old=$(old_python); then
		versions=(1.30 "${versions[@]}")
		sleeper 1.30 "$old" 'mlflow==1.30.1' 'setuptools<70'
	else
		say "MLflow 1.30 is left out: it needs Python 3.10 or older, and there is none (MLENV_E2E_OLD_PYTHON)"
	fi
	for version in "${versions[@]}"; do
		base=(--base "$SLIM")
		[ "$version" = 1.30 ] && base=(--base host --python "$("$old" -c 'import platform; print(platform.python_version())')")
		"$E2E/mlenv" image "$E2E/models/sleeper-$version" "${base[@]}" --load --name "e2e-sleeper:$version" --quiet >/dev/null
	done
	for version in "${versions[@]}"; do
		lives "two workers, another user, read-only" "$version" 0.0 180 2 -e MLFLOW_MODELS_WORKERS=2 --user 123456:0 --read-only --tmpfs /tmp
	done
	for version in "${versions[@]}"; do
		lives "75 s of 200" "$version" 75.0 180 1 -e MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=200 &
		pids+=($!)
		# With a timeout that is shorter than what importing takes here.
		lives "0.15 processors" "$version" 0.0 400 1 -e MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT=20 --cpus=0.15 &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || die "a container did not behave"; done
	smoke "${versions[-1]}"
	for version in "${versions[@]}"; do docker rmi -f "e2e-sleeper:$version" >/dev/null; done
}

# smoke VERSION tries mlenv serve on a real engine: right, wrong, hanging, crashing.
smoke() {
	local ask=("$E2E/mlenv" serve "e2e-sleeper:$1" --smoke --quiet --network host --request "$E2E/request.json") code
	body "$1" 0.0 >"$E2E/request.json"
	echo '{"predictions": [{"x": 3.0}, {"x": 4.0}]}' >"$E2E/right.json"
	echo '{"predictions": [{"x": 3.0}, {"x": 5.0}]}' >"$E2E/wrong.json"
	"${ask[@]}" --expect "$E2E/right.json" >"$E2E/smoke" 2>&1 || { cat "$E2E/smoke" >&2; die "serve --smoke fails for a right model"; }
	code=0; "${ask[@]}" --expect "$E2E/wrong.json" >"$E2E/smoke" 2>&1 || code=$?
	[ $code = 2 ] || { cat "$E2E/smoke" >&2; die "serve --smoke ends with $code for a wrong model"; }
	code=0; "${ask[@]}" --env PORT=none >"$E2E/smoke" 2>&1 || code=$?
	[ $code = 2 ] || { cat "$E2E/smoke" >&2; die "serve --smoke ends with $code for a container that ends by itself"; }
	body "$1" 60.0 >"$E2E/request.json"
	code=0; "${ask[@]}" --wait 30 >"$E2E/smoke" 2>&1 || code=$?
	[ $code = 2 ] && grep -q 'no answer within' "$E2E/smoke" || { cat "$E2E/smoke" >&2; die "serve --smoke ends with $code for a model that hangs"; }
	[ -z "$(docker ps -aq --filter "ancestor=e2e-sleeper:$1")" ] || die "serve --smoke left a container behind"
	say "serve --smoke: right, wrong, crashing and hanging are told apart; no container stays"
}

# docker_manifest MODEL PREDICTIONS pushes both forms of manifest and has others read Docker's.
docker_manifest() {
	step "--manifest docker"
	local image=("$E2E/mlenv" image "$1" --base "$SLIM" --lock "$E2E/locks/places.toml" --quiet --push) ref
	"${image[@]}" "$REGISTRY/e2e/forms:oci" >/dev/null
	ref=$("${image[@]}" "$REGISTRY/e2e/forms:docker" --manifest docker)
	[ "$ref" = "$("${image[@]}" "$REGISTRY/e2e/forms:again" --manifest docker)" ] || die "built twice, two digests"
	skopeo inspect --tls-verify=false --raw "docker://$REGISTRY/e2e/forms:oci" >"$E2E/oci.json"
	skopeo inspect --tls-verify=false --raw "docker://$ref" >"$E2E/docker.json"
	python3 - "$E2E/oci.json" "$E2E/docker.json" <<-'EOF2' || die "the two forms do not name the same blobs"
		import json, sys
		oci, docker = (json.load(open(name)) for name in sys.argv[1:])
		assert docker["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json", docker
		blobs = lambda m: [m["config"]["digest"]] + [l["digest"] for l in m["layers"]]
		assert blobs(oci) == blobs(docker)
	EOF2
	crane validate --remote "$ref" >/dev/null
	docker pull -q "$ref" >/dev/null
	served docker "$ref" skinny "$2" >/dev/null
	docker rmi -f "$ref" >/dev/null
	podman pull -q --tls-verify=false "docker://$ref" >/dev/null
	podman rmi -f "$ref" >/dev/null
	say "docker-registry, docker, podman, crane and skopeo take it; the same digest twice, the blobs of the OCI one"
}
