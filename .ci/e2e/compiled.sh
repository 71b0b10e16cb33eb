# Images with compiled modules. Sourced after places.sh.

# compiled MODEL PREDICTIONS serves an image made with --compile, and looks for modules that were compiled at its start.
compiled() {
	step "--compile"
	local name=skinny ref id port log=$E2E/compiled.log
	ref=$("$E2E/mlenv" image "$1" --base "$SLIM" --lock "$E2E/locks/places.toml" --compile --push "$REGISTRY/e2e/compiled:1" --quiet)
	# The same by a user who may do nothing, from a copy of the model, with nothing remembered.
	local other; other=$(mktemp -d)
	cp -r "$E2E/mlenv" "$1" "$E2E/locks/places.toml" "$other" && mkdir "$other/cache" && chmod -R a+rX "$other" && chmod 777 "$other/cache"
	[ "${ref##*@}" = "$(setpriv --reuid 65534 --regid 65534 --clear-groups env -i HOME="$other/cache" MLENV_CACHE_DIR="$other/cache" SSL_CERT_FILE=$bundle \
		"$other/mlenv" image "$other/$(basename "$1")" --base "$SLIM" --lock "$other/places.toml" --compile --no-memo --push "$REGISTRY/e2e/compiled-again:1" --quiet | sed 's/.*@//')" ] ||
		die "compiled by another user, another digest"
	rm -rf "$other"
	docker pull -q "$ref" >/dev/null
	served docker "$ref" $name "$2" --user 123456:0 --read-only --tmpfs /tmp >/dev/null
	port=$(free_port)
	id=$(docker run -d --network=host -e PORT="$port" -e PYTHONVERBOSE=1 --read-only --tmpfs /tmp "$ref")
	python3 "$here/ask.py" "$port" $name "$2" >/dev/null || { docker logs "$id" 2>&1 | tail -5 >&2; die "the compiled image does not serve"; }
	docker logs "$id" >"$log" 2>&1
	docker rm -f "$id" >/dev/null
	docker rmi -f "$ref" >/dev/null
	# What was compiled is said of its source, what was read compiled of a quoted path.
	grep -E "code object from /.*\.py\$" "$log" | grep -v '/opt/venv/bin/' >"$E2E/compiled.bad" && { head -5 "$E2E/compiled.bad" >&2; die "modules were compiled at the start"; }
	local n; n=$(grep -c "code object from '/.*\.pyc'" "$log")
	[ "$n" -gt 500 ] || die "only $n modules came from compiled files"
	rm -f "$log"
	say "right predictions as another user with a read-only root; $n modules came from compiled files, none was compiled"
}
