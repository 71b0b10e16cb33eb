// Package ini reads the INI files in which other tools keep their settings: MLflow's ~/.mlflow/credentials, and
// those of the command lines of clouds.
package ini

import "strings"

// Section gives the keys and values of the section of that name, "" for none. Keys are in lower case, as Python's
// configparser has them, and the value that is written last counts. What is no line of an INI file is
// passed over: the tools that own these files complain of it, and their messages are better.
func Section(text, name string) map[string]string {
	out := map[string]string{}
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[':
			in = strings.HasSuffix(line, "]") && strings.TrimSpace(line[1:len(line)-1]) == name
			continue
		}
		at := strings.IndexAny(line, "=:")
		if in && at > 0 {
			out[strings.ToLower(strings.TrimSpace(line[:at]))] = strings.TrimSpace(line[at+1:])
		}
	}
	return out
}
