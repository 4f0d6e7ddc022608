// Package outbox keeps what an employee has filed until the server has it, and tells the truth about
// it: sent, kept on this computer, or neither.
//
// A ticket is kept when its row is committed and its files are flushed, folder included; only then
// File returns. Sending is idempotent by the ticket's id and each file's index, so that a crash, a
// lost answer or a second try never makes a second ticket. The ticket goes first, its files follow.
// A disk that is full keeps nothing: no row, no file, ErrDiskFull. The local API calls it; the service
// runs Run beside it and kicks it when the link comes up.
package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/agent/internal/apiclient"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
)

// MaxBytes bounds the files of one ticket.
const MaxBytes = 200 << 20

// maxStaged bounds the files of an OS user's other forms that were not sent yet.
const maxStaged = 2 * MaxBytes

// Errors of PutFile and File. The texts are for logs; the local API has sentences for people.
var (
	ErrDiskFull = errors.New("the disk is full")
	ErrConflict = errors.New("this id was used for something else")
	ErrTooLarge = errors.New("the files of a ticket are limited to 200 MB")
	ErrTooMany  = errors.New("a ticket has at most 50 files")
	ErrMissing  = errors.New("a file has not been handed over")
	ErrNotFound = errors.New("no such ticket")
)

// InvalidError names the field of a form that can't be accepted.
type InvalidError struct{ Field string }

// Error implements error.
func (e InvalidError) Error() string { return "invalid " + e.Field }

// The states of a ticket.
const (
	Kept    = "kept"
	Sent    = "sent"
	Refused = "refused" // by the server, for good; the text stays here
)

// states of a file
const (
	fileStaged  = "staged"  // durable, its ticket not filed yet
	fileKept    = "kept"    // belongs to a filed ticket
	fileSent    = "sent"    // the server has it
	fileRefused = "refused" // by the server, for good
)

// Person is the OS user who files, as the kernel told it.
type Person struct{ ID, Name string }

// Form is what a person filed.
type Form struct {
	ID       string
	Title    string
	Text     string
	Category string
	Severity api.Severity
	Answers  api.Answers
	Email    string
	Name     string
	Phone    string
	Language string
	Facts    []api.Fact
	Files    int
	Help     string
}

// Item is a filed ticket.
type Item struct {
	ID       string
	UserID   string
	User     string
	Title    string
	Email    string
	State    string
	Number   int64
	Status   string // at the server, as last told
	Pending  int    // files not sent yet
	Code     string // of a refusal
	Reason   string
	Answered string
	Help     string
	MadeAt   int64
}

// Options of New.
type Options struct {
	DB      *sql.DB
	Dir     string // folder of staged files
	Client  func() *apiclient.Client
	Ready   func() bool      // the link is up and its token valid
	Changed func(Item)       // called after a ticket's state has moved; must not block
	Expired func()           // the server no longer takes the token
	Now     func() time.Time // wall clock
	Logger  *slog.Logger
}

// Outbox is a device's outbox.
type Outbox struct {
	o    Options
	kick chan struct{}

	mu      sync.Mutex
	waiters map[string][]chan struct{} // by ticket
}

// New makes an outbox on an open database and drops what an interrupted hand-over left behind.
func New(ctx context.Context, o Options) (*Outbox, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make outbox folder: %w", err)
	}
	b := &Outbox{o: o, kick: make(chan struct{}, 1), waiters: map[string][]chan struct{}{}}
	if err := b.sweep(ctx); err != nil {
		return nil, fmt.Errorf("sweep outbox: %w", err)
	}
	return b, nil
}

// Kick makes Run look at once: something was filed, or the link came up.
func (b *Outbox) Kick() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

func (b *Outbox) folder(ticket string) string { return filepath.Join(b.o.Dir, ticket) }
func (b *Outbox) path(ticket string, index int) string {
	return filepath.Join(b.folder(ticket), strconv.Itoa(index))
}

