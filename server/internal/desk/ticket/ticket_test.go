package ticket_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const dev = device.ID("01a20281-b491-75ae-aea0-5b4d6f381fd0")

type fixture struct {
	*deskticket.Tickets
	s     *store.Store
	tech  desk.Actor
	lucia desk.Actor
	blobs string
}

func setup(t testing.TB, s *store.Store) *fixture {
	t.Helper()
	f := &fixture{s: s, blobs: filepath.Join(t.TempDir(), "blobs")}
	blobs, err := blob.Open(f.blobs)
	if err != nil {
		t.Fatal(err)
	}
	o := desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler)}
	f.Tickets = deskticket.New(deskticket.Options{Options: o, Blobs: blobs})
	f.LimitDevices(1 << 20)
	if err := s.Write(t.Context(), func(tx store.Tx) error {
		if err := tx.InsertOrganization(account.Organization{ID: "o1", Name: "Studio Verdi", Provider: true}); err != nil {
			return err
		}
		for _, a := range []account.Account{{ID: "tech", Email: "t@x.it", Name: "Anna Bianchi", Role: account.Technician}, {ID: "lucia", Email: "lucia@x.it", Name: "Lucia", Role: account.Requester}} {
			a.Organization, a.Language, a.Password = "o1", "it", "x"
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
		}
		return tx.InsertDevice(device.Device{ID: dev, Organization: "o1", Name: "PC-114", LinkKey: make(ed25519.PublicKey, 32), GrantKey: make(ed25519.PublicKey, 32), Facts: link.Facts{Hostname: "PC-114"}})
	}); err != nil {
		t.Fatal(err)
	}
	f.tech = desk.Of(account.Account{ID: "tech", Organization: "o1", Name: "Anna Bianchi", Role: account.Technician, Language: "en"}, desk.ViaPortal, "")
	f.lucia = desk.Of(account.Account{ID: "lucia", Organization: "o1", Name: "Lucia", Role: account.Requester, Language: "it"}, desk.ViaPortal, "")
	return f
}

func filed(title string) api.DeviceTicket {
	return api.DeviceTicket{ID: api.NewID(time.Now()), Title: title, Text: "It prints blank pages, all of them, since this morning.", Answers: api.Answers{Working: "no", Affected: "several"}, Email: "Lucia@StudioVerdi.it", Name: "Lucia Rossi",
		OSUser: "lucia", OSUserID: "1000", Language: "de", MadeAt: 1, Facts: []api.Fact{{Name: "computer", Value: "PC-114"}}}
}

func TestFiledTicketSaysWhereItComesFrom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		got, err := f.FileFromDevice(t.Context(), dev, filed("Drucker"))
		if err != nil || got.Subject != "Hilfeanfrage von Studio Verdi / Drucker" {
			t.Fatalf("%+v %v", got, err)
		}
		v, err := f.ByNumber(t.Context(), f.tech, got.Number)
		if err != nil {
			t.Fatal(err)
		}
		k := v.Ticket
		if k.Title != "Drucker" || k.Severity != api.Critical || k.Status != ticket.New || k.Requester.Email != "lucia@studioverdi.it" || k.Requester.Confirmed || k.Requester.Account != "" || v.Device == nil || v.Device.Name != "PC-114" {
			t.Errorf("%+v", v)
		}
	})
}

