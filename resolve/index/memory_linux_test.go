package index_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mlenv/resolve/dist"
	"mlenv/resolve/index"
	"mlenv/resolve/pep508"
)

// childURL is how the process that is measured knows the server of its parent.
const childURL = "MLENV_TEST_HOSTILE_URL"

// mostMemory is what a process may take that reads hostile answers, its own code included.
const mostMemory = 500 << 20

// shape is an answer made to fill the memory of who reads it: a row of lines, each made of its number.
type shape struct {
	media            string
	head, line, tail string
	mb               int  // inflated; 0: no end
	fits             bool // it is large, but may be read
}

const jsonMedia = "application/vnd.pypi.simple.v1+json"

var shapes = map[string]shape{
	"files of one name":   {jsonMedia, `{"files":[`, `{"filename":"a-1.zip","url":"x"},`, `{}]}`, 200, false},
	"files of few bytes":  {jsonMedia, `{"files":[`, `{},`, `{}]}`, 10, false},
	"files of others":     {jsonMedia, `{"files":[`, `{"filename":"b-1.zip","url":"x"},`, `{}]}`, 30, true},
	"many versions":       {jsonMedia, `{"files":[`, `{"filename":"a-%[1]d-py3-none-any.whl","url":"x/%[1]d"},`, `{}]}`, 100, false},
	"many tags":           {jsonMedia, `{"files":[`, `{"filename":"a-%[1]d-py%[1]d.a.b.c.d.e.f.g-a.b.c.d.e.f.g.h-a.b.c.d.e.f.g.h.whl","url":"x"},`, `{}]}`, 50, false},
	"many reasons":        {jsonMedia, `{"files":[`, `{"filename":"b-1.zip","url":"x","yanked":"%0100[1]d"},`, `{}]}`, 100, true},
	"many hashes":         {jsonMedia, `{"files":[{"filename":"a-1.zip","url":"x","hashes":{`, `"%[1]d":"0",`, `"z":"0"}}]}`, 60, false},
	"no end of files":     {jsonMedia, `{"files":[`, `{"filename":"a-%[1]d.zip","url":"x"},`, ``, 0, false},
	"no end of brackets":  {jsonMedia, `{"files":[`, `[[[[[[[[`, ``, 0, false},
	"no end of a string":  {jsonMedia, `{"files":["`, `x`, ``, 0, false},
	"no end of a key":     {jsonMedia, `{"`, `x`, ``, 0, false},
	"no end of space":     {jsonMedia, `{"files":[`, "  \n  ", ``, 0, false},
	"links":               {"text/html", "<!-- Links for a -->", "<a href=a-%[1]d.zip>x</a>\n", "", 100, false},
	"no end of a tag":     {"text/html", "<!-- Links for a --><a ", "x='y' ", "", 0, false},
	"no end of links":     {"text/html", "<!-- Links for a -->", "<a href=a-1.zip#sha256=%064[1]d>x</a>\n", "", 0, false},
	"no end of a comment": {"text/html", "<!-- Links for a ", "x ", "", 0, false},
}

// atOnce are the shapes that many requests get at the same time.
var atOnce = []string{"files of one name", "many tags", "no end of a string"}

// ServeHTTP sends the answer compressed. One part of it is made, and sent again and again: gzip files
// may be a row of members.
func (s shape) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const part = 1 << 20
	w.Header().Set("Content-Type", s.media)
	w.Header().Set("Content-Encoding", "gzip")
	var lines strings.Builder
	for i := 0; lines.Len() < part; i++ {
		if strings.Contains(s.line, "%") {
			fmt.Fprintf(&lines, s.line, i)
		} else {
			lines.WriteString(s.line)
		}
	}
	packed := member(lines.String())
	w.Write(member(s.head))
	for i := 0; s.mb == 0 || i < s.mb; i++ {
		if _, err := w.Write(packed); err != nil {
			return // the reader has seen enough
		}
	}
	w.Write(member(s.tail))
}

// member gives a text as a gzip file.
func member(text string) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	io.WriteString(z, text)
	z.Close()
	return out.Bytes()
}

