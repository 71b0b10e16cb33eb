# Models where they live: on MLflow servers of two eras, with artifacts behind the server, in its own
# directory, in a bucket, and behind a password. Sourced by run; needs the environments that it makes.

# end_server ends the server that runs, with its workers: those of a current MLflow are ten processes, which keep a
# core busy.
end_server() {
	[ -n "${server_pid:-}" ] || return 0
	kill -- "-$server_pid" 2>/dev/null || true
	wait "$server_pid" 2>/dev/null || true
	server_pid=
}

# mlflow_server NAME ENVIRONMENT ARG... starts a server on sqlite in place of the one before, and sets SERVER to its URL.
mlflow_server() {
	end_server
	local dir=$E2E/servers/$1 env=$E2E/mlflow-$2 port; shift 2
	port=$(free_port)
	rm -rf "$dir"
	mkdir -p "$dir"
	# In its directory, since it makes databases where it stands; in a session of its own, so that its workers end with it.
	(cd "$dir" && MLFLOW_DISABLE_TELEMETRY=true exec setsid "$env/bin/mlflow" server --backend-store-uri "sqlite:///$dir/mlflow.db" \
		--host 127.0.0.1 --port "$port" --workers 1 "$@") >"$dir/log" 2>&1 &
	server_pid=$!
	SERVER=http://127.0.0.1:$port
	wait_for 60 curl -fs "$SERVER/health" || { tail -5 "$dir/log" >&2; die "MLflow's server does not start"; }
}

# same_everywhere NAME ENVIRONMENT BASE takes the model churn of $SERVER by all its URIs through every command,
# and compares with what MLflow's own client downloads.
same_everywhere() {
	local name=$1 env=$E2E/mlflow-$2 base=$3 dir=$E2E/servers/$1/downloaded uri want got
	export MLFLOW_TRACKING_URI=$SERVER
	local run id uris
	read -r run id <<<"$("$env/bin/python" "$here/log_churn.py" "$SERVER" 2>"$E2E/log.log" | tail -1)" ||
		{ tail -20 "$E2E/log.log" >&2; die "$name: the models could not be logged"; }
	rm -rf "$dir" "$dir.mlenv"
	mkdir -p "$dir"
	"$env/bin/mlflow" artifacts download -u models:/churn/1 -d "$dir" >"$E2E/log.log" 2>&1 || { tail -5 "$E2E/log.log" >&2; die "$name: MLflow itself cannot download"; }
	"$E2E/mlenv" fetch models:/churn@champion "$dir.mlenv" --quiet >/dev/null || die "$name: fetch"
	diff -r "$dir" "$dir.mlenv" >&2 || die "$name: mlenv fetch and mlflow artifacts download differ"
	"$E2E/mlenv" lock "$dir" --base "$base" -o "$E2E/churn.toml" --quiet
	want=$("$E2E/mlenv" image "$dir" --base "$base" --lock "$E2E/churn.toml" -o "oci:$E2E/churn.oci" --quiet --format json | digest_of)
	"$E2E/mlenv" lock models:/churn@champion --base "$base" -o "$E2E/churn-uri.toml" --quiet
	diff "$E2E/churn.toml" "$E2E/churn-uri.toml" >&2 || die "$name: the lock of the URI is not that of the folder"
	uris=(models:/churn/1 models:/churn@champion models:/churn/Production "models:/a name.of ü/1" "runs:/$run/model")
	[ "$id" = - ] || uris+=("models:/$id")
	for uri in "${uris[@]}"; do
		"$E2E/mlenv" check "$uri" >"$E2E/check.log" 2>&1 || { cat "$E2E/check.log" >&2; die "$name: check $uri"; }
		[ "$("$E2E/mlenv" resolve "$uri" 2>/dev/null | grep ^digest)" = "$("$E2E/mlenv" resolve "$dir" 2>/dev/null | grep ^digest)" ] || die "$name: $uri resolves to another spec"
		case $uri in models:/churn*) ;; *) continue ;; esac
		got=$("$E2E/mlenv" image "$uri" --base "$base" --lock "$E2E/churn.toml" -o "oci:$E2E/churn.oci" --quiet --format json | digest_of)
		[ "$got" = "$want" ] || die "$name: the image of $uri has the digest $got, that of its folder $want"
	done
	"$E2E/mlenv" diff models:/churn@champion models:/churn/latest >"$E2E/diff.txt" || die "$name: diff"
	grep -q '^  added .*six' "$E2E/diff.txt" || { cat "$E2E/diff.txt" >&2; die "$name: diff does not see the new requirement"; }
	"$E2E/mlenv" diff models:/churn/2 | tail -n +3 | diff - <(tail -n +3 "$E2E/diff.txt") >&2 || die "$name: diff with the version before"
	refusals "$name" "$run"
	rm -rf "$E2E/churn.oci"
	[ -z "$(ls -A "$MLENV_CACHE_DIR/models-v1")" ] || die "$name: files of a model were left in the cache"
	say "$name: ${#uris[@]} URIs, and every one the same as MLflow's own download; $want"
	unset MLFLOW_TRACKING_URI
}

