package desktop

import "unsafe"

// pixels is the shared memory as pixels.
func (s *segment) pixels() []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(&s.mem[0])), len(s.mem)/4)
}
