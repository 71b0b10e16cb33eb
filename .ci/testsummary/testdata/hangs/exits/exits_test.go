// Package exits has a test that ends its process.
package exits

import (
	"fmt"
	"os"
	"testing"
)

func TestExits(t *testing.T) {
	fmt.Println("no way to go on")
	os.Exit(3)
}