digest_of() { python3 -c 'import json, sys; print(json.load(sys.stdin)["digest"])'; }

# refusals NAME RUN asks for what is not there: one sentence, one hint, exit code 1.
refusals() {
	local uri out
	for uri in models:/churn/99 models:/nope/1 models:/churn@nope models:/nope@x models:/churn/Nope models:/churn/Staging models:/nope/latest \
		runs:/00000000000000000000000000000000/model "runs:/$2/other" models:/m-00000000000000000000000000000000 mlflow-artifacts:/no/such/place; do
		out=$("$E2E/mlenv" resolve "$uri" 2>&1 >/dev/null) && die "$1: $uri is there"
		[ "$(wc -l <<<"$out")" = 2 ] && [[ $out == "error: fetching $uri: "*$'\n  hint: '* ]] || die "$1: $uri: $out"
	done
}

# sources BASE takes models from every kind of server.
sources() {
	step "models where they live"
	mkdir -p "$E2E/servers"
	mlflow_env 3 'mlflow==3.17.2' 'scikit-learn==1.7.2'
	mlflow_env 2.9 'mlflow==2.9.2' 'scikit-learn==1.3.2' 'setuptools<70' 'numpy<2' 'sqlalchemy<2.1'
	mlflow_server proxied 3 --artifacts-destination "$E2E/servers/proxied/artifacts"
	same_everywhere proxied 3 "$1"
	mlflow_server unproxied 3 --no-serve-artifacts --default-artifact-root "$E2E/servers/unproxied/artifacts"
	same_everywhere unproxied 3 "$1"
	mlflow_server 2.9 2.9 --artifacts-destination "$E2E/servers/2.9/artifacts"
	same_everywhere 2.9 2.9 "$1"
	buckets "$1"
	passwords
	end_server
	object_stores
}

# object_stores reads a model from S3, Google Cloud Storage and Azure by its own URI: from moto, fake-gcs-server and Azurite, which
# other clients than mlenv fill. Azurite checks the signatures of both, by key and by SAS; for S3 the tests hold those that
# Amazon's documentation has.
object_stores() {
	local dir=$E2E/buckets s3 gs az key uri
	rm -rf "$dir"
	mkdir -p "$dir/model/data"
	cp -r "$root/examples/pyfunc-code/." "$dir/model"
	head -c 9000000 /dev/urandom >"$dir/model/data/a b+c%20ü.bin"
	: >"$dir/model/data/empty"
	mlflow_env s3 'mlflow==3.17.2' 'scikit-learn==1.7.2' 'moto[server,s3]' boto3 azure-storage-blob
	s3=$(free_port)
	background "$E2E/moto.log" "$E2E/mlflow-s3/bin/moto_server" -H 127.0.0.1 -p "$s3"
	[ -x "$E2E/fake-gcs-server" ] || GOBIN=$E2E go install github.com/fsouza/fake-gcs-server@v1.56.1 >"$E2E/gcs.log" 2>&1 || { tail -5 "$E2E/gcs.log" >&2; die "fake-gcs-server could not be built"; }
	gs=$(free_port)
	background "$E2E/gcs.log" "$E2E/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$gs" -backend memory
	command -v npm >/dev/null || need npm
	[ -x "$E2E/azurite/node_modules/.bin/azurite-blob" ] || npm install --no-audit --no-fund --prefix "$E2E/azurite" azurite@3 >"$E2E/azurite.log" 2>&1 ||
		{ tail -5 "$E2E/azurite.log" >&2; die "Azurite could not be installed"; }
	az=$(free_port)
	# Microsoft's own client asks for a version of the service that Azurite does not know yet.
	background "$E2E/azurite.log" "$E2E/azurite/node_modules/.bin/azurite-blob" --blobHost 127.0.0.1 --blobPort "$az" --location "$dir/azurite" --silent --disableTelemetry --skipApiVersionCheck
	key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw== # which every emulator has
	export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1 MLFLOW_S3_ENDPOINT_URL=http://127.0.0.1:$s3
	export STORAGE_EMULATOR_HOST=http://127.0.0.1:$gs
	export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=$key;BlobEndpoint=http://127.0.0.1:$az/devstoreaccount1;"
	wait_for 30 curl -fs "$MLFLOW_S3_ENDPOINT_URL/moto-api/" || die "moto does not start"
	wait_for 30 curl -fs "$STORAGE_EMULATOR_HOST/storage/v1/b" || die "fake-gcs-server does not start"
	wait_for 30 curl -s "http://127.0.0.1:$az/" || die "Azurite does not start"
	"$E2E/mlflow-s3/bin/python" "$here/put_model.py" s3 "$MLFLOW_S3_ENDPOINT_URL" "$dir/model" 'my dir/churn'
	"$E2E/mlflow-s3/bin/python" "$here/put_model.py" gs "$STORAGE_EMULATOR_HOST" "$dir/model" 'my dir/churn'
	"$E2E/mlflow-s3/bin/python" "$here/put_model.py" azure "$AZURE_STORAGE_CONNECTION_STRING" "$dir/model" 'my dir/churn'
	for uri in 's3://models' 'gs://models' 'wasbs://models@devstoreaccount1.blob.core.windows.net' 'abfss://models@devstoreaccount1.dfs.core.windows.net'; do
		rm -rf "$dir/got"
		"$E2E/mlenv" fetch "$uri/my dir/churn" "$dir/got" --quiet >/dev/null || die "$uri: fetch"
		diff -r "$dir/model" "$dir/got" >&2 || die "$uri: other files than were put there"
		"$E2E/mlenv" check "$uri/my dir/churn" >"$E2E/check.log" 2>&1 || { cat "$E2E/check.log" >&2; die "$uri: check"; }
		"$E2E/mlenv" resolve "$uri/my dir/none" >"$E2E/check.log" 2>&1 && die "$uri: what is not there was found"
		grep -q "there are no files" "$E2E/check.log" || { cat "$E2E/check.log" >&2; die "$uri: what is not there"; }
		say "$uri: the same files"
	done
	AZURE_STORAGE_CONNECTION_STRING=${AZURE_STORAGE_CONNECTION_STRING/$key/AAAA$key} \
		"$E2E/mlenv" resolve 'wasbs://models@devstoreaccount1.blob.core.windows.net/my dir/churn' >"$E2E/check.log" 2>&1 && die "Azure: a wrong key does"
	grep -q 'answered 403' "$E2E/check.log" || { cat "$E2E/check.log" >&2; die "Azure: a wrong key"; }
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION MLFLOW_S3_ENDPOINT_URL STORAGE_EMULATOR_HOST AZURE_STORAGE_CONNECTION_STRING
	rm -rf "$dir"
}

