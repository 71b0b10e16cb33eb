package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"mlenv/imagebuild"
	"mlenv/imagebuild/sink"
	"mlenv/resolve/index"
)

// screen is a terminal that keeps every state of its line.
type screen struct{ strings.Builder }

// frames gives what stood on the line, one after the other.
func (s *screen) frames(t *testing.T) []string {
	t.Helper()
	if strings.Contains(s.String(), "\n") {
		t.Errorf("the line was left: %q", s.String())
	}
	var out []string
	for _, f := range strings.Split(s.String(), "\r") {
		text, wiped := strings.CutSuffix(f, "\x1b[K")
		if f != "" && !wiped {
			t.Errorf("what stood there before was not wiped: %q", f)
		}
		out = append(out, text)
	}
	return out[1:]
}

func (s *screen) progress(columns int) *progress {
	line := newLiveLine(s)
	line.width, line.pause = func() int { return columns }, 0
	return &progress{out: plainConsole(s), line: line, fetch: map[string]*fetching{}}
}

// play is an image in the making: two layers of wheels, one that is known, one of the model.
func play(p *progress) {
	p.say("inspecting the base for linux/amd64")
	p.layer(imagebuild.Event{Plan: []imagebuild.Planned{
		{},
		{Size: 40e6, Wheels: []imagebuild.Wheel{{Filename: "large.whl", Size: 40e6}}},
		{Size: 10e6, Wheels: []imagebuild.Wheel{{Filename: "a.whl", Size: 4e6}, {Filename: "b.whl", Size: 6e6}}},
		{Size: 50e6},
	}})
	p.layer(imagebuild.Event{Part: 0, Holds: "virtual environment", Total: 2048})
	p.layer(imagebuild.Event{Part: 0, Holds: "virtual environment", Done: true})
	p.index(index.Event{Kind: index.FileBytes, Name: "large.whl", Total: 40e6})
	p.index(index.Event{Kind: index.FileBytes, Name: "large.whl", Bytes: 20e6, Total: 40e6})
	p.layer(imagebuild.Event{Part: 2, Holds: "2 wheels", Done: true, Reused: true})
	p.index(index.Event{Kind: index.FileBytes, Name: "large.whl", Bytes: 40e6, Total: 40e6})
	p.index(index.Event{Kind: index.FileDone, Name: "large.whl"})
	p.layer(imagebuild.Event{Part: 1, Holds: "large.whl", Total: 100e6})
	p.layer(imagebuild.Event{Part: 1, Holds: "large.whl", Bytes: 50e6})
	p.layer(imagebuild.Event{Part: 1, Holds: "large.whl", Done: true})
	p.layer(imagebuild.Event{Part: 3, Holds: "model.pkl", Done: true})
	p.sending("registry.example/churn:1")
	p.sent(sink.Step{ToSend: 100e6})
	p.sent(sink.Step{Sent: 25e6})
	p.sent(sink.Step{ToSend: -50e6})
	p.sent(sink.Step{Sent: -5e6})
	p.sent(sink.Step{Sent: 30e6})
	p.sending("oci:x")
	p.sent(sink.Step{ToSend: 10e6})
	p.close()
	p.say("nothing comes after the end")
}

func TestImageProgressLine(t *testing.T) {
	s := &screen{}
	play(s.progress(110))
	got := s.frames(t)
	want := []string{
		"inspecting the base for linux/amd64",
		"[>                          ]   0%  layers 0/4  ",
		"[>                          ]   0%  layers 0/4  ",
		"[>                          ]   0%  layers 1/4  layered virtual environment",
		"[==>                        ]  10%  layers 1/4  fetched 20.0/50.0 MB  fetching large.whl",
		"[=====>                     ]  20%  layers 2/4  fetched 20.0/40.0 MB  reused  2 wheels",
		"[========>                  ]  30%  layers 2/4  fetched 40.0/40.0 MB  reused  2 wheels",
		"[========>                  ]  30%  layers 2/4  fetched 40.0/40.0 MB  reused  2 wheels",
		"[========>                  ]  30%  layers 2/4  fetched 40.0/40.0 MB  reused  2 wheels",
		"[==========>                ]  40%  layers 2/4  fetched 40.0/40.0 MB  reused  2 wheels",
		"[=============>             ]  50%  layers 3/4  fetched 40.0/40.0 MB  layered large.whl",
		"[===========================] 100%  layers 4/4  fetched 40.0/40.0 MB  layered model.pkl",
		"sending to registry.example/churn:1",
		"[>                          ]   0%  0.0/100.0 MB  sending to registry.example/churn:1",
		"[======>                    ]  25%  25.0/100.0 MB  sending to registry.example/churn:1",
		"[=============>             ]  50%  25.0/50.0 MB  sending to registry.example/churn:1",
		"[==========>                ]  40%  20.0/50.0 MB  sending to registry.example/churn:1",
		"[===========================] 100%  50.0/50.0 MB  sending to registry.example/churn:1",
		"sending to oci:x",
		"[>                          ]   0%  0.0/10.0 MB  sending to oci:x",
		"",
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("frame %d is missing: %q", i, want[i])
		case i >= len(want):
			t.Errorf("frame %d is too many: %q", i, got[i])
		case got[i] != want[i]:
			t.Errorf("frame %d:\n got %q\nwant %q", i, got[i], want[i])
		}
	}
}

