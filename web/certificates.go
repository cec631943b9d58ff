package web

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/vital"
)

// mountCertificates puts the pages of client certificates on the app: those of a device, and the authorities that sign them.
func (w *Web) mountCertificates(get, post func(string, fiber.Handler)) {
	if w.Certificates == nil {
		return
	}
	get("/devices/authorities", func(c *fiber.Ctx) error {
		return w.authoritiesPage(c, authoritiesView{Kind: string(devices.ForDevices)})
	})
	act := func(path string, h fiber.Handler) {
		post(path, func(c *fiber.Ctx) error { // before anything of the form is read
			if err := account.Allow(session.Actor(c.UserContext()), account.EnrolDevice, nil); err != nil {
				return err
			}
			return h(c)
		})
	}
	act("/devices/authorities", w.trustAuthority)
	act("/devices/authorities/:id/revoke", w.revokeAuthority)
	get("/devices/about/:uid/certificates", func(c *fiber.Ctx) error { return w.certificatesPage(c, certificatesView{}) })
	act("/devices/about/:uid/certificates", w.addCertificate)
	act("/devices/about/:uid/certificates/:print/revoke", w.revokeCertificate)
	act("/devices/about/:uid/claim", w.allowClaim)
	act("/devices/about/:uid/claim/end", w.endClaim)
}

// certificatesView is the page of a device's certificates.
type certificatesView struct {
	UID   string
	May   bool
	Error string
	Made  string // PEM, once
	List  []certificateView
	Claim claimView
}

type certificateView struct {
	Print   string
	Short   string // of the fingerprint, as people compare it
	Origin  string
	From    moment
	Until   moment
	Revoked moment
	Good    bool
	Soon    bool // it ends soon, or has ended
	Ended   bool

	Parent   string   // the one that the device showed for it, as Short
	Renewals []string // what came of it and is good, as Short
}

type claimView struct {
	Set           bool
	Serial, Batch string
	Until, Used   moment
	Over          bool
}

func (w *Web) certificatesPage(c *fiber.Ctx, view certificatesView) error {
	ctx := c.UserContext()
	actor, uid := session.Actor(ctx), c.Params("uid")
	list, err := w.Certificates.Of(ctx, actor, uid)
	if err != nil {
		return err
	}
	claim, err := w.Certificates.Claimable(ctx, actor, uid)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.UID, view.May = uid, may(actor, account.EnrolDevice)
	for i := range list {
		v := certificateOf(&list[i], k)
		for _, print := range credential.Renewals(list, list[i].Fingerprint) {
			v.Renewals = append(v.Renewals, shortPrint(print))
		}
		view.List = append(view.List, v)
	}
	if claim != nil {
		view.Claim = claimView{true, claim.Serial, claim.Batch, k.at(claim.Until), k.at(claim.UsedAt), !k.now.Before(claim.Until)}
	}
	return w.page(c, "certificates", uid+", certificates", "devices", view)
}

func certificateOf(one *credential.KeptCertificate, k clock) certificateView {
	print := one.Fingerprint.String()
	v := certificateView{
		Print: print, Short: shortPrint(one.Fingerprint), Origin: originWords(one.Origin),
		From: k.at(one.NotBefore), Until: k.at(one.NotAfter), Revoked: k.at(one.RevokedAt), Ended: !k.now.Before(one.NotAfter),
	}
	if one.From != nil {
		v.Parent = shortPrint(*one.From)
	}
	v.Good = !one.Revoked && !v.Ended && !k.now.Before(one.NotBefore)
	v.Soon = !one.Revoked && one.NotAfter.Sub(k.now) < devices.EndsSoon
	return v
}

// shortPrint is a fingerprint as people compare it.
func shortPrint(f devices.Fingerprint) string {
	print := f.String()
	return strings.ToUpper(print[:4] + " " + print[4:8] + " " + print[8:12])
}

func originWords(o credential.Origin) string {
	switch o {
	case credential.OriginGiven:
		return "of a maker, written down here"
	case credential.OriginSigned:
		return "signed by Hale for the desk"
	case credential.OriginRenewed:
		return "renewed by the device"
	case credential.OriginClaimed:
		return "fetched by the device"
	}
	return string(o)
}

// addCertificate answers POST /devices/about/{uid}/certificates: a request is signed, a certificate is written down.
func (w *Web) addCertificate(c *fiber.Ctx) error {
	ctx := c.UserContext()
	actor, uid, text := session.Actor(ctx), c.Params("uid"), []byte(strings.TrimSpace(c.FormValue("pem")))
	view := certificatesView{}
	var err error
	switch block, _ := pem.Decode(text); {
	case block != nil && block.Type == "CERTIFICATE":
		_, err = w.Certificates.Keep(ctx, actor, uid, text)
	default:
		var made *x509.Certificate
		if made, err = w.Certificates.Sign(ctx, actor, uid, text); err == nil {
			view.Made = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Raw}))
		}
	}
	if err == nil && view.Made == "" {
		return w.backToCertificates(c)
	}
	return w.certificatesAgain(c, view, err)
}

