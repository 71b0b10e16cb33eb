# Sends an image wherever mlenv can send one, and starts it from there; and builds on other bases.
# Sourced after bases.sh.

crane() { (cd "$E2E" && go run github.com/google/go-containerregistry/cmd/crane@v0.22.1 "$@"); }

# places MODEL PREDICTIONS builds one small model over and over: what differs is where it goes to and
# what it stands on. The lock is made once and fits every base that is used.
places() {
	step "places"
	local name=skinny model=$1 predictions=$2 lock=$E2E/locks/places.toml dir=$E2E/places
	local image=("$E2E/mlenv" image "$model" --quiet)
	rm -rf "$dir" && mkdir -p "$dir"
	"$E2E/mlenv" lock "$model" --base "$SLIM" -o "$lock" --quiet

	"${image[@]}" --base "$SLIM" --lock "$lock" --load --name e2e-loaded:1 >/dev/null
	served docker e2e-loaded:1 $name "$predictions" >/dev/null
	docker rmi -f e2e-loaded:1 >/dev/null
	say "--load: docker has the image, right predictions"

	"${image[@]}" --base "$SLIM" --lock "$lock" --output "docker-tar:$dir/d.tar" --output "oci-tar:$dir/o.tar" --output "oci:$dir/o" --name localhost/e2e-tar:1 >/dev/null
	docker load -q -i "$dir/d.tar" >/dev/null
	served docker localhost/e2e-tar:1 $name "$predictions" >/dev/null
	docker rmi -f localhost/e2e-tar:1 >/dev/null
	podman pull -q "oci-archive:$dir/o.tar" >"$dir/id"
	served podman "$(cat "$dir/id")" $name "$predictions" >/dev/null
	podman rmi -f "$(cat "$dir/id")" >/dev/null
	skopeo inspect "oci:$dir/o" >/dev/null
	crane validate --tarball "$dir/d.tar" >/dev/null
	say "--output: docker loads docker-tar, podman oci-tar, skopeo reads oci, crane validates; right predictions"

	"${image[@]}" --base "$SLIM" --lock "$lock" --compression zstd --push "$REGISTRY/e2e/zstd:1" >"$dir/zstd"
	podman pull -q --tls-verify=false "docker://$(cat "$dir/zstd")" >/dev/null
	served podman "$(cat "$dir/zstd")" $name "$predictions" >/dev/null
	podman rmi -f "$(cat "$dir/zstd")" >/dev/null
	say "--compression zstd: podman pulls it, right predictions"

	"${image[@]}" --base "$DEBIAN_PYTHON" --push "$REGISTRY/e2e/debian:1" >"$dir/debian"
	docker pull -q "$(cat "$dir/debian")" >/dev/null
	served docker "$(cat "$dir/debian")" $name "$predictions" --user 123456:0 --read-only --tmpfs /tmp >/dev/null
	docker rmi -f "$(cat "$dir/debian")" >/dev/null
	crane validate --remote "$(cat "$dir/debian")" >/dev/null
	say "--base with Debian's own Python: right predictions; crane validates what was pushed"

	"${image[@]}" --base host --python "$("$(python_prefix)/bin/python3.11" -c 'import platform; print(platform.python_version())')" \
		--load --name e2e-host:1 >/dev/null
	served docker e2e-host:1 $name "$predictions" >/dev/null
	docker rmi -f e2e-host:1 >/dev/null
	say "--base host: right predictions"
	rm -rf "$dir"
}

# mlserver NAME PREDICTIONS serves a model by the other server.
mlserver() {
	step "--serve mlserver"
	local ref
	ref=$("$E2E/mlenv" image "$E2E/models/$1" --base "$SLIM" --serve mlserver --push "$REGISTRY/e2e/mlserver:1" --quiet)
	docker pull -q "$ref" >/dev/null
	served docker "$ref" "$1" "$2" >/dev/null
	served docker "$ref" "$1" "$2" --user 123456:0 --read-only --tmpfs /tmp >/dev/null
	docker rmi -f "$ref" >/dev/null
	say "$1: right predictions as user 1000, and as user 123456 with a read-only root"
}