// The line never reaches a terminal's last column, where it would wrap and stay.
func TestImageProgressWidth(t *testing.T) {
	for _, columns := range []int{1, 2, 10, 24, 40, 80, 200} {
		s := &screen{}
		play(s.progress(columns))
		bar := false
		for _, f := range s.frames(t) {
			bar = bar || strings.Contains(f, "[=")
			if n := utf8.RuneCountInString(f); n >= columns && n > 1 {
				t.Errorf("%d columns: %q has %d", columns, f, n)
			}
		}
		if bar != (columns >= 40) {
			t.Errorf("%d columns: a bar is %v", columns, bar)
		}
	}
}

// A line that others print stands by itself, with the live line below it.
func TestImageProgressTell(t *testing.T) {
	s := &screen{}
	p := s.progress(80)
	p.say("one")
	p.tell("two")
	p.say("three")
	p.pause()
	if want := "\rone\x1b[K\r\x1b[Ktwo\n\rthree\x1b[K\r\x1b[K"; s.String() != want {
		t.Errorf("got %q, want %q", s.String(), want)
	}
}

// Where there is no terminal each step is a line; numbers alone are none.
func TestImageProgressPlain(t *testing.T) {
	s := &screen{}
	play(&progress{out: plainConsole(s), fetch: map[string]*fetching{}})
	const want = "inspecting the base for linux/amd64\nlayered virtual environment\nfetching large.whl\nreused  2 wheels\n" +
		"layered large.whl\nlayered model.pkl\nsending to registry.example/churn:1\nsending to oci:x\n"
	if s.String() != want {
		t.Errorf("got\n%s\nwant\n%s", s.String(), want)
	}
}

func TestLockProgressLine(t *testing.T) {
	s := &screen{}
	line := newLiveLine(s)
	line.width, line.pause = func() int { return 80 }, 0
	p := &lockProgress{out: *plainConsole(s), line: line, bytes: map[string]share{}}
	p.event(index.Event{Kind: index.PageRead, Name: "churn"})
	p.event(index.Event{Kind: index.FileBytes, Name: "a.whl", Bytes: 1e6})
	p.event(index.Event{Kind: index.FileBytes, Name: "a.whl", Bytes: 2e6, Total: 4e6})
	p.end()
	want := []string{
		"locking: 1 package seen  versions of churn",
		"locking: 1 package seen  1.0 MB  downloading a.whl",
		"locking: 1 package seen  [=========>         ]  50%  2.0/4.0 MB  downloading a.",
		"",
	}
	if got := s.frames(t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestImageQuiet says nothing on stderr, whatever is done; without --quiet each step is a line.
func TestImageQuiet(t *testing.T) {
	w := newImageWorld(t)
	dir := t.TempDir()
	args := []string{"-o", "oci:" + filepath.Join(dir, "a"), "-o", "oci-tar:" + filepath.Join(dir, "b"), "--push", w.registry + "/churn:1"}
	out, errs, code := command(t, w.env, w.args(append(args, "--quiet")...)...)
	if code != 0 || errs != "" || strings.Count(out, "\n") != 3 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	w.env["MLENV_CACHE_DIR"] = t.TempDir()
	_, errs, code = command(t, w.env, w.args(append(args, "--no-memo")...)...)
	if code != 0 || strings.ContainsAny(errs, "\r\x1b%") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	for _, want := range []string{"inspecting the base for linux/amd64\n", "fetching churn-2.0-py3-none-any.whl\n",
		"layered churn-2.0-py3-none-any.whl\n", "sending to oci:" + filepath.Join(dir, "a") + "\n", "sending to " + w.registry + "/churn:1\n"} {
		if strings.Count(errs, want) != 1 {
			t.Errorf("stderr says %q %d times:\n%s", want, strings.Count(errs, want), errs)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); err != nil {
		t.Error(err)
	}
}

// plainConsole is a console without colours.
func plainConsole(w io.Writer) *console {
	return &console{w, func(_ colour, text string) string { return text }}
}
