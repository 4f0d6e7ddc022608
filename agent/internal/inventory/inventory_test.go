package inventory

import (
	"context"
	"testing"

	"github.com/traybell/traybell/shared/link"
)

func TestMachineIDIsAStableHash(t *testing.T) {
	a, err := MachineID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	b, err := MachineID(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if a != b || len(a) != 64 {
		t.Errorf("got %q and %q, want one SHA-256", a, b)
	}
}

func TestFactsNameThisComputer(t *testing.T) {
	f := Facts(context.Background(), "m", t.TempDir())
	if f.Hostname == "" || f.OSName == "" || f.CPUs == 0 || f.MemoryMB == 0 || f.DiskMB == 0 {
		t.Errorf("something is missing: %+v", f)
	}
}

func TestTraysAndSeatsBecomePeople(t *testing.T) {
	for _, tt := range []struct {
		name         string
		seats, trays []Seat
		want         []link.User
	}{
		{"nobody", nil, nil, nil},
		{"a tray without logind is a person who is there", nil,
			[]Seat{{UserID: "4001", User: "lucia", Display: ":150", Desktop: "x11"}},
			[]link.User{{ID: "4001", Name: "lucia", State: Active, Desktop: "x11"}}},
		{"a locked session locks its tray",
			[]Seat{{UserID: "4001", User: "lucia", Session: "2", Desktop: "x11", Display: ":0", State: Locked, Since: 7}},
			[]Seat{{UserID: "4001", User: "lucia", Session: "2", Display: ":0", Desktop: "x11"}},
			[]link.User{{ID: "4001", Name: "lucia", State: Locked, Since: 7, Desktop: "x11"}}},
		{"a tray that names no session takes the only graphical one",
			[]Seat{{UserID: "4001", User: "lucia", Session: "2", Desktop: "x11", Display: ":0", State: Away}, {UserID: "4001", User: "lucia", Session: "3", State: Text, Desktop: "none"}},
			[]Seat{{UserID: "4001", User: "lucia", Display: ":0", Desktop: "x11"}},
			[]link.User{{ID: "4001", Name: "lucia", State: Away, Desktop: "x11"}}},
		{"two people stay two",
			nil,
			[]Seat{{UserID: "4001", User: "lucia", Display: ":1", Desktop: "x11"}, {UserID: "4002", User: "carla", Display: ":2", Desktop: "x11"}},
			[]link.User{{ID: "4001", Name: "lucia", State: Active, Desktop: "x11"}, {ID: "4002", Name: "carla", State: Active, Desktop: "x11"}}},
		{"a shell is no desktop",
			[]Seat{{UserID: "4001", User: "lucia", State: Text, Desktop: "none"}}, nil,
			[]link.User{{ID: "4001", Name: "lucia", State: Text, Desktop: "none"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := People(Merge(tt.seats, tt.trays))
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("got %+v, want %+v", got[i], tt.want[i])
				}
			}
		})
	}
}
