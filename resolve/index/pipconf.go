package index

import (
	"fmt"
	"path/filepath"
	"strings"
)

// pipConf reads pip's configuration files, the later over the earlier: all [global] sections, then
// all [install] sections over those. Keys are as options are spelt, without dashes in front.
func (c *configuring) pipConf() (map[string]string, error) {
	global, install := map[string]string{}, map[string]string{}
	if c.src.ReadFile == nil {
		return global, nil
	}
	for _, name := range c.pipConfFiles() {
		data, err := c.src.ReadFile(name)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading pip's configuration: %w", err)
		}
		if err := parsePipConf(data, func(section, key, value string) {
			switch section {
			case "global":
				global[key] = value
			case "install":
				install[key] = value
			}
		}); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	for k, v := range install {
		global[k] = v
	}
	return global, nil
}

// pipConfFiles lists where pip looks, the weakest first: the machine's files, the user's, that of
// the virtual environment, and the one that PIP_CONFIG_FILE names, which takes the place of the
// user's. The null device there stands for no file at all.
func (c *configuring) pipConfFiles() []string {
	named := c.src.Env("PIP_CONFIG_FILE")
	if named == "/dev/null" || c.src.OS == "windows" && strings.EqualFold(named, "nul") {
		return nil
	}
	file := "pip.conf"
	if c.src.OS == "windows" {
		file = "pip.ini"
	}
	var all []string
	add := func(dir string, parts ...string) {
		if dir != "" {
			all = append(all, filepath.Join(append(append([]string{dir}, parts...), file)...))
		}
	}
	c.machineFiles(add)
	if !c.readable(named) {
		c.userFiles(add)
	}
	add(c.src.Env("VIRTUAL_ENV"))
	if named != "" {
		all = append(all, named)
	}
	return all
}

func (c *configuring) readable(name string) bool {
	if name == "" {
		return false
	}
	_, err := c.src.ReadFile(name)
	return err == nil
}

func (c *configuring) machineFiles(add func(dir string, parts ...string)) {
	switch c.src.OS {
	case "windows":
		add(c.src.Env("PROGRAMDATA"), "pip")
	case "darwin":
		add("/Library/Application Support/pip")
	default:
		dirs := c.src.Env("XDG_CONFIG_DIRS")
		if dirs == "" {
			dirs = "/etc/xdg"
		}
		for _, d := range strings.Split(dirs, ":") {
			add(d, "pip")
		}
		add("/etc")
	}
}

func (c *configuring) userFiles(add func(dir string, parts ...string)) {
	home := c.src.Home
	if c.src.OS == "windows" {
		add(home, "pip")
		add(c.src.Env("APPDATA"), "pip")
		return
	}
	add(home, ".pip")
	if c.src.OS == "darwin" {
		add(home, "Library", "Application Support", "pip")
	}
	if xdg := c.src.Env("XDG_CONFIG_HOME"); xdg != "" {
		add(xdg, "pip")
	} else {
		add(home, ".config", "pip")
	}
}

// parsePipConf reads the INI form that Python's configparser takes: "key = value" or "key: value",
// indented lines that go on with the value, comments on lines of their own.
func parsePipConf(data []byte, set func(section, key, value string)) error {
	section, key, value := "", "", ""
	flush := func() {
		if key != "" {
			set(section, key, strings.TrimSpace(value))
		}
		key, value = "", ""
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		n++
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case key != "" && (line[0] == ' ' || line[0] == '\t'):
			value += "\n" + text
			continue
		}
		flush()
		if text[0] == '[' {
			end := strings.IndexByte(text, ']')
			if end < 0 {
				return fmt.Errorf("line %d: a section that does not end", n)
			}
			section = text[1:end]
			continue
		}
		at := strings.IndexAny(text, "=:")
		if at <= 0 || section == "" {
			return fmt.Errorf("line %d: neither a section nor a setting", n)
		}
		key = strings.ToLower(strings.TrimSpace(text[:at]))
		key = strings.TrimPrefix(strings.ReplaceAll(key, "_", "-"), "--")
		value = strings.TrimSpace(text[at+1:])
	}
	flush()
	return nil
}
