package imagebuild

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild/image"
	"mlenv/imagebuild/layer"
	"mlenv/resolve/cache"
)

// Carried is a note that is kept with an image, so that whoever builds the next one need not know the
// machine on which it was built.
type Carried struct {
	Kind   string     // "layers", and the other kinds of notes
	Hash   string     // of the note's key, see cache.Key.Hash
	Note   cache.Note // Written is not set
	Layers []v1.Hash  // the layers that the note is about, if it is about any
}

// carry makes what is carried of a note.
func carry(kind string, of, value any) (Carried, error) {
	key, err := cache.NewKey(kind, of)
	if err != nil {
		return Carried{}, err
	}
	note, err := cache.NewNote(value)
	if err != nil {
		return Carried{}, err
	}
	c := Carried{Kind: kind, Hash: key.Hash(), Note: note}
	for _, s := range SumsIn(kind, note) {
		c.Layers = append(c.Layers, s.Digest)
	}
	return c, nil
}

// carriedNote is a Carried in an annotation.
type carriedNote struct {
	Kind  string          `json:"kind"`
	Hash  string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// annotate puts what was noted into the manifest: of a layer the key and what its descriptor and the
// configuration do not say, in the layer's annotations, and of everything else the whole note in one
// of the manifest's. They are annotations and not labels because containerd takes no label of more
// than 4096 bytes. A Docker manifest has no place for them.
func (i *assembled) annotate(done []made, base int, more []Carried) error {
	at := base
	for _, m := range done {
		for j := range m.sums {
			if m.carried.Hash != "" {
				d := &i.manifest.Layers[at]
				if d.Annotations == nil {
					d.Annotations = map[string]string{}
				}
				text, err := m.carried.layerNote(j)
				if err != nil {
					return err
				}
				d.Annotations[image.LayerKey], d.Annotations[image.LayerNote] = m.carried.Hash, text
			}
			at++
		}
	}
	var notes []carriedNote
	for _, c := range more {
		notes = append(notes, carriedNote{c.Kind, c.Hash, c.Note.Value})
	}
	if len(notes) == 0 {
		return nil
	}
	return i.annotation(image.Notes, notes)
}

// annotateRecipe says how the image was made.
func (i *assembled) annotateRecipe(n recipeNote) error { return i.annotation(image.Recipe, n) }

// annotation puts a value into an annotation of the manifest.
func (i *assembled) annotation(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if i.manifest.Annotations == nil {
		i.manifest.Annotations = map[string]string{}
	}
	i.manifest.Annotations[name] = string(text)
	return nil
}

// SumsIn gives the sums of the layers that a note is about.
func SumsIn(kind string, n cache.Note) []layer.Sum {
	var r remembered
	if kind != LayersMemo || !n.Decode(&r) {
		return nil
	}
	return r.Sums
}

// layerNote is what is noted of a layer beside what its descriptor and the configuration say. Of several
// layers with one key the first has what is known of their content. It is one piece of JSON, so that one
// that was cut short is none.
type layerNote struct {
	Unpacked int64 `json:"unpacked"` // bytes of the tar stream
	remembered
}

// layerNote is the annotation of one of the layers that the note is about.
func (c Carried) layerNote(at int) (string, error) {
	var n layerNote
	if !c.Note.Decode(&n.remembered) {
		return "", fmt.Errorf("the note %s of layers cannot be read", c.Hash)
	}
	n.Unpacked, n.Sums = n.Sums[at].Unpacked, nil
	if at > 0 {
		n.remembered = remembered{}
	}
	text, err := json.Marshal(n)
	return string(text), err
}

// Carries reports whether a manifest has notes.
func Carries(m *v1.Manifest) bool {
	return m.Annotations[image.Notes] != "" || slices.ContainsFunc(m.Layers, func(d v1.Descriptor) bool { return d.Annotations[image.LayerKey] != "" })
}

// CarriedBy reads the notes that an image carries, of any platform. An image that has none, or was not
// made by this package, gives none: what cannot be read is left out. The layers that a note is about
// are always layers of this very image.
func CarriedBy(m *v1.Manifest, c *v1.ConfigFile) []Carried {
	if len(m.Layers) != len(c.RootFS.DiffIDs) {
		return nil
	}
	var out []Carried
	for at := 0; at < len(m.Layers); {
		end, one := readLayers(m, c, at)
		if one != nil {
			out = append(out, *one)
		}
		at = end
	}
	var notes []carriedNote
	if json.Unmarshal([]byte(m.Annotations[image.Notes]), &notes) != nil {
		return out
	}
	for _, n := range notes {
		if n.Kind != LayersMemo { // whose sums are the manifest's own
			out = append(out, Carried{Kind: n.Kind, Hash: n.Hash, Note: cache.Note{Value: n.Value}})
		}
	}
	return out
}

// readLayers reads the note of the layers from one on that have the same key, and gives the next layer.
func readLayers(m *v1.Manifest, c *v1.ConfigFile, at int) (int, *Carried) {
	key, end := m.Layers[at].Annotations[image.LayerKey], at
	one := Carried{Kind: LayersMemo, Hash: key}
	var r remembered
	for ; end < len(m.Layers) && m.Layers[end].Annotations[image.LayerKey] == one.Hash; end++ {
		d := m.Layers[end]
		var n layerNote
		if json.Unmarshal([]byte(d.Annotations[image.LayerNote]), &n) != nil {
			key = ""
		}
		if end == at {
			r.Wheels, r.Findings = n.Wheels, n.Findings
		}
		r.Sums = append(r.Sums, layer.Sum{Digest: d.Digest, DiffID: c.RootFS.DiffIDs[end], Size: d.Size, Unpacked: n.Unpacked, MediaType: d.MediaType})
		one.Layers = append(one.Layers, d.Digest)
	}
	if key == "" {
		return end, nil
	}
	note, err := cache.NewNote(r)
	if err != nil {
		return end, nil
	}
	one.Note = note
	return end, &one
}

// carry has the image carry a note.
func (w *work) carry(kind string, of, value any) error {
	c, err := carry(kind, of, value)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carried = append(w.carried, c)
	return nil
}

// carryBase has the image carry what was found in its base, if that can be pulled: another machine then
// need not fetch it to look into it. A base in files has to be there anyway.
func (w *work) carryBase() error {
	if w.recipe.Base.Name == "" {
		return nil
	}
	kind, of := w.recipe.Base.Remembered()
	return w.carry(kind, of, w.recipe.Base.Base)
}

// sortedCarried are the notes about the whole image, in an order that does not depend on which was
// found first.
func (w *work) sortedCarried() []Carried {
	slices.SortFunc(w.carried, func(a, b Carried) int { return strings.Compare(a.Kind+" "+a.Hash, b.Kind+" "+b.Hash) })
	return w.carried
}
