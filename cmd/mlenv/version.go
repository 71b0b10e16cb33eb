package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for a release: -ldflags "-X main.version=v1.2.3".
var version string

// versionLine is what --version prints: the release or module version, the commit, and the
// platform it was built for.
func versionLine() string {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		commit = buildCommit(info.Settings)
	}
	return fmt.Sprintf("mlenv %s%s %s/%s %s", versionNumber(), commit, runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// userAgent is how mlenv names itself to indexes and registries.
func userAgent() string { return "mlenv/" + versionNumber() }

func versionNumber() string {
	v := version
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	if v == "" || v == "(devel)" {
		return "devel"
	}
	return v
}

func buildCommit(settings []debug.BuildSetting) string {
	var revision, changed string
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				changed = ", changed"
			}
		}
	}
	if len(revision) < 12 {
		return ""
	}
	return " (" + revision[:12] + changed + ")"
}
