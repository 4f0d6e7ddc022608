package rfb

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestMessagesOfAViewer(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want any
	}{
		{"encodings", []byte{2, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0xfe, 0xc8}, SetEncodings{[]int32{EncTight, EncFence}}},
		{"request", []byte{3, 1, 0, 1, 0, 2, 0, 3, 0, 4}, UpdateRequest{true, 1, 2, 3, 4}},
		{"key", []byte{4, 1, 0, 0, 0, 0, 0xff, 0x0d}, KeyEvent{true, 0xff0d, 0}},
		{"QEMU key", []byte{255, 0, 0, 1, 0, 0, 0, 'q', 0, 0, 0, 0x10}, KeyEvent{true, 'q', 0x10}},
		{"QEMU key with e0", []byte{255, 0, 0, 0, 0, 0, 0xff, 0x51, 0, 0, 0xe0, 0x4b}, KeyEvent{false, 0xff51, 0xcb}},
		{"QEMU key with a wild scan code", []byte{255, 0, 0, 1, 0, 0, 0, 'q', 0x7f, 0, 0, 0}, KeyEvent{true, 'q', 0}},
		{"pointer", []byte{5, 5, 1, 0, 0, 9}, PointerEvent{256, 9, 5}},
		{"eight buttons", []byte{5, 0x80, 0, 1, 0, 1}, PointerEvent{1, 1, 0x80}},
		{"clipboard", append([]byte{6, 0, 0, 0, 0, 0, 0, 2}, "hi"...), CutText{[]byte("hi")}},
		{"extended clipboard", []byte{6, 0, 0, 0, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4}, CutText{}},
		{"continuous", []byte{150, 1, 0, 0, 0, 0, 0, 9, 0, 8}, EnableContinuous{true, 0, 0, 9, 8}},
		{"fence", []byte{248, 0, 0, 0, 0x80, 0, 0, 1, 2, 7, 8}, Fence{FenceRequest | FenceBlockBefore, []byte{7, 8}}},
		{"desktop size", append([]byte{251, 0, 4, 0, 3, 0, 1, 0}, make([]byte, 16)...), SetDesktopSize{1024, 768}},
	} {
		r := NewReader(bytes.NewReader(append(c.in, 3, 0, 0, 0, 0, 0, 0, 1, 0, 1)))
		got, err := r.Next()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %#v, %v, want %#v", c.name, got, err, c.want)
			continue
		}
		if next, err := r.Next(); err != nil || next != (UpdateRequest{false, 0, 0, 1, 1}) {
			t.Errorf("%s: the message after it became %#v, %v", c.name, next, err)
		}
		if _, err := NewReader(bytes.NewReader(c.in[:len(c.in)-1])).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, cut off: %v", c.name, err)
		}
	}
}

func TestExtendedMouseButtons(t *testing.T) {
	r := NewReader(bytes.NewReader([]byte{2, 0, 0, 1, 0xff, 0xff, 0xfe, 0xc4, 5, 0x81, 0, 1, 0, 2, 3}))
	if m, err := r.Next(); err != nil || m.(SetEncodings).Encodings[0] != EncExtMouseButtons {
		t.Fatal(m, err)
	}
	if m, err := r.Next(); err != nil || m != (PointerEvent{1, 2, 1 | 3<<7}) {
		t.Errorf("got %#v, %v", m, err)
	}
}

func TestHandshake(t *testing.T) {
	for _, c := range []struct{ name, in, err string }{
		{"3.8", "RFB 003.008\n\x01\x01", ""},
		{"3.7", "RFB 003.007\n\x01\x01", ""},
		{"3.3", "RFB 003.003\n\x01", ""},
		{"newer", "RFB 003.889\n\x01\x01", ""},
		{"not RFB", "GET / HTTP/1.1\r\n", "version"},
		{"another security type", "RFB 003.008\n\x02\x01", "security type 2"},
		{"cut off", "RFB 003.0", "read version"},
	} {
		var out bytes.Buffer
		err := Accept(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(c.in), &out}, 1920, 1080, "name")
		if c.err == "" && (err != nil || !bytes.HasSuffix(out.Bytes(), []byte("\x00\x00\x00\x04name"))) {
			t.Errorf("%s: %v, sent %q", c.name, err, out.Bytes())
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.err)
		}
	}
}

func TestUsableFormats(t *testing.T) {
	good := []PixelFormat{Native, {BPP: 16, Depth: 15, TrueColour: true, RMax: 31, GMax: 31, BMax: 31, RShift: 10, GShift: 5}}
	for _, f := range good {
		if err := f.Usable(); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	bad := []PixelFormat{{}, {BPP: 8, Depth: 8}, {BPP: 24, TrueColour: true, RMax: 255, GMax: 255, BMax: 255},
		{BPP: 32, TrueColour: true, RMax: 200, GMax: 255, BMax: 255}, {BPP: 16, TrueColour: true, RMax: 255, GMax: 255, BMax: 255, RShift: 12}}
	for _, f := range bad {
		if err := f.Usable(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// FuzzReader: whatever a viewer sends, reading ends, and never takes more memory
// than the largest message allows.
func FuzzReader(f *testing.F) {
	f.Add([]byte{2, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0xfe, 0xc4, 5, 0x81, 0, 1, 0, 2, 3, 3, 1, 0, 1, 0, 2, 0, 3, 0, 4})
	f.Add([]byte{6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{6, 0, 0, 0, 0x80, 0, 0, 0, 1})
	f.Add([]byte{248, 0, 0, 0, 0x80, 0, 0, 1, 200, 7, 8, 255, 0, 0, 1, 0, 0, 0, 'q', 0, 0, 0xe0, 0x10})
	f.Add([]byte{251, 0, 4, 0, 3, 0, 255, 0, 150, 1, 0, 0, 0, 0, 0, 9, 0, 8, 0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := NewReader(bytes.NewReader(in))
		for n := 0; ; n++ {
			m, err := r.Next()
			if err != nil {
				break
			}
			if k, ok := m.(KeyEvent); ok && k.XT > 0xff {
				t.Fatalf("scan code %#x", k.XT)
			}
			if p, ok := m.(SetPixelFormat); ok && p.Format.Usable() != nil {
				t.Fatalf("format %+v", p.Format)
			}
			if n > len(in) {
				t.Fatal("more messages than bytes")
			}
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > MaxCutText+uint64(len(in))*200+1<<20 {
			t.Fatalf("%d bytes of memory for %d of input", took, len(in))
		}
	})
}
