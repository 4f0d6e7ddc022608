package desktop

import "time"

// flow decides how much may be under way to one viewer. Updates are answered by
// fences; from the answers it learns the line's round trip and rate, and keeps
// little more under way than the line holds, so that a new change never queues
// behind old pictures.
type flow struct {
	seq    uint32
	marks  []mark // under way, oldest first
	under  int    // bytes under way
	rtt    time.Duration
	rttAt  time.Time
	rate   float64 // bytes a second; 0 until learnt
	rateAt time.Time
	done   int64 // bytes answered for
	doneAt time.Time
	frame  float64 // mean bytes of an update
}

type mark struct {
	seq     uint32
	bytes   int
	at      time.Time
	done    int64 // flow.done when it was sent
	doneAt  time.Time
	limited bool // the line was empty: the rate it shows may be too low
}

const (
	rttLives  = 10 * time.Second
	rateLives = 5 * time.Second
	minWindow = 16 << 10
	maxMarks  = 256
)

// sent notes n bytes sent, to be answered by a fence with the returned number. n 0 is a probe.
func (f *flow) sent(now time.Time, n int) uint32 {
	f.seq++
	if f.under == 0 {
		f.doneAt = now
	}
	if len(f.marks) == maxMarks { // a viewer that answers nothing
		f.under -= f.marks[0].bytes
		f.marks = append(f.marks[:0], f.marks[1:]...)
	}
	f.marks = append(f.marks, mark{f.seq, n, now, f.done, f.doneAt, f.under == 0})
	f.under += n
	if n > 0 {
		f.frame += (float64(n) - f.frame) / 8
	}
	return f.seq
}

// answered notes the answer to a fence; numbers never sent are ignored.
func (f *flow) answered(now time.Time, seq uint32) {
	n := 0
	for n < len(f.marks) && int32(f.marks[n].seq-seq) <= 0 {
		n++
	}
	if n == 0 || f.marks[n-1].seq != seq {
		return
	}
	for _, m := range f.marks[:n] {
		f.under -= m.bytes
		f.done += int64(m.bytes)
	}
	m := f.marks[n-1]
	f.marks = append(f.marks[:0], f.marks[n:]...)
	f.doneAt = now
	trip := now.Sub(m.at)
	if m.limited && m.bytes < 2048 || f.rtt == 0 {
		if trip < f.rtt || f.rtt == 0 || now.Sub(f.rttAt) > rttLives {
			f.rtt, f.rttAt = trip, now
		}
	}
	took := now.Sub(m.doneAt)
	if m.limited {
		took -= f.rtt
	}
	took = max(took, 100*time.Microsecond)
	if bytes := f.done - m.done; bytes >= 4096 {
		rate := float64(bytes) / took.Seconds()
		if rate > f.rate || now.Sub(f.rateAt) > rateLives || !m.limited && rate > f.rate/2 {
			if f.rate > 0 && rate < f.rate { // forget slowly
				rate = f.rate*0.75 + rate*0.25
			}
			f.rate, f.rateAt = rate, now
		}
	}
}

// open reports whether another update may be sent now.
func (f *flow) open(now time.Time) bool {
	if f.under == 0 {
		return true
	}
	if f.rate == 0 || f.rtt == 0 || now.Sub(f.rttAt) > rttLives && f.under > 2048 {
		return false // the first picture, or time to see the line empty
	}
	return float64(f.under) < f.window()
}

func (f *flow) window() float64 {
	return max(minWindow, f.rate*f.rtt.Seconds()+f.frame/2)
}
