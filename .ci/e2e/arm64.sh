# Builds an image for linux/arm64 and looks at every ELF file in it: nothing of it can be run here.
# Sourced after bases.sh and places.sh.

# arm64_base makes Debian's root for arm64 from its packages, without running any of them, and an image
# of it in the registry.
arm64_base() {
	ARM64_BASE=$REGISTRY/debian-python:arm64
	if [ ! -f "$E2E/debian-arm64.tar" ]; then
		need debootstrap
		local dir=$E2E/arm64-root
		rm -rf "$dir"
		say "debootstrap for arm64, first stage"
		debootstrap --foreign --arch=arm64 --variant=minbase --include=ca-certificates,python3 bookworm "$dir" "$(debian_mirror)" \
			>"$E2E/debootstrap-arm64.log" 2>&1 || { tail -5 "$E2E/debootstrap-arm64.log" >&2; die "debootstrap failed"; }
		local deb
		for deb in "$dir"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$deb" "$dir" && rm "$deb"; done
		rm -rf "$dir"/debootstrap "$dir"/usr/share/doc "$dir"/usr/share/man
		tar -C "$dir" -cf "$E2E/debian-arm64.tar.part" . && mv "$E2E/debian-arm64.tar.part" "$E2E/debian-arm64.tar"
		rm -rf "$dir"
	fi
	crane digest --insecure "$ARM64_BASE" >/dev/null 2>&1 && return
	crane append --insecure --oci-empty-base -f "$E2E/debian-arm64.tar" -t "$ARM64_BASE" >"$E2E/crane.log" 2>&1 &&
		crane mutate --insecure --set-platform linux/arm64 --env PATH=/usr/local/bin:/usr/bin:/bin -t "$ARM64_BASE" "$ARM64_BASE" >>"$E2E/crane.log" 2>&1 ||
		{ tail -5 "$E2E/crane.log" >&2; die "crane cannot make the base for arm64"; }
}

arm64_image() {
	step "linux/arm64"
	arm64_base
	rm -rf "$E2E/arm64"
	"$E2E/mlenv" image "$root/examples/sklearn" --platform linux/arm64 --base "$ARM64_BASE" --output "oci:$E2E/arm64" --quiet >/dev/null
	say "image: $(python3 "$here/elves.py" "$E2E/arm64" aarch64)"
	rm -rf "$E2E/arm64"
}
