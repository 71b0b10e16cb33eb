package verify

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/imagebuild"
	"mlenv/imagebuild/image"
)

// compare returns where an image differs from the one that was made again: every layer with its
// first file that differs, and every field of the configuration and the manifest. What follows from
// a difference of layers is not repeated.
func compare(have *image.Image, made *imagebuild.Image) ([]Difference, error) {
	is, err := have.RawManifest()
	if err != nil {
		return nil, err
	}
	want, err := made.RawManifest()
	if err != nil {
		return nil, err
	}
	if bytes.Equal(is, want) {
		return nil, nil
	}
	out, err := compareLayers(have, made)
	if err != nil {
		return nil, err
	}
	isConfig, err := have.RawConfigFile()
	if err != nil {
		return nil, err
	}
	wantConfig, err := made.RawConfigFile()
	if err != nil {
		return nil, err
	}
	skip := map[string]bool{}
	if len(out) > 0 {
		skip = map[string]bool{"rootfs": true, "history": true, "layers": true, "annotations": true}
	}
	fields, err := compareJSON("", isConfig, wantConfig, skip)
	if err != nil {
		return nil, err
	}
	skip["config"] = true // its digest follows from its fields
	more, err := compareJSON("manifest.", is, want, skip)
	if err != nil {
		return nil, err
	}
	if out = append(append(out, fields...), more...); len(out) == 0 {
		out = append(out, Difference{Byte: -1, Field: "the manifest", Why: "says the same in other bytes"})
	}
	return out, nil
}