// PutFile keeps one file of a ticket that is about to be filed. The same bytes again are accepted,
// other bytes replace it until the ticket is filed.
func (b *Outbox) PutFile(ctx context.Context, who Person, ticket string, index int, name, contentType string, r io.Reader) (err error) {
	if !api.ValidID(ticket) {
		return InvalidError{"id"}
	}
	if index < 0 || index >= api.MaxFiles {
		return ErrTooMany
	}
	name = CleanFileName(name)
	if name == "" {
		return InvalidError{"file name"}
	}
	if len(contentType) > 200 || strings.ContainsFunc(contentType, unicode.IsControl) {
		contentType = "application/octet-stream"
	}
	others, err := b.sizeOfOthers(ctx, who, ticket, index)
	if err != nil {
		return err
	}
	dir := b.folder(ticket)
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError("make folder", err)
	}
	tmp, err := os.CreateTemp(dir, "part-*")
	if err != nil {
		return diskError("stage file", err)
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name())
		if err != nil {
			os.Remove(dir) // only if nothing else is in it
		}
	}()
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(tmp, h), io.LimitReader(r, MaxBytes-others+1))
	if err != nil {
		return diskError("stage file", err)
	}
	if others+size > MaxBytes {
		return ErrTooLarge
	}
	if err := tmp.Sync(); err != nil {
		return diskError("flush file", err)
	}
	if err := tmp.Close(); err != nil {
		return diskError("flush file", err)
	}
	sum := h.Sum(nil)
	if done, err := b.alreadyFiled(ctx, ticket, index, sum); err != nil || done {
		return err
	}
	if err := os.Rename(tmp.Name(), b.path(ticket, index)); err != nil {
		return diskError("stage file", err)
	}
	if err := keystore.SyncDir(dir); err != nil {
		return diskError("flush folder", err)
	}
	if statErr != nil {
		if err := keystore.SyncDir(b.o.Dir); err != nil {
			return diskError("flush folder", err)
		}
	}
	err = state.Tx(ctx, b.o.DB, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `insert into file (ticket, idx, os_user_id, name, type, size, sha256, state, staged_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			on conflict (ticket, idx) do update set name = $4, type = $5, size = $6, sha256 = $7, state = $8, staged_at = $9`,
			ticket, index, who.ID, name, contentType, size, sum, fileStaged, b.o.Now().UnixMicro())
		return err
	})
	if err != nil {
		os.Remove(b.path(ticket, index))
		return diskError("stage file", err)
	}
	return nil
}

