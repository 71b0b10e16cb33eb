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
	"mlenv/resolve/finding"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A row is a line of RECORD: the hash as "sha256=" and URL-safe base64 without padding, the size in bytes; both are empty
// for RECORD itself and its signatures.
type row struct{ path, hash, size string }

// parseRecord reads a RECORD file, which is CSV as Python's csv module writes it.
func parseRecord(b []byte) ([]row, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	r.FieldsPerRecord = -1
	var rows []row
	for {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if len(fields) > 3 {
			return nil, fmt.Errorf("line %d: more than three fields", line)
		}
		if strings.ContainsAny(strings.Join(fields, ""), "\r\n\x00") {
			return nil, fmt.Errorf("line %d: a field with a line end", line)
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

// readRecord reads RECORD and gives every member its hash. "Apart from RECORD and its signatures, installation will fail
// if any file in the archive is not both mentioned and correctly hashed in RECORD."
func (w *Wheel) readRecord() error {
	name := w.distInfo + "/RECORD"
	b, err := w.small(name, maxRecord)
	if err != nil {
		return err
	}
	rows, err := parseRecord(b)
	if err == nil {
		rows, err = w.tidyRecord(rows)
	}
	if err != nil {
		return w.fail(name, err)
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
		if err := m.recorded(r); err != nil {
			return w.fail(r.path, err)
		}
	}
	for _, m := range w.members {
		if !listed[m.name] && !w.unhashed(m.name) {
			return w.fail(m.name, errors.New("RECORD does not list it"))
		}
	}
	return nil
}

// tidyRecord puts right what is odd about a RECORD, though clear: paths that begin with "./", and rows that are there
// twice. Two rows that say different things of one file are an error.
func (w *Wheel) tidyRecord(rows []row) ([]row, error) {
	var out []row
	seen := make(map[string]row, len(rows))
	for _, r := range rows {
		r.path = strings.TrimPrefix(r.path, "./")
		old, ok := seen[r.path]
		switch {
		case !ok:
			seen[r.path] = r
			out = append(out, r)
		case old != r:
			return nil, fmt.Errorf("%s is listed twice, with different hashes or sizes", r.path)
		default:
			w.note(finding.WheelRecord, r.path, "RECORD lists it twice")
		}
	}
	return out, nil
}

// unhashed says which files have no hash: RECORD cannot have its own, and the signatures sign it.
func (w *Wheel) unhashed(path string) bool {
	file, ok := strings.CutPrefix(path, w.distInfo+"/")
	return ok && (file == "RECORD" || file == "RECORD.jws" || file == "RECORD.p7s")
}

func (m *member) recorded(r row) error {
	var err error
	if m.sum, err = r.sum(); err != nil {
		return fmt.Errorf("RECORD: %w", err)
	}
	if r.size != "" && r.size != strconv.FormatInt(m.size, 10) {
		return fmt.Errorf("it has %d bytes, not %s as RECORD says", m.size, r.size)
	}
	if m.size == 0 { // nobody reads it, so it is checked here
		if m.crc != 0 {
			return errors.New("it is empty, but its CRC-32 is not")
		}
		return m.check(nil)
	}
	return nil
}
