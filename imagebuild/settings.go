package imagebuild

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"mlenv/imagebuild/layer"
	"mlenv/resolve/serving"
)

// SettingsLabel is the label with the Settings of an image.
const SettingsLabel = "io.mlenv.settings"

// Settings are what an image says of how it was made, beside what can be seen in it, so that it can
// be made again. Values that are elsewhere in the configuration or the manifest, such as those of
// variables, are not repeated: of them there are only the names.
type Settings struct {
	Formats     string       `json:"formats"`
	Compression string       `json:"compression,omitempty"` // "gzip", "zstd"; "" for layer.Splice
	MaxLayer    int64        `json:"maxLayer,omitempty"`    // as in Recipe
	Serve       serving.Kind `json:"serve,omitempty"`
	Port        int          `json:"port,omitempty"`
	Workers     int          `json:"workers,omitempty"`
	User        string       `json:"user,omitempty"`
	Entrypoint  []string     `json:"entrypoint,omitempty"`
	Env         []string     `json:"env,omitempty"`         // names that the user set, sorted
	Labels      []string     `json:"labels,omitempty"`      // names that the user set, sorted
	Annotations []string     `json:"annotations,omitempty"` // names that the user set, sorted
	Code        []string     `json:"code,omitempty"`        // names of code beside the model's own, in order
	Compiled    bool         `json:"compiled,omitempty"`    // there are compiled modules
}

// Formats is what the bytes of layers depend on beside what goes into them. A release of mlenv with
// other formats makes other layers of the same wheels.
func Formats() string { return fmt.Sprintf("layer %s, part %d", layer.Format, partFormat) }

// compressions are the kinds of compression as Settings have them.
var compressions = map[layer.Compression]string{layer.Splice: "", layer.Gzip: "gzip", layer.Zstd: "zstd"}

// LayerCompression is Compression as layers take it.
func (s Settings) LayerCompression() (layer.Compression, error) {
	for c, name := range compressions {
		if name == s.Compression {
			return c, nil
		}
	}
	return 0, fmt.Errorf("there is no compression %q", s.Compression)
}

// Settings are the settings of the images that the inputs give.
func (in Inputs) Settings() Settings {
	c := in.Contract.Choices
	s := Settings{
		Formats: Formats(), Compression: compressions[in.Compression], MaxLayer: in.MaxLayer, Compiled: in.Compiled,
		Serve: c.Kind, Port: c.Port, Workers: c.Workers, User: c.User, Entrypoint: c.Entrypoint,
		Env: slices.Sorted(maps.Keys(c.Env)), Labels: slices.Sorted(maps.Keys(in.Labels)), Annotations: slices.Sorted(maps.Keys(in.Annotations)),
	}
	for _, t := range in.Model.Extra {
		s.Code = append(s.Code, t.Root[strings.LastIndexByte(t.Root, '/')+1:])
	}
	return s
}

// ParseSettings reads the label.
func ParseSettings(label string) (Settings, error) {
	var s Settings
	if err := json.Unmarshal([]byte(label), &s); err != nil {
		return s, fmt.Errorf("reading the label %s: %w", SettingsLabel, err)
	}
	return s, nil
}

// label is the text of the label.
func (s Settings) label() (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// ModelFile is a file of the model that went into an image.
type ModelFile struct {
	Name   string // in the model, slash-separated
	SHA256 string // in hex
}

// ModelFiles lists the files of the model that the image was built of, sorted by name.
func (i *Image) ModelFiles() []ModelFile {
	var out []ModelFile
	for _, f := range i.files {
		if f.path == path.Join(i.modelPath, f.name) {
			out = append(out, ModelFile{f.name, f.sum})
		}
	}
	slices.SortFunc(out, func(a, b ModelFile) int { return strings.Compare(a.Name, b.Name) })
	return out
}
