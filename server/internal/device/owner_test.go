package device_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/device"
)

// Every state × every act, twice by whom it may be.
func TestLinkOfAnOwner(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	here := device.Device{ID: "d1", Organization: "o1", Name: "PC-114"}
	asked := device.Owner{ID: "w1", Account: "a1", Organization: "o1", AskedAt: now}
	claimed, err := asked.Claim(here, "1001", "lucia", now.Add(time.Minute))
	if err != nil || claimed.State(now.Add(2*time.Minute)) != device.OwnerClaimed || claimed.DeviceName != "PC-114" {
		t.Fatalf("claimed: %+v, %v", claimed, err)
	}
	linked, err := claimed.Confirm(now.Add(2 * time.Minute))
	if err != nil || linked.State(now.Add(1000*time.Hour)) != device.OwnerLinked {
		t.Fatalf("linked: %+v, %v", linked, err)
	}
	ended := linked.End(now.Add(time.Hour))
	soon, late := now.Add(3*time.Minute), now.Add(time.Hour)
	for _, tt := range []struct {
		name  string
		from  device.Owner
		now   time.Time
		act   func(device.Owner, time.Time) (device.Owner, error)
		want  error
		state device.OwnerState
	}{
		{"confirmed before anybody entered the code", asked, soon, device.Owner.Confirm, device.ErrNotClaimed, device.OwnerAsked},
		{"an old code", asked, late, claim(here, "1001"), device.ErrCode, device.OwnerOver},
		{"the same person again", claimed, soon, claim(here, "1001"), nil, device.OwnerClaimed},
		{"another user of the computer", claimed, soon, claim(here, "1002"), device.ErrCodeUsed, device.OwnerClaimed},
		{"another computer", claimed, soon, claim(device.Device{ID: "d2", Organization: "o1"}, "1001"), device.ErrCodeUsed, device.OwnerClaimed},
		{"a computer of another organization", asked, soon, claim(device.Device{ID: "d3", Organization: "o2"}, "1001"), device.ErrElsewhere, device.OwnerAsked},
		{"nobody", asked, soon, claim(here, ""), device.ErrCode, device.OwnerAsked},
		{"confirmed too late", claimed, late, device.Owner.Confirm, device.ErrCode, device.OwnerOver},
		{"confirmed twice", linked, late, device.Owner.Confirm, nil, device.OwnerLinked},
		{"ended, then entered", ended, late, claim(here, "1001"), device.ErrCode, device.OwnerOver},
		{"ended, then confirmed", ended, late, device.Owner.Confirm, device.ErrCode, device.OwnerOver},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.act(tt.from, tt.now)
			if !errors.Is(err, tt.want) || err == nil && tt.want != nil {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if s := got.State(tt.now); s != tt.state {
				t.Errorf("is %s, want %s", s, tt.state)
			}
		})
	}
}

func claim(d device.Device, user string) func(device.Owner, time.Time) (device.Owner, error) {
	return func(o device.Owner, now time.Time) (device.Owner, error) { return o.Claim(d, user, user, now) }
}

func TestCodesCanBeTyped(t *testing.T) {
	a, b := device.NewCode(), device.NewCode()
	if a == b || !regexp.MustCompile(`^[2-9A-HJKMNP-TV-Z]{5}-[2-9A-HJKMNP-TV-Z]{5}$`).MatchString(a) {
		t.Errorf("codes %q and %q", a, b)
	}
	if device.HashCode("k7qmx-2xfdp") != device.HashCode(" K7QM X2XFDP ") || device.HashCode(a) == device.HashCode(b) {
		t.Error("a code as it is typed is not the code as it is shown")
	}
}
