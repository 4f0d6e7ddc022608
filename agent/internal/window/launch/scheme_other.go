//go:build !linux

package launch

// Scheme is empty: the toolkit follows the desktop by itself here.
func Scheme() string { return "" }