// TestTypedAddressIsAClaim: an address typed at a device opens nothing to the account that has it.
func TestTypedAddressIsAClaim(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	in := filed("x")
	in.Email = "lucia@x.it"
	got, err := f.FileFromDevice(t.Context(), dev, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ByNumber(t.Context(), f.lucia, got.Number); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRemovedDeviceFilesNothing(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	if err := f.s.Write(t.Context(), func(tx store.Tx) error {
		d, err := tx.Device(dev)
		if err != nil {
			return err
		}
		d.RemovedAt = time.Now()
		return tx.SaveDevice(d)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.FileFromDevice(t.Context(), dev, filed("x")); !errors.Is(err, device.ErrRemoved) || !errors.Is(err, desk.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

func TestThread(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		k, err := f.Create(t.Context(), f.lucia, deskticket.Draft{Title: "Telefono", Text: "Non suona"})
		if err != nil || k.Subject != "Richiesta da Studio Verdi / Telefono" || !k.Requester.Confirmed {
			t.Fatal(k, err)
		}
		if err := f.Take(t.Context(), f.tech, k.ID); err != nil {
			t.Fatal(err)
		}
		picture, err := f.Attach(t.Context(), f.tech, k.ID, "../a.png", "image/png", strings.NewReader("png"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Note(t.Context(), f.tech, k.ID, "The cable, I think", picture.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Answer(t.Context(), f.tech, k.ID, "Again with that file", picture.ID); !errors.Is(err, desk.ErrConflict) {
			t.Errorf("a file belongs to two messages: %v", err)
		}
		if err := f.ChangeStatus(t.Context(), f.tech, k.ID, ticket.Waiting, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Answer(t.Context(), f.lucia, k.ID, "Ora sì"); err != nil {
			t.Fatal(err)
		}
		if err := f.ChangeStatus(t.Context(), f.lucia, k.ID, ticket.Resolved, ""); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("the requester resolves: %v", err)
		}
		if err := f.ChangeStatus(t.Context(), f.lucia, k.ID, ticket.Closed, ""); err != nil {
			t.Fatal(err)
		}
		mine, err := f.Get(t.Context(), f.lucia, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := f.Get(t.Context(), f.tech, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		thread := func(v deskticket.View) (list []string) {
			for _, m := range v.Messages {
				list = append(list, string(m.Kind)+" "+m.Text)
			}
			return list
		}
		public := []string{"event assigned Anna Bianchi", "event status waiting", "message Ora sì", "event status open", "event status closed"}
		internal := []string{public[0], "note The cable, I think", public[1], public[2], public[3], public[4]}
		if got := thread(mine); fmt.Sprint(got) != fmt.Sprint(public) {
			t.Errorf("the requester reads %q", got)
		}
		if got := thread(theirs); fmt.Sprint(got) != fmt.Sprint(internal) {
			t.Errorf("the technician reads %q", got)
		}
		if _, _, err := f.OpenFile(t.Context(), f.lucia, picture.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("the requester opens a note's file: %v", err)
		}
		_, r, err := f.OpenFile(t.Context(), f.tech, picture.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, _ := io.ReadAll(r); string(b) != "png" {
			t.Errorf("got %q", b)
		}
		if theirs.Ticket.Status != ticket.Closed || len(mine.Moves) != 1 || mine.Moves[0] != ticket.Open || mine.Staff != nil || len(theirs.Staff) != 1 {
			t.Errorf("%+v", theirs)
		}
	})
}

func TestForACaller(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	k, err := f.Create(t.Context(), f.tech, deskticket.Draft{Title: "Help by phone", For: &ticket.Contact{Email: "lucia@x.it"}, Source: ticket.FromPhone})
	if err != nil || k.Requester.Account != "lucia" || k.Requester.Name != "Lucia" || !k.Requester.Confirmed {
		t.Errorf("%+v %v", k, err)
	}
	if _, err := f.Create(t.Context(), f.lucia, deskticket.Draft{Title: "x", For: &ticket.Contact{Email: "t@x.it"}}); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("a requester files for somebody else: %v", err)
	}
	if l, err := f.List(t.Context(), f.lucia, deskticket.Filter{}); err != nil || l.Total != 1 {
		t.Errorf("%+v %v", l, err)
	}
}

// TestWriteThatCanNotBeKeptSaysSo takes the blobs' folder away in the middle.
func TestFileThatCanNotBeKeptSaysSo(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	in := filed("x")
	data := []byte("data")
	sum := sha256.Sum256(data)
	in.Files = []api.TicketFile{{Name: "a", Size: int64(len(data)), SHA256: sum[:]}}
	if _, err := f.FileFromDevice(t.Context(), dev, in); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(f.blobs); err != nil {
		t.Fatal(err)
	}
	err := f.PutDeviceFile(t.Context(), dev, ticket.ID(in.ID), 0, bytes.NewReader(data))
	if !errors.Is(err, desk.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	got, err := f.FiledFromDevice(t.Context(), dev, ticket.ID(in.ID))
	if err != nil || len(got.Missing) != 1 {
		t.Errorf("a file that is not kept counts as arrived: %+v %v", got, err)
	}
	if err := f.PutDeviceFile(t.Context(), dev, ticket.ID(in.ID), 1, bytes.NewReader(data)); !errors.Is(err, desk.ErrNotFound) {
		t.Errorf("a file that was not announced: %v", err)
	}
}

// TestConcurrentChangesLoseNothing lets many people write to one ticket at once.
func TestConcurrentChangesLoseNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		k, err := f.Create(t.Context(), f.lucia, deskticket.Draft{Title: "Busy"})
		if err != nil {
			t.Fatal(err)
		}
		var kept atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for range 5 {
					_, err := f.Answer(context.Background(), f.tech, k.ID, fmt.Sprintf("answer %d", i))
					if err == nil {
						kept.Add(1)
					} else if !errors.Is(err, desk.ErrConflict) { // tried again several times
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		v, err := f.Get(t.Context(), f.tech, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for _, m := range v.Messages {
			if m.Kind == ticket.Public {
				n++
			}
		}
		if n != kept.Load() || n == 0 {
			t.Errorf("%d answers are there, %d were confirmed", n, kept.Load())
		}
		t.Logf("%d of 40 were kept at once", n)
	})
}

// BenchmarkFile measures durable ticket creations through the use case: ticket, search index, audit row,
// all of it on the disk when the call returns. The disk's own rate is measured beside it, on the same folder.
//
//	go test ./internal/desk/ticket -run xxx -bench File -benchtime 3s
func BenchmarkFile(b *testing.B) {
	b.Run("disk", func(b *testing.B) {
		file, err := os.Create(filepath.Join(b.TempDir(), "x"))
		if err != nil {
			b.Fatal(err)
		}
		defer file.Close()
		page := make([]byte, 4096)
		for b.Loop() {
			if _, err := file.Write(page); err != nil {
				b.Fatal(err)
			}
			if err := file.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
	})
	for _, engine := range []struct {
		name string
		open func(testing.TB) *store.Store
	}{{"sqlite", storetest.SQLite}} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s-%d", engine.name, callers), func(b *testing.B) {
				f := setup(b, engine.open(b))
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if _, err := f.FileFromDevice(context.Background(), dev, filed("Printer prints blank pages")); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tickets/s")
			})
		}
	}
}
