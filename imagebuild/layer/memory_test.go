package layer

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestMemory makes four layers at once, as mlenv image does, where there are many cores, and looks at
// the most memory that the process ever had. The whole program shall stay below 150 MB and needs some 50 for the rest.
func TestMemory(t *testing.T) {
	if c := os.Getenv("LAYER_TEST_COMPRESSION"); c != "" {
		manyCores(t, Compression(c[0]-'0'))
		return
	}
	if _, err := peakRSS(); err != nil {
		t.Skip(err)
	}
	for _, c := range []Compression{Splice, Gzip, Zstd} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
		cmd.Env = append(os.Environ(), "GOMAXPROCS=64", fmt.Sprint("LAYER_TEST_COMPRESSION=", c))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%d: %v\n%s", c, err, out)
		}
	}
}

func manyCores(t *testing.T, c Compression) {
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			content := Content{Size: 48 << 20}
			content.Open = func() (io.ReadCloser, error) {
				return io.NopCloser(io.LimitReader(letters{rand.NewChaCha8([32]byte{1})}, content.Size)), nil
			}
			l, err := New([]Entry{{Path: "f", Content: content}}, Options{Compression: c})
			if err == nil {
				_, err = l.Measure(context.Background(), nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	peak, err := peakRSS()
	t.Logf("at most %d MB resident", peak>>20)
	if limit := int64(100 << 20); err != nil || peak > limit && !raceEnabled {
		t.Errorf("%d MB, more than %d: %v", peak>>20, limit>>20, err)
	}
}

// letters is text that shrinks to two thirds.
type letters struct{ io.Reader }

func (l letters) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	for i := range p[:n] {
		p[i] = ' ' + p[i]%32
	}
	return n, err
}

// peakRSS returns the high-water mark of the process's memory, in bytes.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("no VmHWM")
}
