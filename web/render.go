package web

import (
	"bytes"
	"fmt"

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
	Me        bool   // there is a page of the person's own
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
	if s, ok := session.Of(c.UserContext()); ok {
		f.SignedIn, f.Name, f.Role, f.CSRF, f.Session = true, s.Actor.Name, roleWord(s.Actor.Role), s.CSRF, string(s.UID)
		f.Board, f.Patients = may(s.Actor, account.SeeAlerts), may(s.Actor, account.SeePatients)
		f.Me = w.Factors != nil
	}
	return w.fragment(c, "page-"+name, f)
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