// compareLayers returns the layers that differ.
func compareLayers(have *image.Image, made *imagebuild.Image) (out []Difference, err error) {
	is, err := have.Layers()
	if err != nil {
		return nil, err
	}
	want, err := made.Layers()
	if err != nil {
		return nil, err
	}
	// What both begin and end with is left out, so that one layer too many or too few is told as that.
	first, last, err := common(is, want)
	if err != nil {
		return nil, err
	}
	for i := first; i < max(len(is), len(want))-last; i++ {
		d := Difference{Layer: i + 1, Byte: -1}
		switch {
		case i >= len(want)-last:
			d.Holds, d.Why = "one more", "is in the image, and nothing that it was made of gives it"
		case i >= len(is)-last:
			d.Holds, d.Why = made.Contents[i].Holds, "is missing"
		default:
			d.Holds = made.Contents[i].Holds
			same, err := d.layers(is[i], want[i])
			if err != nil {
				return nil, fmt.Errorf("comparing layer %d: %w", i+1, err)
			}
			if same {
				continue
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// common returns how many layers both lists begin with, and how many they end with.
func common(a, b []v1.Layer) (first, last int, err error) {
	x, err := digestsOf(a)
	if err != nil {
		return 0, 0, err
	}
	y, err := digestsOf(b)
	if err != nil {
		return 0, 0, err
	}
	least := min(len(x), len(y))
	for first < least && x[first] == y[first] {
		first++
	}
	for last < least-first && x[len(x)-1-last] == y[len(y)-1-last] {
		last++
	}
	return first, last, nil
}

func digestsOf(layers []v1.Layer) (out []v1.Hash, err error) {
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// layers compares two layers, and fills in the first file that differs.
func (d *Difference) layers(is, want v1.Layer) (same bool, err error) {
	isDigest, err := is.Digest()
	if err != nil {
		return false, err
	}
	wantDigest, err := want.Digest()
	if err != nil || isDigest == wantDigest {
		return err == nil, err
	}
	a, err := is.Uncompressed()
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := want.Uncompressed()
	if err != nil {
		return false, err
	}
	defer b.Close()
	return false, d.files(tar.NewReader(a), tar.NewReader(b))
}

// files walks two archives until one file differs. Both are sorted by path if mlenv made them.
func (d *Difference) files(is, want *tar.Reader) error {
	for {
		x, errX := is.Next()
		y, errY := want.Next()
		endX, endY := errors.Is(errX, io.EOF), errors.Is(errY, io.EOF)
		switch {
		case endX && endY:
			d.Why = "holds the same files, packed in another way"
			return nil
		case errX != nil && !endX:
			d.Why = "cannot be read: " + errX.Error()
			return nil
		case errY != nil && !endY:
			return errY
		case endX:
			d.at(y, "is missing")
			return nil
		case endY:
			d.at(x, "was added")
			return nil
		case x.Name != y.Name:
			d.order(x, y)
			return nil
		}
		if field := headers(x, y); field != "" {
			d.at(x, "has another "+field)
			return nil
		}
		at, err := firstByte(is, want)
		if err != nil {
			return err
		}
		if at >= 0 {
			d.at(x, "has another content")
			d.Byte = at
			return nil
		}
	}
}

func (d *Difference) at(h *tar.Header, why string) {
	d.Path, d.Why = path.Clean("/"+h.Name), why
}

// order tells an added file from a missing one by the order of paths.
func (d *Difference) order(is, want *tar.Header) {
	if is.Name < want.Name {
		d.at(is, "was added")
		return
	}
	d.at(want, "is missing")
}

// headers returns the first field that differs, "" if none does.
func headers(a, b *tar.Header) string {
	switch {
	case a.Typeflag != b.Typeflag:
		return "type"
	case a.Linkname != b.Linkname:
		return "target"
	case a.Mode != b.Mode:
		return "mode"
	case a.Uid != b.Uid || a.Gid != b.Gid || a.Uname != b.Uname || a.Gname != b.Gname:
		return "owner"
	case !a.ModTime.Equal(b.ModTime):
		return "time"
	case !maps.Equal(a.PAXRecords, b.PAXRecords):
		return "attribute"
	}
	return ""
}

// firstByte returns the offset of the first byte that differs, -1 if none does.
func firstByte(a, b io.Reader) (int64, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, errX := io.ReadFull(a, x)
		m, errY := io.ReadFull(b, y)
		for i := range min(n, m) {
			if x[i] != y[i] {
				return at + int64(i), nil
			}
		}
		if n != m {
			return at + int64(min(n, m)), nil
		}
		if errX != nil || errY != nil {
			for _, err := range []error{errX, errY} {
				if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					return -1, err
				}
			}
			return -1, nil
		}
		at += int64(n)
	}
}

// compareJSON compares two documents field by field. skip are fields at the top.
func compareJSON(prefix string, is, want []byte, skip map[string]bool) ([]Difference, error) {
	var x, y map[string]any
	if err := json.Unmarshal(is, &x); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(want, &y); err != nil {
		return nil, err
	}
	for field := range skip {
		if prefix != "" || field != "config" {
			delete(x, field)
			delete(y, field)
		}
	}
	var out []Difference
	compareValues(prefix, x, y, &out)
	return out, nil
}

// compareValues descends into objects, so that a difference is named by its field.
func compareValues(at string, is, want any, out *[]Difference) {
	if reflect.DeepEqual(is, want) {
		return
	}
	x, okX := is.(map[string]any)
	y, okY := want.(map[string]any)
	if okX && okY {
		all := map[string]bool{}
		for k := range x {
			all[k] = true
		}
		for k := range y {
			all[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(all)) {
			next := k
			if at != "" {
				next = at + "." + k
				if at[len(at)-1] == '.' {
					next = at + k
				}
			}
			compareValues(next, x[k], y[k], out)
		}
		return
	}
	*out = append(*out, Difference{Byte: -1, Field: at, Why: "is " + shown(is) + ", and should be " + shown(want)})
}

// shown is a value in a message. The values of variables may be secrets of the image, but whoever
// has the image has them.
func shown(v any) string {
	if v == nil {
		return "missing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return strconv.Quote(err.Error())
	}
	const most = 200
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
