# Builds an image for linux/arm64 and looks at every ELF file in it: nothing of it can be run here.
# Sourced after bases.sh.

# arm64_base makes Debian's root for arm64 from its packages, without running any of them.
arm64_base() {
	ARM64_BASE=oci:$E2E/arm64-base
	if [ ! -f "$E2E/debian-arm64.tar" ]; then
		need debootstrap
		local dir=$E2E/arm64-root
		rm -rf "$dir"
		say "debootstrap for arm64, first stage"
		debootstrap --foreign --arch=arm64 --variant=minbase --include=ca-certificates,python3 bookworm "$dir" "$(debian_mirror)" \
			>"$E2E/debootstrap-arm64.log" 2>&1 || { tail -5 "$E2E/debootstrap-arm64.log" >&2; die "debootstrap failed"; }
		local deb
		for deb in "$dir"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$deb" "$dir"; done
		rm -rf "$dir"/var/cache/apt/archives "$dir"/debootstrap "$dir"/usr/share/doc "$dir"/usr/share/man
		tar -C "$dir" -cf "$E2E/debian-arm64.tar.part" . && mv "$E2E/debian-arm64.tar.part" "$E2E/debian-arm64.tar"
		rm -rf "$dir"
	fi
	[ -d "$E2E/arm64-base" ] && return
	need buildah
	local ctr
	ctr=$(buildah from --arch arm64 scratch)
	buildah add -q "$ctr" "$E2E/debian-arm64.tar" / >/dev/null
	buildah config --os linux --arch arm64 --env PATH=/usr/local/bin:/usr/bin:/bin "$ctr"
	buildah commit -q --rm "$ctr" "oci:$E2E/arm64-base" >/dev/null
}

arm64_image() {
	step "linux/arm64"
	arm64_base
	rm -rf "$E2E/arm64"
	"$E2E/mlenv" image "$root/examples/sklearn" --platform linux/arm64 --base "$ARM64_BASE" --output "oci:$E2E/arm64" --quiet >/dev/null
	say "image: $(python3 "$here/elves.py" "$E2E/arm64" aarch64)"
	rm -rf "$E2E/arm64"
}
