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
	v, commit := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		commit = buildCommit(info.Settings)
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	return fmt.Sprintf("mlenv %s%s %s/%s %s", v, commit, runtime.GOOS, runtime.GOARCH, runtime.Version())
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
