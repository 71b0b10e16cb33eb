package wheel

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"mlenv/resolve/finding"
)

// A row is a line of RECORD: the hash as "sha256=" and URL-safe base64 without padding, the size in bytes; both are empty
// for RECORD itself and its signatures.
type row struct{ path, hash, size string }

// parseRecord reads a RECORD file, which is CSV as Python's csv module writes it. Fields after the third mean nothing, as
// for pip; wide are the paths of rows that have some.
func parseRecord(b []byte) (rows []row, wide []string, err error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, wide, nil
		}
		if err != nil {
			return nil, nil, err
		}
		line, _ := r.FieldPos(0)
		if len(fields) > 3 {
			wide, fields = append(wide, fields[0]), fields[:3]
		}
		if strings.ContainsAny(strings.Join(fields, ""), "\r\n\x00") {
			return nil, nil, fmt.Errorf("line %d: a field with a line end", line)
		}
		fields = append(fields, "", "")
		rows = append(rows, row{fields[0], fields[1], fields[2]})
	}
}

// formatRecord writes the rows, sorted, with the line ends that pip writes.
func formatRecord(rows []row) []byte {
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.path, b.path) })
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	for _, r := range rows {
		w.Write([]string{r.path, r.hash, r.size}) // a bytes.Buffer does not fail
	}
	w.Flush()
	return out.Bytes()
}

// sum decodes the hash of a row. Algorithms weaker than SHA-256 are refused, as the specification wants.
func (r row) sum() (v1.Hash, error) {
	algorithm, value, ok := strings.Cut(r.hash, "=")
	if !ok {
		return v1.Hash{}, fmt.Errorf("%q is not a hash", r.hash)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("%q is not a hash: %w", r.hash, err)
	}
	if size, ok := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[algorithm]; !ok || size != len(b) {
		return v1.Hash{}, fmt.Errorf("%q is not a SHA-256, SHA-384 or SHA-512 hash", r.hash)
	}
	return v1.Hash{Algorithm: algorithm, Hex: hex.EncodeToString(b)}, nil
}

// rowOf returns the row of a generated file.
func rowOf(path string, b []byte) row {
	sum := sha256.Sum256(b)
	return row{path, "sha256=" + base64.RawURLEncoding.EncodeToString(sum[:]), strconv.Itoa(len(b))}
}

func digest(algorithm string, b []byte) string {
	switch algorithm {
	case "sha384":
		s := sha512.Sum384(b)
		return hex.EncodeToString(s[:])
	case "sha512":
		s := sha512.Sum512(b)
		return hex.EncodeToString(s[:])
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// readRecord reads RECORD and gives every member its hash. The specification wants an installation to fail "if any file in
// the archive is not both mentioned and correctly hashed in RECORD". Published wheels break the first half of that, pip and
// uv install them, and the whole file is checked against the lock anyway: so a file without a row, or a row without a usable
// hash, is noted, and the installed RECORD says of it what pip's would. A hash that is there must fit.
func (w *Wheel) readRecord() error {
	name := w.distInfo + "/RECORD"
	b, err := w.small(name, maxRecord)
	if err != nil {
		return err
	}
	rows, wide, err := parseRecord(b)
	if err == nil {
		rows, err = w.tidyRecord(rows)
	}
	if err != nil {
		return w.fail(name, err)
	}
	for _, p := range wide {
		w.note(finding.WheelRecord, p, "its row in RECORD has more than three fields")
	}
	w.record = rows
	listed := make(map[string]bool, len(rows))
	for _, r := range rows {
		listed[r.path] = true
		m := w.byName[r.path]
		if m == nil {
			w.note(finding.WheelRecord, r.path, "RECORD lists it, but the wheel lacks it")
			continue
		}
		if w.unhashed(r.path) {
			continue
		}
		if err := w.recorded(m, r); err != nil {
			return w.fail(r.path, err)
		}
	}
	for _, m := range w.members {
		if !listed[m.name] && !w.unhashed(m.name) {
			w.note(finding.WheelRecord, m.name, "RECORD does not list it")
			if m.sum, err = m.digest(w.file); err != nil {
				return w.fail(m.name, err)
			}
		}
	}
	return nil
}

// tidyRecord puts right what is odd about a RECORD, though clear: paths that are not clean, and files that have several
// rows. Two different hashes of one file are an error.
func (w *Wheel) tidyRecord(rows []row) ([]row, error) {
	var out []row
	at := make(map[string]int, len(rows))
	for _, r := range rows {
		if w.byName[r.path] == nil {
			r.path = tidyPath(r.path)
		}
		i, ok := at[r.path]
		if !ok {
			at[r.path] = len(out)
			out = append(out, r)
			continue
		}
		old := out[i]
		if old.hash != "" && r.hash != "" && old.hash != r.hash {
			return nil, fmt.Errorf("%s is listed twice, with different hashes", r.path)
		}
		w.note(finding.WheelRecord, r.path, "RECORD lists it twice")
		if old.hash == "" {
			out[i] = r
		}
	}
	return out, nil
}

// tidyPath is a path without what means nothing: "./", "//", and backslashes, which wheels that were made on Windows by old
// tools have.
func tidyPath(p string) string {
	clean := strings.ReplaceAll(p, "\\", "/")
	if clean == "" || clean[0] == '/' || slices.Contains(strings.Split(clean, "/"), "..") {
		return p // not for us to decide what it was meant to be
	}
	return path.Clean(clean)
}

// unhashed says which files have no hash: RECORD cannot have its own, and the signatures sign it.
func (w *Wheel) unhashed(path string) bool {
	file, ok := strings.CutPrefix(path, w.distInfo+"/")
	return ok && (file == "RECORD" || file == "RECORD.jws" || file == "RECORD.p7s")
}

// recorded takes over a row's hash, or finds the file's own where the row has none that can be used.
func (w *Wheel) recorded(m *member, r row) error {
	var err error
	if m.sum, err = r.sum(); err != nil {
		w.note(finding.WheelRecord, r.path, "RECORD has no usable hash of it: "+err.Error())
		if m.sum, err = m.digest(w.file); err != nil {
			return err
		}
	}
	if r.size != "" && r.size != strconv.FormatInt(m.size, 10) {
		w.note(finding.WheelRecord, r.path, fmt.Sprintf("it has %d bytes, not %s as RECORD says", m.size, r.size))
	}
	if m.size == 0 { // nobody reads it, so it is checked here
		if m.crc != 0 {
			return errors.New("it is empty, but its CRC-32 is not")
		}
		return m.check(nil)
	}
	return nil
}
