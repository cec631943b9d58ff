package web

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/consent"
	"hale/api/session"
	"hale/vital"
)

func itoa(n int) string { return strconv.Itoa(n) }

// deskView is a patient's consents as the team sees them.
type deskView struct {
	ID       vital.UID
	Name     string
	Error    string
	Locked   bool
	Records  bool // the reader may write decisions down
	Manages  bool // and who is let in
	Ends     bool // and take the steps of off-boarding
	Protects bool
	Purposes []purposeView
	Choices  []offer
	Guardian []offer
	Log      []string
	Requests []deskRequest
	Answered []string
	People   []grantView
	Past     []grantView
	Scopes   []offer
	CanLet   bool
	Private  privateView
	Ending   endingView
}

type deskRequest struct {
	ID      vital.UID
	Patient vital.UID
	CSRF    string
	Text    string
	Frozen  bool
}

// consentDesk is the page of staff: GET /patients/{id}/consents.
func (w *Web) consentDesk(c *fiber.Ctx, wrong error) error {
	f, k, s, err := w.file(c)
	if err != nil {
		return err
	}
	if s.Actor.Staff == 0 {
		return w.agreedPage(c, wrong)
	}
	can := func(a account.Action) bool { return account.Allow(s.Actor, a, &f.Patient) == nil }
	sharing := consent.Stand(consent.ForSharing, f.Texts, f.Log, k.now)
	v := deskView{
		ID: f.Patient.UID, Name: f.Patient.Name, Error: wrongOf(wrong), Locked: f.Patient.State == account.Locked,
		Records: can(account.RecordConsent), Manages: can(account.ManageCaregiver), Ends: can(account.EndCare), Protects: can(account.Protect),
		Purposes: w.purposeViews(&f, k), Scopes: scopeOffers(account.ScopesOf(account.SeeReadings)), CanLet: sharing.Stands() && f.Patient.State == account.Active,
	}
	for _, p := range v.Purposes {
		for _, choice := range []consent.Choice{consent.Given, consent.Refused, consent.Withdrawn} {
			if (choice == consent.Withdrawn) == p.Given || choice == consent.Given {
				v.Choices = append(v.Choices, offer{Value: p.Purpose + " " + string(choice) + " " + itoa(p.Version), Text: p.Title + ": " + choiceWords(choice)})
			}
		}
	}
	for i := range f.Log {
		v.Log = append(v.Log, logLine(&f.Log[len(f.Log)-1-i], f.Texts, k))
	}
	v.People, v.Past = viewGrants(f.Grants, &f, s, k, "desk")
	v.addRequests(&f, s, k)
	if v.Protects {
		if v.Private, err = w.privateOf(c, &f, s, k, "desk"); err != nil {
			return err
		}
	}
	_, steps, open, err := w.Offboarding.Get(c.UserContext(), s.Actor, f.Patient.UID)
	if err != nil {
		return err
	}
	v.Ending = viewEnding(steps, open, k)
	return w.page(c, "consent-desk", "Consents of "+f.Patient.Name, "patients", v)
}

func (v *deskView) addRequests(f *consent.File, s account.Session, k clock) {
	frozen := map[vital.UID]bool{}
	for i := range f.Grants {
		g := &f.Grants[i]
		if g.Guardian && g.In(k.now) {
			v.Guardian = append(v.Guardian, offer{Value: string(g.Who), Text: g.Name})
		}
		frozen[g.Who] = frozen[g.Who] || !g.SuspendedAt.IsZero() && !g.Ended(k.now)
	}
	for i := range f.Requests {
		r := &f.Requests[i]
		if !r.SettledAt.IsZero() {
			v.Answered = append(v.Answered, requestLine(r, k))
			continue
		}
		v.Requests = append(v.Requests, deskRequest{
			ID: r.UID, Patient: f.Patient.UID, CSRF: s.CSRF, Frozen: frozen[r.Guardian], Text: guardianAsks(r, k) + ".",
		})
	}
}

// dueView is whom the team is to ask.
type dueView struct {
	Due     []dueLine
	Endings []account.Patient
}

type dueLine struct {
	Patient vital.UID
	Name    string
	Number  string
	Title   string
	Why     string
	Since   moment
	Lapses  string
}

// dueConsents answers GET /consents.
func (w *Web) dueConsents(c *fiber.Ctx) error {
	due, endings, err := w.Consents.DueList(c.UserContext(), session.Actor(c.UserContext()))
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	v := dueView{Endings: endings}
	for i := range due {
		d := &due[i]
		line := dueLine{Patient: d.Patient, Name: d.Name, Number: d.Number, Title: purposeWords(d.Standing.Purpose), Why: dueWords(d.Standing.Due), Since: k.at(d.Standing.DueSince)}
		if !d.Standing.LapsesAt.IsZero() && d.Standing.Due == consent.DueTime {
			line.Lapses = day(d.Standing.LapsesAt, k)
		}
		v.Due = append(v.Due, line)
	}
	return w.page(c, "consents-due", "Consents to ask for", "patients", v)
}
