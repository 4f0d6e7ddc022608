package uplink

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestBackOffGrowsAndStaysBounded(t *testing.T) {
	for attempt := range 100 {
		for range 50 {
			w := backoff(attempt)
			if w < backoffMin/2 || w > backoffMax+backoffMin/2 {
				t.Fatalf("attempt %d waits %s", attempt, w)
			}
			if attempt == 0 && w > 3*backoffMin {
				t.Fatalf("the first attempt waits %s", w)
			}
		}
	}
	var long time.Duration
	for range 200 {
		long = max(long, backoff(20))
	}
	if long < backoffMax/2 {
		t.Errorf("the longest of many waits is %s: there is no jitter up to %s", long, backoffMax)
	}
}

func TestBytesReadAheadAreNotLost(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		io.WriteString(b, "HTTP/1.1 101 x\r\n\r\nfirst")
		io.WriteString(b, "second")
		b.Close()
	}()
	r := bufio.NewReaderSize(a, 64)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	got, err := io.ReadAll(&upgraded{Conn: a, r: r})
	if err != nil || string(got) != "firstsecond" {
		t.Errorf("got %q, %v", got, err)
	}
}
