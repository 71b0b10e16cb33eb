package imagebuild_test

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/validate"

	"mlenv/imagebuild"
	"mlenv/resolve/finding"
)

// TestOverlap builds images of wheels that hold the same paths with other bytes, as pip installs them.
// The file of the package whose name comes last wins, whichever wheel is large enough for a layer of its
// own and in whatever order the wheels are given, and each wheel's own layer stays what it is.
func TestOverlap(t *testing.T) {
	const site = "opt/venv/lib/python3.11/site-packages/"
	files := func(text string) map[string]string {
		return map[string]string{
			"LICENSE": text, "cv2/__init__.py": text, "cv2/data/haar.xml": text, "bin-tool": text,
		}
	}
	dir := t.TempDir()
	vision := makeWheel(t, dir, "vision", "1.0", files("vision"))
	bare := makeWheel(t, dir, "visionbare", "1.0", map[string]string{
		"LICENSE": "bare", "cv2/__init__.py": "bare", "cv2/data/haar.xml": "bare"})
	for what, tt := range map[string]struct {
		large   []string
		reverse bool
	}{
		"one layer":            {},
		"one layer, reversed":  {reverse: true},
		"the loser is large":   {large: []string{"vision"}},
		"the winner is large":  {large: []string{"visionbare"}},
		"both large":           {large: []string{"vision", "visionbare"}},
		"both large, reversed": {large: []string{"vision", "visionbare"}, reverse: true},
	} {
		t.Run(what, func(t *testing.T) {
			wheels := []imagebuild.Wheel{vision, bare}
			for i := range wheels {
				for _, name := range tt.large {
					if wheels[i].Name == name {
						wheels[i].Size = 8 << 20
					}
				}
			}
			r := makeRecipe(t, model())
			alone := build(t, &imagebuild.Builder{}, r)
			before := map[string]imagebuild.Layer{}
			for i, w := range wheels {
				only := r
				only.Wheels = append(only.Wheels[:len(only.Wheels):len(only.Wheels)], w)
				for _, l := range build(t, &imagebuild.Builder{}, only).Contents {
					if l.Holds == w.Filename {
						before[wheels[i].Name] = l
					}
				}
			}
			if tt.reverse {
				wheels[0], wheels[1] = wheels[1], wheels[0]
			}
			r.Wheels = append(r.Wheels, wheels...)
			b := &imagebuild.Builder{Memo: memoIn(t.TempDir())}
			img := build(t, b, r)
			if err := validate.Image(img); err != nil {
				t.Error(err)
			}
			got := extract(t, img)
			for _, name := range []string{"LICENSE", "cv2/__init__.py", "cv2/data/haar.xml"} {
				if got[site+name] != "bare" {
					t.Errorf("%s is that of %q", name, got[site+name])
				}
			}
			for _, one := range []string{"vision-1.0", "visionbare-1.0"} {
				if !strings.Contains(got[site+one+".dist-info/RECORD"], "cv2/__init__.py") {
					t.Errorf("%s: RECORD lost its row", one)
				}
			}
			for _, name := range tt.large {
				if l := before[name]; !hasLayer(img, l) {
					t.Errorf("the layer of %s alone is another one", name)
				}
			}
			if f := rules(img.Findings); f != "wheel-files-overlap wheel-modules-overlap" {
				t.Errorf("findings: %s", f)
			}
			for _, f := range img.Findings {
				for _, want := range []string{"vision-1.0-py3-none-any.whl", "visionbare-1.0-py3-none-any.whl", "are installed"} {
					if !strings.Contains(f.Message, want) {
						t.Errorf("%q does not say %s", f.Message, want)
					}
				}
			}
			again := build(t, b, r)
			if digest(t, again) != digest(t, img) || len(again.Findings) != len(img.Findings) {
				t.Error("remembered, the image is another one")
			}
			if layers := len(img.Contents) - len(alone.Contents); len(tt.large) == 0 && layers > 1 || layers > 3 { // two wheels, and the winner's files
				t.Errorf("%d more layers than without the two", layers)
			}
		})
	}
}

func hasLayer(img *imagebuild.Image, l imagebuild.Layer) bool {
	for _, other := range img.Contents {
		if other.Digest == l.Digest {
			return true
		}
	}
	return false
}

func rules(findings finding.List) string {
	var out []string
	for _, f := range findings {
		out = append(out, string(f.Rule))
	}
	return strings.Join(out, " ")
}
