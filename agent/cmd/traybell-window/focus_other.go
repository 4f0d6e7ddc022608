//go:build !linux

package main

import "fyne.io/fyne/v2"

// leaveFocus adds nothing to GLFW's own hint here.
func leaveFocus(fyne.Window) {}
