# Makes the base images of the end-to-end tests, for machines that cannot reach Docker Hub:
#   $REGISTRY/python:3.11-slim    Debian and CPython in /usr/local, with docker-library's settings
#   $REGISTRY/python:3.11-gomp    the same with libgomp1
#   $REGISTRY/debian-python:12    Debian with its own Python 3.11 in /usr
# Sourced after lib.sh, with REGISTRY and DOCKER_HOST set. What was made once is kept in $E2E.

bundle=/etc/ssl/certs/ca-certificates.crt

# debian_root TAR PACKAGE... makes a minimal Debian root file system.
debian_root() {
	local tar=$1; shift
	[ -f "$tar" ] && return
	need debootstrap
	local dir=$E2E/root-$$ packages
	packages=$(IFS=,; echo "$*")
	say "debootstrap ($packages)"
	debootstrap --variant=minbase --include="$packages" bookworm "$dir" "$(debian_mirror)" >"$E2E/debootstrap.log" 2>&1 ||
		{ tail -5 "$E2E/debootstrap.log" >&2; die "debootstrap failed"; }
	rm -rf "$dir"/var/cache/apt/* "$dir"/var/lib/apt/lists/* "$dir"/usr/share/doc/* "$dir"/usr/share/man/*
	# The image trusts whom this machine trusts, so that builds inside it reach the package index.
	[ -f $bundle ] && cp $bundle "$dir$bundle"
	tar -C "$dir" -cf "$tar.part" . && mv "$tar.part" "$tar"
	rm -rf "$dir"
}

# debian_mirror prints the mirror that this machine's apt has its base system from.
debian_mirror() {
	apt-get update >"$E2E/apt.log" 2>&1 || true
	apt-get --print-uris download base-files 2>/dev/null | sed -nE "s#^'([^']+)/pool/.*#\1#p" | head -1
}

# python_prefix prints the prefix of a CPython 3.11 on this machine that is not Debian's.
python_prefix() {
	local p
	for p in "${MLENV_E2E_PYTHON:-}" /usr/local/bin/python3.11 ~/.pyenv/versions/3.11*/bin/python3.11; do
		[ -x "$p" ] && "$p" -c 'import ssl, sqlite3, sys; print(sys.base_prefix)' 2>/dev/null && return
	done
	die "no CPython 3.11 beside Debian's; set MLENV_E2E_PYTHON"
}

# import_base TAR REFERENCE SETTING... makes an image of one layer and pushes it.
import_base() {
	local tar=$1 ref=$2; shift 2
	local changes=() s
	for s in "$@"; do changes+=(-c "$s"); done
	docker import "${changes[@]}" "$tar" "$ref" >/dev/null
	docker push -q "$ref" >/dev/null
	say "$ref"
}

make_bases() {
	local shared="ca-certificates netbase tzdata libssl3 libffi8 libsqlite3-0 libbz2-1.0 liblzma5 libreadline8 zlib1g libncursesw6 libexpat1 libuuid1"
	local tls=("ENV SSL_CERT_FILE=$bundle" "ENV PIP_CERT=$bundle")
	# shellcheck disable=SC2086
	debian_root "$E2E/debian.tar" $shared
	debian_root "$E2E/debian-python.tar" ca-certificates netbase tzdata python3 python3-venv
	if [ ! -f "$E2E/python-slim.tar" ]; then
		local prefix dir=$E2E/slim-$$
		prefix=$(python_prefix)
		mkdir -p "$dir"
		tar -C "$dir" -xf "$E2E/debian.tar"
		mkdir -p "$dir/usr/local"
		tar -C "$prefix" --exclude=__pycache__ --exclude=test --exclude=tests --exclude='site-packages/*' --exclude='*.a' \
			-cf - bin/python3.11 lib include | tar -C "$dir/usr/local" -xf -
		local l
		for l in python python3; do ln -sf python3.11 "$dir/usr/local/bin/$l"; done
		# Where libpython was found by a path of this machine, the loader's cache finds it now.
		chroot "$dir" ldconfig
		chroot "$dir" /usr/local/bin/python3 -m ensurepip >"$E2E/ensurepip.log" 2>&1 ||
			{ tail -5 "$E2E/ensurepip.log" >&2; die "ensurepip failed in the base"; }
		ln -sf pip3 "$dir/usr/local/bin/pip"
		find "$dir/usr/local" -name __pycache__ -prune -exec rm -rf {} +
		tar -C "$dir" -cf "$E2E/python-slim.tar.part" . && mv "$E2E/python-slim.tar.part" "$E2E/python-slim.tar"
		rm -rf "$dir"
	fi
	local exact; exact=$("$(python_prefix)/bin/python3.11" -c 'import platform; print(platform.python_version())')
	SLIM=$REGISTRY/python:3.11-slim DEBIAN_PYTHON=$REGISTRY/debian-python:12 SLIM_GOMP=$REGISTRY/python:3.11-gomp
	import_base "$E2E/python-slim.tar" "$SLIM" "${tls[@]}" 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
		'ENV LANG=C.UTF-8' "ENV PYTHON_VERSION=$exact" 'CMD ["python3"]'
	import_base "$E2E/debian-python.tar" "$DEBIAN_PYTHON" "${tls[@]}" 'CMD ["bash"]'
	# The same with what LightGBM loads, as python:3.11 without -slim has it.
	local dir=$E2E/gomp
	mkdir -p "$dir"
	(cd "$dir" && apt-get download libgomp1 >/dev/null 2>&1 && dpkg-deb -x libgomp1_*.deb root && rm -f libgomp1_*.deb)
	printf 'FROM %s\nCOPY root/usr /usr\n' "$SLIM" >"$dir/Dockerfile"
	docker build -q -t "$SLIM_GOMP" "$dir" >/dev/null
	docker push -q "$SLIM_GOMP" >/dev/null
	rm -rf "$dir"
	say "$SLIM_GOMP"
}
