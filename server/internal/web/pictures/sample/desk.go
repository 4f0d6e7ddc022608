package sample

import (
	"context"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/api"
)

// deskSetUp makes queues, categories, a contract, standard replies and a duty plan.
func (p *Portal) deskSetUp(ctx context.Context, anna, marco desk.Actor, must func(error)) {
	must(p.Tickets.SaveQueue(ctx, anna, ticket.Queue{Name: "Workplaces", Lead: anna.Account}))
	must(p.Tickets.SaveQueue(ctx, anna, ticket.Queue{Name: "Network and servers", Lead: marco.Account}))
	cal := sla.Calendar{Name: "Mon–Fri 8–18", Zone: "Europe/Rome", Holidays: []sla.Holiday{{Month: 12, Day: 25, Name: "Natale"}, {Month: 12, Day: 26, Name: "Santo Stefano"}, {Month: 1, Day: 1, Name: "Capodanno"}}}
	for d := time.Monday; d <= time.Friday; d++ {
		cal.Week = append(cal.Week, sla.Interval{Day: d, From: 8 * 60, To: 18 * 60})
	}
	must(p.Tickets.SaveCalendar(ctx, anna, ticket.Calendar{Calendar: cal}))
	set, err := p.Tickets.Setup(ctx, anna)
	must(err)
	if err != nil || len(set.Calendars) == 0 || len(set.Queues) == 0 {
		return
	}
	must(p.Tickets.SaveContract(ctx, anna, ticket.Contract{CalendarID: set.Calendars[0].ID, Standard: true, Contract: sla.Contract{Name: "Plus", AlwaysCritical: true, Targets: map[api.Severity]sla.Target{
		api.Critical: {First: 30 * time.Minute, Solution: 4 * time.Hour}, api.High: {First: 2 * time.Hour, Solution: 10 * time.Hour},
		api.Medium: {First: 4 * time.Hour, Solution: 20 * time.Hour, Next: 10 * time.Hour}, api.Low: {First: 10 * time.Hour, Solution: 50 * time.Hour},
	}}}))
	for i, c := range []ticket.Category{
		{Names: map[string]string{"en": "Printing", "it": "Stampa", "de": "Drucken", "ru": "Печать"}, Queue: set.Queues[1].ID},
		{Names: map[string]string{"en": "Shared folders", "it": "Cartelle condivise", "de": "Gemeinsame Ordner", "ru": "Общие папки"}, Kind: ticket.Permission},
		{Names: map[string]string{"en": "Forgotten password", "it": "Password dimenticata", "de": "Passwort vergessen", "ru": "Забытый пароль"}, Kind: ticket.Password},
	} {
		c.Position = i
		must(p.Tickets.SaveCategory(ctx, anna, c))
	}
	for _, o := range set.Organizations {
		if !o.Provider {
			must(p.Tickets.SetApprovals(ctx, anna, o.ID, []ticket.CategoryKind{ticket.Password, ticket.Permission}))
		}
	}
	must(p.Tickets.SaveReply(ctx, anna, ticket.Reply{Name: "Restart the computer", Texts: map[string]string{"en": "Hello {name},\n\nplease restart the computer once and tell us here whether it helped.\n\n{technician}", "it": "Ciao {name},\n\nriavvia una volta il computer e scrivici qui se è servito.\n\n{technician}", "de": "Hallo {name},\n\nbitte den Computer einmal neu starten und hier schreiben, ob es geholfen hat.\n\n{technician}", "ru": "Здравствуйте, {name}!\n\nПерезагрузите компьютер и напишите здесь, помогло ли это.\n\n{technician}"}}))
	must(p.Tickets.SaveReply(ctx, anna, ticket.Reply{Name: "Solved: please check", Texts: map[string]string{"en": "Hello {name},\n\nwe think that #{number} is solved. Please try it.\n\n{technician}"}}))
	plan := sla.Plan{Zone: "Europe/Rome", Fallback: marco.Account}
	for d := time.Monday; d <= time.Friday; d++ {
		plan.Shifts = append(plan.Shifts, sla.Shift{Interval: sla.Interval{Day: d, From: 8 * 60, To: 18 * 60}, Who: anna.Account})
	}
	must(p.Tickets.SetDuty(ctx, anna, "all", plan))
}
