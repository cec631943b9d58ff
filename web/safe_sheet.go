package web

import (
	"bufio"
	"context"
	"net"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/safe"
	"hale/vital"
)

// sheetView is the emergency sheet in words.
type sheetView struct {
	Name, Number, Born, Sex string
	Emergency               string
	Printed                 string
	Vitals                  []sheetVital
	Limits                  []string
	Helpers                 []safe.Helper
	Teams                   []safe.CareTeam
}

type sheetVital struct {
	Name, Values, When string
	Notes              []string
}

func (w *Web) viewSheet(s *safe.Sheet) sheetView {
	k := clock{now: s.At}.in(s.Patient.Zone)
	v := sheetView{
		Name: s.Patient.Name, Number: s.Patient.Number, Born: bornWords(&s.Patient), Sex: s.Patient.Sex, Emergency: w.Emergency,
		Printed: k.exact(s.At), Helpers: s.Helpers, Teams: s.Teams,
	}
	if v.Sex == "unknown" {
		v.Sex = "not recorded"
	}
	for _, r := range s.Latest {
		v.Vitals = append(v.Vitals, sheetVital{Name: metricWord(r.Metric), Values: valueWords(r.Metric, r.Values), When: k.measured(r.At, r.Vague).Exact, Notes: findingWords(r.Findings)})
	}
	for _, l := range s.Limits {
		v.Limits = append(v.Limits, ownLimitWords(l))
	}
	return v
}

// ownLimitWords says at which values this patient's own limits call somebody at once.
func ownLimitWords(l safe.OwnLimit) string {
	d, ok := vital.Define(l.Metric)
	if !ok || l.Component >= len(d.Components) {
		return ""
	}
	c := d.Components[l.Component]
	var parts []string
	if l.Low != nil {
		parts = append(parts, "below "+withUnit(number(*l.Low), c.Canonical))
	}
	if l.High != nil {
		parts = append(parts, "at or above "+withUnit(number(*l.High), c.Canonical))
	}
	name := d.Display
	if len(d.Components) > 1 {
		name += ", " + c.Code
	}
	return name + ": red " + strings.Join(parts, ", or ") + " (" + l.Reason + ")"
}

// safeSheet answers GET /safe/{id}/sheet.
func (w *Web) safeSheet(c *fiber.Ctx) error {
	sheet, err := w.Safe.Sheets.Of(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	return w.safePage(c, "sheet", "Emergency sheet of "+sheet.Patient.Name, safeFor(c, &sheet.Patient, w.viewSheet(&sheet)))
}

// safeCopy answers GET /safe/{id}/copy.
func (w *Web) safeCopy(c *fiber.Ctx) error {
	p, err := w.Safe.Exports.Offer(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	return w.safePage(c, "copy", "A copy of everything", safeFor(c, &p, nil))
}

// The bounds of a download: how long a browser may take nothing, and how long all of it may last.
const (
	flushWithin = 30 * time.Second
	copyWithin  = 30 * time.Minute
)

// safeDownload answers POST /safe/{id}/copy with the zip, as it is made.
func (w *Web) safeDownload(c *fiber.Ctx) error {
	ctx := c.UserContext()
	export, err := w.Safe.Exports.Begin(ctx, session.Actor(ctx), vital.UID(c.Params("id")))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/zip")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="hale-record-`+export.At.Format("2006-01-02")+`.zip"`)
	conn := c.Context().Conn()
	lasting := context.WithoutCancel(ctx) // the download outlives the deadline of an answer
	c.Context().SetBodyStreamWriter(func(out *bufio.Writer) {
		ctx, cancel := context.WithTimeout(lasting, copyWithin)
		defer cancel()
		if err := export.Write(ctx, &download{out: out, conn: conn}, nil); err != nil {
			w.Log.ErrorContext(ctx, "a copy of a record broke off", "error", err)
			_ = conn.Close() // the browser must not take it for whole
		}
	})
	return nil
}

// download is the writer of a download: each piece has its own deadline, so that a slow line may take its time and a dead one not.
type download struct {
	out  *bufio.Writer
	conn net.Conn
}

// Write sends a piece.
func (d *download) Write(b []byte) (int, error) {
	if err := d.conn.SetWriteDeadline(time.Now().Add(flushWithin)); err != nil {
		return 0, err
	}
	return d.out.Write(b)
}

// bornWords tells when somebody was born, as far as it is recorded.
func bornWords(p *account.Patient) string {
	const day = len(time.DateOnly)
	switch t, err := time.Parse(time.DateOnly, string(p.BirthDate)); {
	case len(p.BirthDate) == day && err == nil:
		return t.Format("2 January 2006")
	case p.BirthDate != "":
		return string(p.BirthDate)
	}
	return "not recorded"
}
