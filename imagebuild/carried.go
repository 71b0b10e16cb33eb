package imagebuild

import (
	"encoding/json"
	"slices"
	"strconv"
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
		for j, sum := range m.sums {
			if m.carried.Hash != "" {
				d := &i.manifest.Layers[at]
				if d.Annotations == nil {
					d.Annotations = map[string]string{}
				}
				d.Annotations[image.LayerKey] = m.carried.Hash
				d.Annotations[image.LayerUnpacked] = strconv.FormatInt(sum.Unpacked, 10)
				if rest := m.carried.rest(); j == 0 && rest != "" {
					d.Annotations[image.LayerNote] = rest
				}
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

// rest is what a layer's note says beside the sums, "" where that is nothing.
func (c Carried) rest() string {
	var r remembered
	if !c.Note.Decode(&r) {
		return ""
	}
	r.Sums = nil
	text, err := json.Marshal(r)
	if err != nil || string(text) == "{}" {
		return ""
	}
	return string(text)
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
	var r remembered
	if text := m.Layers[at].Annotations[image.LayerNote]; text != "" && json.Unmarshal([]byte(text), &r) != nil {
		key = ""
	}
	r.Sums = nil
	one := Carried{Kind: LayersMemo, Hash: key}
	for ; end < len(m.Layers) && m.Layers[end].Annotations[image.LayerKey] == m.Layers[at].Annotations[image.LayerKey]; end++ {
		d := m.Layers[end]
		unpacked, err := strconv.ParseInt(d.Annotations[image.LayerUnpacked], 10, 64)
		if err != nil {
			key = ""
		}
		r.Sums = append(r.Sums, layer.Sum{Digest: d.Digest, DiffID: c.RootFS.DiffIDs[end], Size: d.Size, Unpacked: unpacked, MediaType: d.MediaType})
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
