package tray

// Blind is the face of a session without a tray: nothing is shown and nothing chosen there.
type Blind struct{}

// Apply implements Face.
func (Blind) Apply(View) {}

// Clicks implements Face.
func (Blind) Clicks() <-chan string { return nil }