# buckets BASE keeps the artifacts in an S3 bucket of moto's, behind the server and not.
buckets() {
	local port
	mlflow_env s3 'mlflow==3.17.2' 'scikit-learn==1.7.2' 'moto[server,s3]' boto3
	port=$(free_port)
	background "$E2E/moto.log" "$E2E/mlflow-s3/bin/moto_server" -H 127.0.0.1 -p "$port"
	export AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1 MLFLOW_S3_ENDPOINT_URL=http://127.0.0.1:$port
	wait_for 30 curl -fs "$MLFLOW_S3_ENDPOINT_URL/moto-api/" || die "moto does not start"
	curl -fs -X PUT "$MLFLOW_S3_ENDPOINT_URL/bucket" >/dev/null
	mlflow_server bucket s3 --artifacts-destination s3://bucket/proxied
	same_everywhere bucket s3 "$1"
	mlflow_server bucket-unproxied s3 --no-serve-artifacts --default-artifact-root s3://bucket/direct
	same_everywhere bucket-unproxied s3 "$1"
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION MLFLOW_S3_ENDPOINT_URL
}

# passwords asks a server with MLflow's basic-auth app with the right password, a wrong one, and none.
passwords() {
	local out
	mlflow_env auth 'mlflow[auth]==3.17.2' 'scikit-learn==1.7.2'
	# Since 3.17 there is no default password.
	export MLFLOW_FLASK_SERVER_SECRET_KEY=e2e MLFLOW_AUTH_ADMIN_PASSWORD=e2e-password-1234
	export MLFLOW_TRACKING_USERNAME=admin MLFLOW_TRACKING_PASSWORD=$MLFLOW_AUTH_ADMIN_PASSWORD
	mlflow_server auth auth --app-name basic-auth --artifacts-destination "$E2E/servers/auth/artifacts"
	"$E2E/mlflow-auth/bin/python" "$here/log_churn.py" "$SERVER" >"$E2E/log.log" 2>&1 || { tail -5 "$E2E/log.log" >&2; die "auth: the models could not be logged"; }
	"$E2E/mlenv" check models:/churn@champion --tracking-uri "$SERVER" >"$E2E/check.log" 2>&1 || { cat "$E2E/check.log" >&2; die "auth: check"; }
	for MLFLOW_TRACKING_PASSWORD in wrong ""; do
		out=$("$E2E/mlenv" check models:/churn@champion --tracking-uri "$SERVER" 2>&1) && die "auth: a wrong password does"
		[[ $out == *"answered 401"*"hint: set MLFLOW_TRACKING_USERNAME"* ]] || die "auth: $out"
	done
	unset MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_TRACKING_USERNAME MLFLOW_TRACKING_PASSWORD
	say "auth: the right password does, a wrong one and none are refused with what to do"
}
