package desktop

import (
	"testing"
	"time"
)

// line simulates a line of a rate in bytes a second and a round trip, with a queue without end.
type line struct {
	rate float64
	rtt  time.Duration
	free time.Time // when all that was sent has left
}

func (l *line) answerAt(now time.Time, n int) time.Time {
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
	return l.free.Add(l.rtt)
}

func TestWindowFollowsTheLine(t *testing.T) {
	for _, c := range []struct {
		name string
		line line
	}{
		{"5 Mbit/s, 40 ms", line{rate: 625_000, rtt: 40 * time.Millisecond}},
		{"1 Mbit/s, 100 ms", line{rate: 125_000, rtt: 100 * time.Millisecond}},
		{"100 Mbit/s, 10 ms", line{rate: 12_500_000, rtt: 10 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f flow
			l := c.line
			start := time.Unix(1000, 0)
			type answer struct {
				at  time.Time
				seq uint32
			}
			var coming []answer
			now := start
			send := func(n int) {
				coming = append(coming, answer{l.answerAt(now, n), f.sent(now, n)})
			}
			send(0) // the probe
			sent, worst := 0, time.Duration(0)
			const frame = 25_000
			for now.Before(start.Add(8 * time.Second)) {
				now = now.Add(time.Millisecond)
				for len(coming) > 0 && !coming[0].at.After(now) {
					f.answered(coming[0].at, coming[0].seq)
					coming = coming[1:]
				}
				if now.Sub(start) > 200*time.Millisecond && f.open(now) {
					send(frame)
					if now.Sub(start) > 2*time.Second { // once it has learnt the line
						sent += frame
						worst = max(worst, l.free.Sub(now))
					}
				}
			}
			if share := float64(sent) / (6 * l.rate); share < 0.6 {
				t.Errorf("%.0f %% of the line were used", 100*share)
			}
			own := time.Duration(frame / l.rate * float64(time.Second))
			if limit := l.rtt + 3*own; worst > limit {
				t.Errorf("a frame waited %v in the line, want at most %v", worst, limit)
			}
		})
	}
}

func TestFlowIgnoresWrongAnswers(t *testing.T) {
	var f flow
	now := time.Unix(1, 0)
	a := f.sent(now, 1000)
	f.answered(now, a+7)
	f.answered(now, a-1)
	if f.under != 1000 {
		t.Errorf("%d bytes under way, want 1000", f.under)
	}
	f.answered(now.Add(time.Millisecond), a)
	f.answered(now.Add(time.Millisecond), a)
	if f.under != 0 || !f.open(now) {
		t.Errorf("%d bytes under way after the answer", f.under)
	}
	for range 10 * maxMarks {
		f.sent(now, 10)
	}
	if len(f.marks) > maxMarks {
		t.Errorf("%d marks are kept for a viewer that answers nothing", len(f.marks))
	}
}
