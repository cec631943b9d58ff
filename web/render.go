package web

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
)

// frame is what stands around every page.
type frame struct {
	Title     string
	Page      string // name of the template
	Here      string // which entry of the navigation this is
	SignedIn  bool
	Name      string
	Role      string
	CSRF      string
	Session   string // names the session to the feed's worker, so that two people's tabs never share one
	Board     bool   // the person may see the board
	Patients  bool   // the person may see patients
	Doubts    bool   // the person answers what is doubtful about measurements
	Teams     bool   // the person may see care teams
	Access    bool   // the person watches over access
	Devices   bool   // the person may see kits and devices
	Me        bool   // there is a page of the person's own
	Codes     bool   // people sign in with codes here
	Welcome   bool   // those who start to work here choose a password with a code
	Own       bool   // the person is a patient, or somebody whom a patient lets in: they have the data safe
	Safe      bool   // the page is one of the data safe
	Erasures  bool   // the person decides on erasures
	Emergency string
	Body      any
}

// noticeView is a message beside what was done.
type noticeView struct {
	Bad  bool
	Text string
}

// page renders a whole page. It is rendered before the first byte is sent, so that nobody reads half of one.
func (w *Web) page(c *fiber.Ctx, name, title, here string, body any) error {
	f := frame{Title: title, Page: name, Here: here, Emergency: w.Emergency, Body: body}
	f.Codes, f.Welcome = w.Door != nil, w.Imports != nil && !w.LocalOff
	f.Safe = here == "safe" || strings.HasPrefix(name, "share")
	if s, ok := session.Of(c.UserContext()); ok {
		f.SignedIn, f.Name, f.Role, f.CSRF, f.Session = true, s.Actor.Name, roleWord(s.Actor.Role), s.CSRF, string(s.UID)
		f.Own = w.Safe != nil && ownOnly(s.Actor)
		f.Board, f.Patients = !f.Own && may(s.Actor, account.SeeAlerts), !f.Own && may(s.Actor, account.SeePatients)
		f.Doubts = w.Technique != nil && may(s.Actor, account.Refile) && !may(s.Actor, account.SeeDevices) // who may, finds it among the devices
		f.Teams, f.Access = w.Teams != nil && may(s.Actor, account.SeeTeams), w.Emergencies != nil && may(s.Actor, account.ReviewAccess)
		f.Devices = w.Kits != nil && may(s.Actor, account.SeeDevices)
		f.Erasures = w.Erasures != nil && may(s.Actor, account.DecideErasure)
		f.Me = w.Factors != nil && (s.Actor.Staff != 0 || w.Door != nil)
	}
	return w.fragment(c, "page-"+name, f)
}

// ownOnly reports whether somebody comes for their own data, or for that of somebody close, and not to work.
func ownOnly(actor account.Actor) bool {
	return actor.Role == account.SelfRole || actor.Role == account.CaregiverRole
}

// fragment renders a part of a page.
func (w *Web) fragment(c *fiber.Ctx, name string, data any) error {
	var b bytes.Buffer
	if err := w.templates.ExecuteTemplate(&b, name, data); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	return c.Send(b.Bytes())
}