# private_registry MODEL pushes to a registry with TLS of its own and a password.
private_registry() {
	step "a registry with a password and a certificate of its own"
	need docker-registry apache2-utils openssl
	local dir=$E2E/private port host password=s3cret-of-the-e2e
	local image=("$E2E/mlenv" image "$1" --base "$SLIM" --lock "$E2E/locks/places.toml" --quiet --push)
	port=$(free_port) host=localhost:$port
	rm -rf "$dir" && mkdir -p "$dir/config" "$dir/helper" "$dir/bin" "$dir/home/.docker/certs.d/$host"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	htpasswd -Bbn ci "$password" >"$dir/htpasswd"
	cat >"$dir/registry.yml" <<-EOF2
		version: 0.1
		log: {level: warn}
		storage: {filesystem: {rootdirectory: $dir/data}}
		http: {addr: "127.0.0.1:$port", tls: {certificate: $dir/cert.pem, key: $dir/key.pem}}
		auth: {htpasswd: {realm: e2e, path: $dir/htpasswd}}
	EOF2
	background "$dir/registry.log" docker-registry serve "$dir/registry.yml"
	wait_for 20 curl -fsk -u "ci:$password" "https://$host/v2/" || { tail -5 "$dir/registry.log" >&2; die "the registry with a password does not start"; }

	if "${image[@]}" "$host/m:1" >"$dir/out" 2>&1; then die "a certificate that nobody trusts was accepted"; fi
	grep -qi certificate "$dir/out" || { cat "$dir/out" >&2; die "the error does not speak of the certificate"; }
	say "a certificate that nobody vouches for is refused: $(grep -m1 -i certificate "$dir/out" | cut -c1-120)"

	cp "$dir/cert.pem" "$dir/home/.docker/certs.d/$host/ca.crt"
	if HOME=$dir/home "${image[@]}" "$host/m:1" >"$dir/out" 2>&1; then die "a push without the password succeeded"; fi
	say "without the password: $(grep -m1 . "$dir/out" | cut -c1-120)"

	printf '{"auths": {"%s": {"auth": "%s"}}}' "$host" "$(printf 'ci:%s' "$password" | base64 -w0)" >"$dir/config/config.json"
	HOME=$dir/home DOCKER_CONFIG=$dir/config "${image[@]}" "$host/m:1" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; die "config.json's password does not do"; }
	HOME=$dir/home REGISTRY_AUTH_FILE=$dir/config/config.json "${image[@]}" "$host/m:2" >>"$dir/out" 2>&1 || { cat "$dir/out" >&2; die "REGISTRY_AUTH_FILE's password does not do"; }

	printf '#!/bin/sh\nread -r server\nprintf '\''{"ServerURL": "%%s", "Username": "ci", "Secret": "%s"}'\'' "$server"\n' "$password" >"$dir/bin/docker-credential-e2e"
	chmod +x "$dir/bin/docker-credential-e2e"
	printf '{"credHelpers": {"%s": "e2e"}}' "$host" >"$dir/helper/config.json"
	HOME=$dir/home PATH=$dir/bin:$PATH DOCKER_CONFIG=$dir/helper "${image[@]}" "$host/m:3" >>"$dir/out" 2>&1 || { cat "$dir/out" >&2; die "the credential helper's password does not do"; }
	if grep -q "$password" "$dir/out"; then die "the password is in what mlenv prints"; fi
	local tag
	for tag in 1 2 3; do
		curl -fsk -u "ci:$password" -o /dev/null "https://$host/v2/m/manifests/$tag" -H 'Accept: application/vnd.oci.image.manifest.v1+json' ||
			die "the registry lacks the tag $tag"
	done
	if grep -rqs "$password" "$E2E/cache" "$dir/data"; then die "the password is in the cache or in the image"; fi
	say "config.json, REGISTRY_AUTH_FILE and a credential helper: pushed; the password is nowhere else"
	rm -rf "$dir"
}

# two_platforms MODEL pushes an index on a base that is one.
two_platforms() {
	step "linux/amd64 and linux/arm64 in one"
	arm64_base
	crane index append --insecure -m "$DEBIAN_PYTHON" -m "$ARM64_BASE" -t "$REGISTRY/debian-python:all" >/dev/null 2>&1 ||
		die "crane cannot make the base's index"
	local ref
	ref=$("$E2E/mlenv" image "$1" --base "$REGISTRY/debian-python:all" --platform linux/amd64 --platform linux/arm64 --push "$REGISTRY/e2e/both:1" --quiet)
	crane validate --remote "$ref" >/dev/null
	docker pull -q "$ref" >/dev/null
	served docker "$ref" skinny "$2" >/dev/null
	docker rmi -f "$ref" >/dev/null
	skopeo inspect --tls-verify=false --override-arch arm64 "docker://$ref" | grep -q '"Architecture": "arm64"' || die "skopeo finds no arm64 in the index"
	say "image index: crane validates it, docker runs its amd64 (right predictions), skopeo finds its arm64"
}
