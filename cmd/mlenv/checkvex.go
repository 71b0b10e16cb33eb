package main

import (
	"context"

	"mlenv/render/vex"
	"mlenv/resolve/check"
	"mlenv/resolve/finding"
)

// writeVEX writes the vulnerabilities that the policy excepts, if a file is named.
func (r *checkRun) writeVEX(ctx context.Context, found *check.Report) error {
	if r.o.vex == "" {
		return nil
	}
	in := vex.Input{Author: "mlenv " + versionNumber(), Date: r.in.Today}
	for _, e := range found.Excepted {
		if v := e.Vulnerability; v != nil && e.Rule == finding.KnownVulnerability {
			in.Statements = append(in.Statements, vex.Statement{Vulnerability: v.ID, Aliases: v.Aliases, Package: v.Package, Version: v.Version, Reason: e.Reason})
		}
	}
	text, err := vex.Document(in)
	if err != nil {
		return err
	}
	return writeOutput(ctx, r.o.vex, text)
}
