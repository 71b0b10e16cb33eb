package sink

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// A file that is being written has a name that tells whose it is, .NAME.mlenv-RANDOM.tmp, and is
// locked as long as its writer lives. So whoever writes NAME later can remove what a writer left
// behind that was killed, and nothing else. Where there are no locks it stays.
const (
	tempInfix  = ".mlenv-"
	tempSuffix = ".tmp"
)

// tempPrefix is how the names of the temporary files of a target begin.
func tempPrefix(name string) string {
	base := filepath.Base(name)
	return "." + base[:min(len(base), 200)] + tempInfix // file systems allow 255 bytes
}

// createTemp makes a temporary file beside its target. unlock is called when it was renamed or
// removed.
func createTemp(name string) (temp *os.File, unlock func(), err error) {
	for range 100 {
		temp, err := os.CreateTemp(filepath.Dir(name), tempPrefix(name)+"*"+tempSuffix)
		if err != nil {
			return nil, nil, err
		}
		unlock, ok := lock(temp.Name())
		if ok {
			return temp, unlock, nil
		}
		// Another process took it for left behind in the moment before it was locked.
		if err := temp.Close(); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("another process removes what this one writes")
}

// sweep removes what killed writers have left of files in a directory whose temporary names begin
// so. That it cannot is nothing that whoever wrote a file has to know.
func sweep(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, prefix) || !strings.Contains(name, tempInfix) || !strings.HasSuffix(name, tempSuffix) || !e.Type().IsRegular() {
			continue
		}
		removeAbandoned(filepath.Join(dir, name))
	}
}
