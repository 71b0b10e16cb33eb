package pylock

import (
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"
)

// locate returns the line of a key in the pkg-th package, at the top of the file (ofFile) or in
// mlenv's own table (ofTool). If the key is missing, it returns the line of the package or table;
// if that is missing too, 0.
func locate(data []byte, pkg int, key string) int {
	p := unstable.Parser{}
	p.Reset(data)
	line, current := 0, -1
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		path, at := keys(&p, e)
		switch {
		case len(path) == 0:
			continue
		case e.Kind == unstable.ArrayTable && slices.Equal(path, []string{"packages"}):
			current++
		}
		if e.Kind == unstable.KeyValue {
			path = slices.Concat(table, path)
		} else {
			table = path
		}
		// A key below [[packages]] belongs to the last package started.
		inside := path[0] == "packages" && current == pkg && pkg >= 0
		switch {
		case pkg == ofFile && path[0] == key:
			return at
		case pkg == ofTool && hasPrefix(path, "tool", "mlenv", key), inside && len(path) > 1 && path[1] == key:
			return at
		case line == 0 && (inside || pkg == ofTool && hasPrefix(path, "tool", "mlenv")):
			line = at
		}
	}
	return line
}

// keys returns the parts of the dotted key of an expression, and its line.
func keys(p *unstable.Parser, e *unstable.Node) (path []string, line int) {
	k := e.Key()
	for k.Next() {
		if line == 0 {
			line = p.Shape(k.Node().Raw).Start.Line
		}
		path = append(path, string(k.Node().Data))
	}
	return path, line
}

func hasPrefix(path []string, with ...string) bool {
	return len(path) >= len(with) && slices.Equal(path[:len(with)], with)
}
