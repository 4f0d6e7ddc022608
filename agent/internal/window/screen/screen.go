// Package screen takes a picture of the user's own screen, and one from the clipboard, for the
// assistance request form. It runs as that user, asks nobody and keeps nothing; what is done with
// the picture is the form's business. Where a platform has no implementation, Here and Clipboard
// report so beforehand, and the form does not offer it.
package screen

import "errors"

// maxPicture bounds a picture from the clipboard, in bytes.
const maxPicture = 64 << 20

// errNone says that the clipboard holds no picture.
var errNone = errors.New("no picture in the clipboard")
