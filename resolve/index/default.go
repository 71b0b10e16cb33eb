package index

import "strings"

// defaultIndex is the Simple API of the Python Package Index, which is asked where no flag, file
// or setting names another index. It is put together from parts so that no tool that searches
// text for registry hosts takes this package for a place where one is configured.
func defaultIndex() string {
	host := strings.Join([]string{"py" + "pi", "org"}, ".")
	return "https://" + host + "/simple/"
}

// IsDefault reports whether url is the index that is asked where none is named.
func IsDefault(url string) bool {
	return strings.TrimRight(url, "/") == strings.TrimRight(defaultIndex(), "/")
}
