package pylock

import "github.com/pelletier/go-toml/v2/unstable"

// locate finds the line of a key of the pkg-th package (-1: of the file itself), or of what
// holds it; 0 if neither is there.
func locate(data []byte, pkg int, key string) int {
	p := unstable.Parser{}
	p.Reset(data)
	line, current := 0, -1
	top := true
	for p.NextExpression() {
		e := p.Expression()
		keys := e.Key()
		if !keys.Next() {
			continue
		}
		at := p.Shape(keys.Node().Raw).Start.Line
		first := string(keys.Node().Data)
		switch e.Kind {
		case unstable.ArrayTable:
			top = false
			if first == "packages" && !keys.Next() {
				current++
				if current == pkg {
					line = at
				}
			} else if current == pkg && pkg >= 0 && first == "packages" && string(keys.Node().Data) == key {
				return at
			}
		case unstable.Table:
			top = false
			if pkg >= 0 && current == pkg && first == "packages" && keys.Next() && string(keys.Node().Data) == key {
				return at
			}
		case unstable.KeyValue:
			if first == key && (pkg < 0 && top || pkg >= 0 && current == pkg) {
				return at
			}
		}
	}
	return line
}
