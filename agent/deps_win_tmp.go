//go:build windows
package agent
import (
 _ "github.com/Microsoft/go-winio"
 _ "golang.org/x/sys/windows"
)
