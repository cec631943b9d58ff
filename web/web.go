// Package web is the screens that staff work with: the triage board, an alert, the patients and their charts. Pages are
// rendered on the server and are whole without scripts; htmx and a few small scripts make them live. Everything a page
// needs is embedded in the binary.
package web

import (
	"html/template"
	"log/slog"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/consent"
	"hale/account/identity"
	"hale/alerts"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/devices/downlink"
	"hale/devices/measuring"
	"hale/push"
	"hale/safe"
)

// Config is what the screens need. Directory, Triage, Limits, Charts, Sessions, Log and Now are required.
type Config struct {
	Directory *account.Directory
	Triage    *alerts.Triage
	Limits    *alerts.Limits
	Charts    alerts.Charts
	Sessions  *session.Keeper
	Teams     *account.Teams // no pages of care teams when nil; with Rosters
	Rosters   *account.Rosters
	Staffing  *account.Staffing // no pages of accounts when nil
	Webhooks  *push.Channels    // no pages of where notices are sent when nil
	// Emergencies is the way to a record outside one's care; no page when nil.
	Emergencies      *account.Emergency
	Factors          Factors              // no page for second factors when nil
	Door             session.Door         // no codes, lists of sessions and keys when nil
	Safe             *safe.Safe           // no screens of the data safe when nil
	Unverified       *alerts.Watchlist    // no unverified reds on the board when nil
	Claimed          *alerts.ClaimedReds  // nor those of which somebody said whose they are
	Inbox            *safe.Inbox          // no page of what waits for an owner when nil
	Quarantine       *devices.Quarantine  // no page of what was refused when nil
	Withdrawals      *safe.Withdrawals    // nothing is shown of what was taken back when nil
	Counts           *devices.Counts      // no page of missing readings when nil
	Technique        *measuring.Technique // no questions about how something was measured when nil
	Schedules        *measuring.Schedules // no measurement schedules and strips of days when nil
	Consents         *consent.Consents    // no screens of what patients agree to when nil; with the two below
	Caregivers       *consent.Caregivers
	Offboarding      *consent.Offboarding
	Erasures         *safe.Erasures // no screens for being forgotten when nil; with Safe
	Refiles          *safe.Refiles  // no screens for filing readings anew when nil; with Merges
	Merges           *safe.Merges
	Identities       *identity.Identities // no screens that say who is who when nil; with Doubles
	Doubles          *identity.Doubles
	Imports          *identity.Imports // nobody comes in by a file when nil; with StaffInvitations
	StaffInvitations StaffInvitations
	Provider         Provider                                   // nobody signs in by an identity provider when nil
	LocalOff         bool                                       // only an account for emergencies has a password
	Credentials      *credential.Credentials                    // no pages of pairing when nil
	Certificates     *credential.Certificates                   // no pages of client certificates when nil
	Ways             func(host string) (credential.Ways, error) // how a device that is paired reaches the edge; nil: it is not asked
	Problems         *devices.Problems                          // no pages of what is wrong with devices when nil; with Commands
	Commands         *downlink.CommandDesk
	Kits             *devices.Kits // no pages of kits and devices when nil; with Types and Desk
	Types            *devices.Types
	Desk             *devices.Desk
	Gateways         *devices.Gateways // with Kits
	Zone             *time.Location    // of the staff, for times that concern no single patient; UTC when nil
	Emergency        string            // the local emergency number; "112" when empty
	Log              *slog.Logger
	Now              func() time.Time
}

// DefaultEmergency is the emergency number of the European Union (Directive (EU) 2018/1972, article 109) and of many
// countries besides.
const DefaultEmergency = "112"

// Web is the screens. Create it with New and put it on an app with Mount.
type Web struct {
	Config
	templates *template.Template
	assets    *assets
	heads     *headcount
}

// New returns the screens over the given services.
func New(c Config) *Web {
	if c.Emergency == "" {
		c.Emergency = DefaultEmergency
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	w := &Web{Config: c, assets: loadAssets(), heads: newHeadcount()}
	w.templates = template.Must(template.New("").Funcs(template.FuncMap{"asset": w.assets.path, "devices": signedInDevices}).ParseFS(templateFiles, "templates/*.html"))
	return w
}

// Mount puts the screens on the app. It answers only the screens' own paths, so that the API's stand beside them.
func (w *Web) Mount(app *fiber.App) {
	app.Get("/static/:stamp/*", w.static)
	app.Get("/favicon.ico", w.favicon)

	open := []fiber.Handler{w.faults, headers, w.identify}
	get := func(path string, h fiber.Handler) { app.Get(path, append(open[:3:3], w.signedIn, h)...) }
	post := func(path string, h fiber.Handler) { app.Post(path, append(open[:3:3], w.signedIn, h)...) }

	app.Get("/signin", append(open[:3:3], w.signInPage)...)
	app.Post("/signin", w.faults, headers, w.Sessions.SameOrigin, w.signIn)
	post("/signout", w.signOut)

	w.mountDoor(app, open, get, post)
	w.mountProblems(get, post)
	w.mountKits(get, post)
	w.mountPairing(app, open, get, post)
	w.mountCertificates(get, post)
	if w.Factors != nil {
		get("/me", w.me)
		post("/me/second-factor", w.offerFactor)
		post("/me/second-factor/confirm", w.confirmFactor)
		post("/me/second-factor/remove", w.removeFactor)
	}

	get("/", w.board)
	get("/board/list", w.boardList)
	get("/alerts/:id", w.alert)
	post("/alerts/:id/acknowledge", w.acknowledge)
	post("/alerts/:id/resolve", w.resolve)
	get("/patients", w.patients)
	get("/patients/:id", w.patient)
	get("/new-patient", w.newPatient)
	post("/new-patient", w.addPatient)
	w.mountSchedules(get, post)
	w.mountUsual(get, post)
	w.mountUnverified(get, post)
	w.mountParked(get, post)
	w.mountWithdrawn(post)
	w.mountTechnique(get, post)
	w.mountGaps(get)
	w.mountTeams(get, post)
	w.mountStaff(get, post)
	w.mountWebhooks(get, post)
	w.mountGlass(get, post)
	w.mountSafe(app, get, post)
	w.mountErasures(get, post)
	w.mountConsent(get, post)
	w.mountRefiles(get, post)
	w.mountIdentities(get, post)
	w.mountImports(app, open, get, post)
}
