package main

import (
	"strings"

	"mlenv/resolve/serving"
)

// bindTarget declares --target.
func bindTarget(s *flagSet, to *string, usage string) {
	s.text(to, "target", usage+": "+strings.Join(serving.Targets(), ", "))
}

// readTarget gives the platform that --target names, nil where it names none.
func readTarget(name string) (*serving.Target, error) {
	if name == "" {
		return nil, nil
	}
	t, err := serving.ParseTarget(name)
	if err != nil {
		return nil, &usageError{msg: "--target: " + err.Error()}
	}
	return &t, nil
}

// preset sets what the platform wants and the command line leaves open.
func (o *imageOptions) preset(t *serving.Target) {
	if t.Docker && !o.layers.manifestGiven {
		o.layers.manifest = "docker"
	}
	if t.User != "" && !o.container.userGiven {
		o.container.user = t.User
	}
	var labels []string
	for _, l := range t.Labels {
		labels = append(labels, l.Name+"="+l.Value)
	}
	o.container.labels = append(labels, o.container.labels...) // the user's own win
}

// architectures are those of --platform.
func (o *baseOptions) architectures() ([]string, error) {
	wanted, err := o.platforms()
	var out []string
	for _, p := range wanted {
		out = append(out, p.Architecture)
	}
	return out, err
}