// hostileMetadata answers requests for metadata and for parts of wheels.
func hostileMetadata(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ".metadata") {
		out := bufio.NewWriter(w)
		defer out.Flush()
		fmt.Fprintf(out, "Metadata-Version: 2.1\nName: a\nVersion: %s\n", strings.Split(path.Base(r.URL.Path), "-")[1])
		for i := range 20_000 {
			fmt.Fprintf(out, "Requires-Dist: b%d\nProvides-Extra: c%d\n", i, i)
		}
		return
	}
	// The end of an archive that claims sizes of its own.
	total, dir := int64(1)<<62, uint64(64<<30)
	if strings.Contains(r.URL.Path, "-2-") {
		total, dir = 64<<30, 7<<20
	}
	end := make([]byte, 64<<10)
	at := len(end) - 22 - 20 - 56
	copy(end[at:], "PK\x06\x06")
	binary.LittleEndian.PutUint64(end[at+24:], 1<<60)
	binary.LittleEndian.PutUint64(end[at+32:], 1<<60)
	binary.LittleEndian.PutUint64(end[at+40:], dir)
	binary.LittleEndian.PutUint64(end[at+48:], uint64(total)-dir-98)
	copy(end[at+56:], "PK\x06\x07")
	copy(end[at+76:], "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	from := total - int64(len(end))
	if spec := r.Header.Get("Range"); !strings.HasPrefix(spec, "bytes=-") {
		fmt.Sscanf(spec, "bytes=%d-", &from)
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+int64(len(end))-1, total))
	w.WriteHeader(http.StatusPartialContent)
	w.Write(end)
}

// TestHostileAnswersTakeLittleMemory reads each answer in a process of its own, and looks how large that
// ever was.
func TestHostileAnswersTakeLittleMemory(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("reads gigabytes, and the memory would be the race detector's: make soak runs it")
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/files/") {
			hostileMetadata(w, r)
			return
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		name = strings.ReplaceAll(name, "-", " ")
		shapes[name].ServeHTTP(w, r)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	names := []string{"metadata", "parts"}
	for name := range shapes {
		names = append(names, name)
	}
	for _, name := range atOnce {
		names = append(names, name+" at once")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe, "-test.run=^TestHostileChild$", "-test.v")
			cmd.Env = append(os.Environ(), childURL+"="+s.URL+"/"+strings.ReplaceAll(name, " ", "-"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.3000s", err, out)
			}
			_, peak, _ := strings.Cut(string(out), "peak ")
			n, err := strconv.Atoi(strings.Fields(peak + " none")[0])
			if err != nil || n > mostMemory {
				t.Errorf("took %d MB\n%.1000s", n>>20, out)
			}
			t.Logf("%d MB", n>>20)
		})
	}
}

// TestHostileChild is the process that is measured.
func TestHostileChild(t *testing.T) {
	url := os.Getenv(childURL)
	if url == "" {
		t.Skip("for TestHostileAnswersTakeLittleMemory")
	}
	debug.SetMemoryLimit(128 << 20) // as the command has it
	url, many := strings.CutSuffix(url, "-at-once")
	c, err := index.New(index.Settings{Indexes: []string{url + "/"}, FindLinks: []string{}, CacheDir: t.TempDir(), Network: index.Network{Retries: -1, Timeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	n := 1
	if many {
		n = 6
	}
	var g errgroup.Group
	name := strings.ReplaceAll(path.Base(url), "-", " ")
	for i := range n {
		switch name {
		case "metadata", "parts":
			for j := range 300 {
				version := strconv.Itoa(j + 1)
				f, err := dist.NewFile("a", "a-"+version+"-py3-none-any.whl", url+"/files/a-"+version+"-py3-none-any.whl")
				if err != nil {
					t.Fatal(err)
				}
				f.HasMetadata = name == "metadata"
				g.Go(func() error { _, err := c.Metadata(ctx, f); return err })
			}
		default:
			g.Go(func() error {
				project := pep508.Name("a")
				if i > 0 {
					project = pep508.Name("a" + strconv.Itoa(i)) // of whose files the page has none
				}
				_, err := c.Files(ctx, project)
				if errors.As(err, new(*index.NotFoundError)) {
					return nil
				}
				return err
			})
		}
	}
	err = g.Wait()
	if refused := err != nil; refused == shapes[name].fits {
		t.Errorf("reading it: %v", err)
	}
	fmt.Printf("%.300v\n", err)
	fmt.Printf("peak %d \n", peakMemory(t))
}

// peakMemory gives the most bytes that the process has held at once.
func peakMemory(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_, peak, ok := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(peak + " none")[0])
	if !ok || err != nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	return n << 10
}