// revokeCertificate answers POST /devices/about/{uid}/certificates/{print}/revoke.
func (w *Web) revokeCertificate(c *fiber.Ctx) error {
	raw, err := hex.DecodeString(c.Params("print"))
	if err != nil || len(raw) != len(devices.Fingerprint{}) {
		return fault.New(fault.NotFound, "the device has no such certificate")
	}
	revoke := w.Certificates.Revoke
	if c.FormValue("alone") != "" {
		revoke = w.Certificates.RevokeAlone
	}
	if err := revoke(c.UserContext(), session.Actor(c.UserContext()), c.Params("uid"), devices.Fingerprint(raw)); err != nil {
		return err
	}
	return w.backToCertificates(c)
}

// allowClaim answers POST /devices/about/{uid}/claim.
func (w *Web) allowClaim(c *fiber.Ctx) error {
	ctx := c.UserContext()
	days, err := strconv.Atoi(c.FormValue("days"))
	if err != nil || days < 1 {
		days = 0 // what is wrong with it is said below
	}
	err = w.Certificates.MakeClaimable(ctx, session.Actor(ctx), c.Params("uid"), credential.Claimable{
		Serial: strings.TrimSpace(c.FormValue("serial")), Batch: strings.TrimSpace(c.FormValue("batch")), Until: w.Now().Add(time.Duration(days) * 24 * time.Hour),
	})
	if err == nil {
		return w.backToCertificates(c)
	}
	return w.certificatesAgain(c, certificatesView{}, err)
}

// endClaim answers POST /devices/about/{uid}/claim/end.
func (w *Web) endClaim(c *fiber.Ctx) error {
	if err := w.Certificates.EndClaim(c.UserContext(), session.Actor(c.UserContext()), c.Params("uid")); err != nil {
		return err
	}
	return w.backToCertificates(c)
}

func (w *Web) backToCertificates(c *fiber.Ctx) error {
	return c.Redirect("/devices/about/"+url.PathEscape(c.Params("uid"))+"/certificates", http.StatusSeeOther)
}

// certificatesAgain shows the page with what was made, or with what was wrong.
func (w *Web) certificatesAgain(c *fiber.Ctx, view certificatesView, err error) error {
	if err != nil && !amiss(err) {
		return err
	}
	if err != nil {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
	}
	return w.certificatesPage(c, view)
}

// authoritiesView is the page of the authorities that the organisation trusts.
type authoritiesView struct {
	May    bool
	Error  string
	Kind   string
	Name   string
	List   []authorityView
	Ending []endingCertificateView
}

type authorityView struct {
	ID      vital.UID
	Name    string
	Subject string
	Claims  bool
	From    moment
	Until   moment
	State   string
	Live    bool
}

type endingCertificateView struct {
	Device string
	Until  moment
	Ended  bool
}

func (w *Web) authoritiesPage(c *fiber.Ctx, view authoritiesView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	list, err := w.Certificates.Trusted(ctx, actor)
	if err != nil {
		return err
	}
	ending, err := w.Certificates.Ending(ctx, actor, 0)
	if err != nil {
		return err
	}
	k := clock{now: w.Now(), zone: w.Zone}
	view.May = may(actor, account.EnrolDevice)
	for _, a := range list {
		v := authorityView{ID: a.UID, Name: a.Name, Subject: a.Certificate.Subject.String(), Claims: a.Kind == devices.ForClaims, From: k.at(a.From), Until: k.at(a.Until), State: "trusted"}
		switch {
		case a.Revoked:
			v.State = "revoked"
		case k.now.Before(a.From):
			v.State, v.Live = "not yet", true
		case !k.now.Before(a.Until):
			v.State = "ended"
		default:
			v.Live = true
		}
		view.List = append(view.List, v)
	}
	for i := range ending {
		view.Ending = append(view.Ending, endingCertificateView{ending[i].Device, k.at(ending[i].NotAfter), !k.now.Before(ending[i].NotAfter)})
	}
	return w.page(c, "authorities", "Certificates", "devices", view)
}

// trustAuthority answers POST /devices/authorities.
func (w *Web) trustAuthority(c *fiber.Ctx) error {
	n := credential.NewAuthority{
		Kind: devices.AuthorityKind(c.FormValue("kind")), Name: strings.TrimSpace(c.FormValue("name")), PEM: []byte(c.FormValue("pem")),
	}
	_, err := w.Certificates.Trust(c.UserContext(), session.Actor(c.UserContext()), n)
	if err == nil {
		return c.Redirect("/devices/authorities", http.StatusSeeOther)
	}
	if !amiss(err) {
		return err
	}
	c.Status(session.Status(err))
	return w.authoritiesPage(c, authoritiesView{Error: sentence(fault.MessageOf(err)), Kind: string(n.Kind), Name: n.Name})
}

// revokeAuthority answers POST /devices/authorities/{id}/revoke.
func (w *Web) revokeAuthority(c *fiber.Ctx) error {
	if err := w.Certificates.Distrust(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id"))); err != nil {
		return err
	}
	return c.Redirect("/devices/authorities", http.StatusSeeOther)
}
