# What the end-to-end scripts share: installing and starting a registry and container engines, and
# ending them again. Sourced by bash scripts; needs root on Debian. Everything lies under $E2E and
# only processes started here are ever ended.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
E2E=${MLENV_E2E_DIR:-$root/.cache/e2e}
mkdir -p "$E2E"
started=()

# step NAME says what begins, and what of the disk is taken and left: a full one is the likeliest fault of all.
step() {
	printf '\n== %s (disk: %d MB taken, %d MB free)\n' "$*" "$(du -sm "$E2E" 2>/dev/null | cut -f1)" "$(df -m --output=avail "$E2E" | tail -1)"
}
say() { printf '   %s\n' "$*"; }
die() { printf 'e2e: %s\n' "$*" >&2; exit 1; }

# need PACKAGE... installs the Debian packages that are missing.
need() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	say "installing ${missing[*]}"
	apt-get update >"$E2E/apt.log" 2>&1 || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >>"$E2E/apt.log" 2>&1 ||
		{ tail -5 "$E2E/apt.log" >&2; die "apt-get could not install ${missing[*]}"; }
}

# free_port prints a port of the loopback interface that nobody listens on.
free_port() {
	python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for SECONDS COMMAND... waits until the command succeeds.
wait_for() {
	local left=$(($1 * 5)); shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.2
	done
}

# background LOG COMMAND... starts a process that stop_all ends.
background() {
	local log=$1; shift
	"$@" >"$log" 2>&1 &
	started+=($!)
}

stop_all() {
	local pid
	if declare -F end_server >/dev/null; then end_server; fi
	for pid in "${started[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for pid in "${started[@]}"; do
		wait "$pid" 2>/dev/null || true
	done
	started=()
	# What engines leave mounted would keep the folder from being removed.
	umount "$E2E"/docker/exec/netns/* "$E2E/docker/data" "$E2E/podman/root/overlay" 2>/dev/null || true
}
trap stop_all EXIT

# start_registry sets REGISTRY to the host:port of a Debian docker-registry.
start_registry() {
	need docker-registry
	local port; port=$(free_port)
	mkdir -p "$E2E/registry"
	cat >"$E2E/registry.yml" <<-EOF
		version: 0.1
		log: {level: warn}
		storage: {filesystem: {rootdirectory: $E2E/registry}, delete: {enabled: true}}
		http: {addr: 127.0.0.1:$port}
	EOF
	background "$E2E/registry.log" docker-registry serve "$E2E/registry.yml"
	REGISTRY=127.0.0.1:$port
	wait_for 20 curl -fs "http://$REGISTRY/v2/" || { tail -5 "$E2E/registry.log" >&2; die "the registry does not start"; }
	say "registry at $REGISTRY"
}

# start_docker starts a Docker daemon of our own and points DOCKER_HOST at it. The client is
# Debian's: another one on the PATH may be too new for this daemon.
start_docker() {
	need docker.io iptables
	mkdir -p "$E2E/docker"
	export DOCKER_HOST=unix://$E2E/docker/sock DOCKER_BUILDKIT=1
	background "$E2E/docker.log" dockerd --iptables=false --bridge=none --data-root "$E2E/docker/data" \
		--exec-root "$E2E/docker/exec" --pidfile "$E2E/docker/pid" -H "$DOCKER_HOST"
	wait_for 60 docker info || { tail -5 "$E2E/docker.log" >&2; die "dockerd does not start"; }
	say "docker $(docker version -f '{{.Server.Version}}')"
}
docker() { /usr/bin/docker "$@"; }

# forget_builds removes what building Dockerfiles has left, but for a little that the next one may use.
forget_builds() { docker builder prune -af --keep-storage 500MB >/dev/null; }

# setup_podman makes podman work where cgroups and user limits are narrow.
setup_podman() {
	need podman runc
	cat >"$E2E/containers.conf" <<-EOF
		[containers]
		default_ulimits = ["nofile=1024:20000", "nproc=1024:1024"]
		[engine]
		runtime = "/usr/sbin/runc"
	EOF
	export CONTAINERS_CONF=$E2E/containers.conf
	# Where this machine is itself a container, layers cannot be overlaid and are copied.
	local driver=overlay
	command podman --root "$E2E/podman/root" --runroot "$E2E/podman/run" --storage-driver overlay info >"$E2E/podman.log" 2>&1 || driver=vfs
	store=(--storage-driver "$driver" --root "$E2E/podman/root" --runroot "$E2E/podman/run")
	say "$(podman --version), $driver"
}
podman() { command podman --runtime /usr/sbin/runc "${store[@]}" "$@"; }
buildah() { command buildah "${store[@]}" "$@"; }

# forget_podman removes what podman and buildah have stored.
forget_podman() {
	umount "$E2E/podman/root/overlay" 2>/dev/null || true
	rm -rf "$E2E/podman"
}

# find_mlenv puts the binary at $E2E/mlenv: the one that MLENV names, or one that is built.
find_mlenv() {
	if [ -n "${MLENV:-}" ]; then cp "$MLENV" "$E2E/mlenv"; else CGO_ENABLED=0 go build -trimpath -o "$E2E/mlenv" ./cmd/mlenv; fi
	say "$("$E2E/mlenv" --version)"
}