// sizeOfOthers is the size of the ticket's other files; it is ErrConflict if they are somebody else's.
func (b *Outbox) sizeOfOthers(ctx context.Context, who Person, ticket string, index int) (int64, error) {
	rows, err := b.o.DB.QueryContext(ctx, `select idx, os_user_id, size from file where ticket = $1`, ticket)
	if err != nil {
		return 0, fmt.Errorf("look at files: %w", err)
	}
	defer rows.Close()
	var sum int64
	for rows.Next() {
		var i int
		var owner string
		var size int64
		if err := rows.Scan(&i, &owner, &size); err != nil {
			return 0, err
		}
		if owner != who.ID {
			return 0, ErrConflict
		}
		if i != index {
			sum += size
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if sum > MaxBytes {
		return 0, ErrTooLarge
	}
	rows.Close() // there is one connection
	// Forms that are filled in but not sent must not fill the service's disk.
	var staged int64
	err = b.o.DB.QueryRowContext(ctx, `select coalesce(sum(size), 0) from file where os_user_id = $1 and ticket <> $2 and state = $3`, who.ID, ticket, fileStaged).Scan(&staged)
	if err != nil {
		return 0, fmt.Errorf("look at files: %w", err)
	}
	if staged > maxStaged {
		return 0, ErrTooLarge
	}
	return sum, nil
}

// alreadyFiled reports whether this file belongs to a ticket that was filed: then it can't change.
func (b *Outbox) alreadyFiled(ctx context.Context, ticket string, index int, sum []byte) (bool, error) {
	var n int
	if err := b.o.DB.QueryRowContext(ctx, `select count(*) from ticket where id = $1`, ticket).Scan(&n); err != nil {
		return false, err
	}
	if n == 0 {
		return false, nil
	}
	var have []byte
	err := b.o.DB.QueryRowContext(ctx, `select sha256 from file where ticket = $1 and idx = $2`, ticket, index).Scan(&have)
	if err != nil || !bytes.Equal(have, sum) {
		return false, ErrConflict
	}
	return true, nil
}

// diskError turns an error of writing into ErrDiskFull where that is what it means.
func diskError(what string, err error) error {
	if state.Full(err) {
		return fmt.Errorf("%s: %w", what, ErrDiskFull)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// CleanFileName keeps the last element of a name, without control characters, shortened.
func CleanFileName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name)
	if r := []rune(name); len(r) > api.MaxFileName {
		ext := []rune(filepath.Ext(name))
		if len(ext) > 20 {
			ext = nil
		}
		name = string(r[:api.MaxFileName-len(ext)]) + string(ext)
	}
	if name == "." || name == ".." {
		return ""
	}
	return name
}

func check(f Form) error {
	long := func(s string, limit int) bool { return !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit }
	line := func(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
	switch {
	case !api.ValidID(f.ID):
		return InvalidError{"id"}
	case strings.TrimSpace(f.Title) == "" || long(f.Title, api.MaxTitle) || line(f.Title):
		return InvalidError{"title"}
	case long(f.Text, api.MaxText):
		return InvalidError{"text"}
	case long(f.Name, api.MaxName) || line(f.Name):
		return InvalidError{"name"}
	case long(f.Phone, api.MaxName) || line(f.Phone):
		return InvalidError{"phone"}
	case long(f.Category, api.MaxName) || line(f.Category):
		return InvalidError{"category"}
	case f.Files < 0 || f.Files > api.MaxFiles:
		return ErrTooMany
	case len(f.Facts) > 100:
		return InvalidError{"facts"}
	}
	a, err := mail.ParseAddress(f.Email)
	if err != nil || a.Name != "" || a.Address != f.Email || len(f.Email) > api.MaxEmail {
		return InvalidError{"email"}
	}
	switch f.Severity {
	case "", api.Critical, api.High, api.Medium, api.Low:
	default:
		return InvalidError{"severity"}
	}
	for _, x := range f.Facts {
		if long(x.Name, 200) || long(x.Value, 2000) {
			return InvalidError{"facts"}
		}
	}
	return nil
}

// File keeps a ticket durably and returns what it is now. The same form under the same id again
// returns the ticket as it stands; another form is ErrConflict.
func (b *Outbox) File(ctx context.Context, who Person, f Form) (Item, error) {
	f.Email = strings.TrimSpace(f.Email)
	f.Title = strings.TrimSpace(f.Title)
	if err := check(f); err != nil {
		return Item{}, err
	}
	if f.Severity == "" {
		f.Severity = f.Answers.Severity()
	}
	now := b.o.Now().UnixMicro()
	var item Item
	err := state.Tx(ctx, b.o.DB, func(tx *sql.Tx) error {
		files, err := announced(ctx, tx, who, f)
		if err != nil {
			return err
		}
		body := api.DeviceTicket{
			ID: f.ID, Title: f.Title, Text: f.Text, Category: f.Category, Severity: f.Severity, Answers: f.Answers,
			Email: f.Email, Name: f.Name, Phone: f.Phone, OSUser: who.Name, OSUserID: who.ID,
			Language: f.Language, Facts: f.Facts, Files: files,
		}
		// Everything but the time of filing decides whether it is the same form.
		same, err := json.Marshal(body)
		if err != nil {
			return err
		}
		hash := sha256.Sum256(same)
		var owner string
		var had []byte
		err = tx.QueryRowContext(ctx, `select os_user_id, form_hash from ticket where id = $1`, f.ID).Scan(&owner, &had)
		switch {
		case err == nil && (owner != who.ID || !bytes.Equal(had, hash[:])):
			return ErrConflict
		case err == nil:
			item, err = load(ctx, tx, f.ID)
			return err
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		body.MadeAt = now
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `insert into ticket (id, os_user_id, os_user, form_hash, body, made_at, state, help)
			values ($1, $2, $3, $4, $5, $6, $7, $8)`, f.ID, who.ID, who.Name, hash[:], raw, now, Kept, f.Help); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `update file set state = $1 where ticket = $2 and idx < $3`, fileKept, f.ID, f.Files); err != nil {
			return err
		}
		item, err = load(ctx, tx, f.ID)
		return err
	})
	if state.Full(err) {
		b.discard(f.ID)
		return Item{}, fmt.Errorf("keep ticket: %w", ErrDiskFull)
	}
	if err != nil {
		return Item{}, fmt.Errorf("keep ticket: %w", err)
	}
	b.Kick()
	return item, nil
}

// announced lists the files that were handed over for f.
func announced(ctx context.Context, tx *sql.Tx, who Person, f Form) ([]api.TicketFile, error) {
	rows, err := tx.QueryContext(ctx, `select idx, os_user_id, name, type, size, sha256 from file where ticket = $1 and idx < $2 order by idx`, f.ID, f.Files)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []api.TicketFile
	for rows.Next() {
		var t api.TicketFile
		var owner string
		if err := rows.Scan(&t.Index, &owner, &t.Name, &t.Type, &t.Size, &t.SHA256); err != nil {
			return nil, err
		}
		if owner != who.ID {
			return nil, ErrConflict
		}
		out = append(out, t)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(out) != f.Files {
		return nil, ErrMissing
	}
	return out, nil
}

// discard removes what was staged for a ticket that could not be kept.
func (b *Outbox) discard(ticket string) {
	ctx := context.Background()
	os.RemoveAll(b.folder(ticket))
	if _, err := b.o.DB.ExecContext(ctx, `delete from file where ticket = $1 and ticket not in (select id from ticket)`, ticket); err != nil {
		b.o.Logger.Warn("staged files stay listed until the next start", "ticket", ticket, "err", err)
	}
}

// sweep removes parts of files that were being written, and files staged more than a day ago for a
// form that was never sent.
func (b *Outbox) sweep(ctx context.Context) error {
	old := b.o.Now().Add(-24 * time.Hour).UnixMicro()
	if _, err := b.o.DB.ExecContext(ctx, `delete from file where staged_at < $1 and ticket not in (select id from ticket)`, old); err != nil && !state.Full(err) {
		return err
	}
	known := map[string]bool{}
	rows, err := b.o.DB.QueryContext(ctx, `select ticket, idx from file where state in ($1, $2, $3)`, fileStaged, fileKept, fileRefused)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var i int
		if err := rows.Scan(&id, &i); err != nil {
			return err
		}
		known[b.path(id, i)] = true
		known[b.folder(id)] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return filepath.WalkDir(b.o.Dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == b.o.Dir || known[p] {
			return err
		}
		if err := os.RemoveAll(p); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

const itemColumns = `t.id, t.os_user_id, t.os_user, t.body, t.state, t.number, t.status, t.code, t.reason, t.answered, t.help, t.made_at,
	(select count(*) from file f where f.ticket = t.id and f.state = 'kept')`

func scanItem(scan func(...any) error) (Item, error) {
	var i Item
	var body []byte
	if err := scan(&i.ID, &i.UserID, &i.User, &body, &i.State, &i.Number, &i.Status, &i.Code, &i.Reason, &i.Answered, &i.Help, &i.MadeAt, &i.Pending); err != nil {
		return i, err
	}
	var t api.DeviceTicket
	if err := json.Unmarshal(body, &t); err != nil {
		return i, err
	}
	i.Title, i.Email = t.Title, t.Email
	return i, nil
}

func load(ctx context.Context, tx *sql.Tx, id string) (Item, error) {
	i, err := scanItem(tx.QueryRowContext(ctx, `select `+itemColumns+` from ticket t where t.id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return i, ErrNotFound
	}
	return i, err
}

// Get returns one ticket.
func (b *Outbox) Get(ctx context.Context, id string) (Item, error) {
	i, err := scanItem(b.o.DB.QueryRowContext(ctx, `select `+itemColumns+` from ticket t where t.id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return i, ErrNotFound
	}
	return i, err
}

// List returns an OS user's tickets, newest first, at most 500.
func (b *Outbox) List(ctx context.Context, userID string) ([]Item, error) {
	rows, err := b.o.DB.QueryContext(ctx, `select `+itemColumns+` from ticket t where t.os_user_id = $1 order by t.seq desc limit 500`, userID)
	if err != nil {
		return nil, fmt.Errorf("list tickets: %w", err)
	}
	defer rows.Close()
	var out []Item
	for rows.Next() {
		i, err := scanItem(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list tickets: %w", err)
		}
		out = append(out, i)
	}
	return out, rows.Err()
}

// Counts tells how much of an OS user's has not been sent, and how many tickets have an answer that
// was not looked at.
func (b *Outbox) Counts(ctx context.Context, userID string) (kept, files, answers int, err error) {
	err = b.o.DB.QueryRowContext(ctx, `select
		(select count(*) from ticket where os_user_id = $1 and state = 'kept'),
		(select count(*) from file where os_user_id = $1 and state = 'kept'),
		(select count(*) from ticket where os_user_id = $1 and answered <> '')`, userID).Scan(&kept, &files, &answers)
	if err != nil {
		err = fmt.Errorf("count tickets: %w", err)
	}
	return kept, files, answers, err
}

// Moved notes what the server tells of a ticket. It returns the ticket, or ErrNotFound.
func (b *Outbox) Moved(ctx context.Context, id, status, answered string) (Item, error) {
	if len(status) > 40 || len(answered) > 4*api.MaxName {
		return Item{}, InvalidError{"status"}
	}
	res, err := b.o.DB.ExecContext(ctx, `update ticket set status = $2, answered = case when $3 = '' then answered else $3 end where id = $1`, id, status, answered)
	if err != nil {
		return Item{}, fmt.Errorf("note ticket: %w", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return Item{}, ErrNotFound
	}
	return b.Get(ctx, id)
}

// Looked forgets that a ticket of this OS user has a new answer.
func (b *Outbox) Looked(ctx context.Context, userID, id string) error {
	_, err := b.o.DB.ExecContext(ctx, `update ticket set answered = '' where id = $1 and os_user_id = $2`, id, userID)
	return err
}

// Wait returns the ticket as soon as it and its files are sent or refused, or as it is when ctx ends.
func (b *Outbox) Wait(ctx context.Context, id string) (Item, error) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	b.waiters[id] = append(b.waiters[id], ch)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		var rest []chan struct{}
		for _, c := range b.waiters[id] {
			if c != ch {
				rest = append(rest, c)
			}
		}
		if b.waiters[id] = rest; len(rest) == 0 {
			delete(b.waiters, id)
		}
	}()
	for {
		// The state is read without ctx: its end is no reason not to tell the truth.
		i, err := b.Get(context.WithoutCancel(ctx), id)
		if err != nil || i.State == Refused || i.State == Sent && i.Pending == 0 {
			return i, err
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return b.Get(context.WithoutCancel(ctx), id)
		}
	}
}

func (b *Outbox) moved(ctx context.Context, id string) {
	b.mu.Lock()
	for _, c := range b.waiters[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	b.mu.Unlock()
	if i, err := b.Get(ctx, id); err == nil && b.o.Changed != nil {
		b.o.Changed(i)
	}
}

const (
	retryMin = time.Second
	retryMax = time.Minute
)

// Run sends until ctx ends.
func (b *Outbox) Run(ctx context.Context) error {
	sweep := time.NewTicker(time.Hour)
	defer sweep.Stop()
	failures := 0
	for {
		var again <-chan time.Time
		if b.o.Ready() {
			progress, err := b.sendAll(ctx)
			if progress {
				failures = 0
			}
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				wait := retryMin/2 + rand.N(min(retryMax, retryMin<<min(failures, 7)))
				failures++
				b.o.Logger.Info("outbox waits", "err", err, "retry_in", wait.Round(time.Millisecond))
				again = time.After(wait)
			default:
				failures = 0
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.kick:
		case <-again:
		case <-sweep.C:
			if err := b.sweep(ctx); err != nil {
				b.o.Logger.Warn("sweep outbox", "err", err)
			}
		}
	}
}

// sendAll sends every ticket, then every file, and tells whether anything has gone out. The error is
// the last that is worth another try; a ticket that fails does not hold up the others, a server that
// does not answer does.
func (b *Outbox) sendAll(ctx context.Context) (progress bool, last error) {
	ids, err := b.ids(ctx, `select id from ticket where state = 'kept' order by seq`)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		if err := b.sendTicket(ctx, id); err != nil {
			last = err
			if !answered(err) {
				return progress, err
			}
			continue
		}
		progress = true
	}
	ids, err = b.ids(ctx, `select distinct f.ticket from file f join ticket t on t.id = f.ticket where f.state = 'kept' and t.state = 'sent' order by t.seq`)
	if err != nil {
		return progress, err
	}
	for _, id := range ids {
		if err := b.sendFiles(ctx, id); err != nil {
			last = err
			if !answered(err) {
				return progress, err
			}
			continue
		}
		progress = true
	}
	return progress, last
}

// answered reports whether the server answered at all.
func answered(err error) bool {
	var p api.Problem
	return errors.As(err, &p) && p.Status != 401
}

func (b *Outbox) ids(ctx context.Context, query string) ([]string, error) {
	rows, err := b.o.DB.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

func (b *Outbox) sendTicket(ctx context.Context, id string) error {
	var body []byte
	if err := b.o.DB.QueryRowContext(ctx, `select body from ticket where id = $1`, id).Scan(&body); err != nil {
		return err
	}
	filed, err := b.o.Client().FileTicket(ctx, body)
	if p, final := apiclient.Final(err); final {
		reason := p.Detail
		if reason == "" {
			reason = p.Title
		}
		_, err := b.o.DB.ExecContext(ctx, `update ticket set state = $2, code = $3, reason = $4 where id = $1`, id, Refused, short(p.Code), short(reason))
		if err != nil {
			return err
		}
		b.o.Logger.Warn("ticket refused", "ticket", id, "code", p.Code)
		b.moved(ctx, id)
		return nil
	}
	if err != nil {
		b.unauthorised(err)
		return fmt.Errorf("send ticket: %w", err)
	}
	if filed.Number <= 0 {
		return errors.New("send ticket: the server gave no number")
	}
	if _, err := b.o.DB.ExecContext(ctx, `update ticket set state = $2, number = $3, status = $4, code = '', reason = '' where id = $1`,
		id, Sent, filed.Number, short(filed.Status)); err != nil {
		return err
	}
	b.o.Logger.Info("ticket sent", "ticket", id)
	// Tell it at once where no file follows; otherwise a moment later, after its files.
	b.moved(ctx, id)
	return b.sendFiles(ctx, id)
}

// short makes a sentence of the server fit for a window.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 500 {
		return string(r[:500])
	}
	return s
}

func (b *Outbox) unauthorised(err error) {
	var p api.Problem
	if errors.As(err, &p) && p.Status == 401 && b.o.Expired != nil {
		b.o.Expired()
	}
}

type pending struct {
	index int
	typ   string
	size  int64
	sum   []byte
}

func (b *Outbox) sendFiles(ctx context.Context, id string) error {
	files, err := b.pendingFiles(ctx, id)
	if err != nil {
		return err
	}
	for _, f := range files {
		state, reason := fileSent, ""
		err := b.sendFile(ctx, id, f)
		if p, final := apiclient.Final(err); final {
			state, reason = fileRefused, p.Detail
			b.o.Logger.Warn("file refused", "ticket", id, "code", p.Code)
		} else if errors.Is(err, errDamaged) {
			state, reason = fileRefused, errDamaged.Error()
			b.o.Logger.Error("file damaged", "ticket", id, "err", err)
		} else if err != nil {
			b.unauthorised(err)
			if p := (api.Problem{}); errors.As(err, &p) && p.Status == 404 {
				// The server has lost the ticket, for instance by going back to a backup: it is filed anew,
				// under the same id.
				if _, err := b.o.DB.ExecContext(ctx, `update ticket set state = $2 where id = $1 and state = $3`, id, Kept, Sent); err != nil {
					return err
				}
				b.moved(ctx, id)
			}
			return fmt.Errorf("send file: %w", err)
		}
		if _, err := b.o.DB.ExecContext(ctx, `update file set state = $3, reason = $4 where ticket = $1 and idx = $2`, id, f.index, state, short(reason)); err != nil {
			return err
		}
		if state == fileSent {
			os.Remove(b.path(id, f.index))
			os.Remove(b.folder(id)) // when it was the last
		}
		b.moved(ctx, id)
	}
	return nil
}

func (b *Outbox) pendingFiles(ctx context.Context, id string) ([]pending, error) {
	rows, err := b.o.DB.QueryContext(ctx, `select idx, type, size, sha256 from file where ticket = $1 and state = 'kept' order by idx`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []pending
	for rows.Next() {
		var f pending
		if err := rows.Scan(&f.index, &f.typ, &f.size, &f.sum); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

var errDamaged = errors.New("the kept file is damaged")

func (b *Outbox) sendFile(ctx context.Context, id string, f pending) error {
	r, err := os.Open(b.path(id, f.index))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if st, err := r.Stat(); err != nil || st.Size() != f.size {
		return errDamaged
	}
	return b.o.Client().PutFile(ctx, id, f.index, f.typ, f.size, r)
}
