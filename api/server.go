// Package api is Hale's JSON over HTTP: patients, charts, limits, devices, alerts and the worklist, described by OpenAPI
// 3.1 at /openapi.json and answered with problem details (RFC 9457) when something is wrong. It decides nothing: it
// finds out who asks (api/session), calls the domain's service, and says the answer.
package api

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"

	"hale/account"
	"hale/account/consent"
	"hale/account/identity"
	"hale/alerts"
	"hale/api/feed"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/devices/downlink"
	"hale/devices/measuring"
	"hale/fault"
	"hale/push"
	"hale/safe"
)

// Desk is the devices (devices.Desk). Its methods check account.Allow.
type Desk interface {
	Devices(ctx context.Context, actor account.Actor, limit int) ([]devices.Device, error)
	Enrol(ctx context.Context, actor account.Actor, e devices.Enrolment) (devices.Enrolled, error)
	Assign(ctx context.Context, actor account.Actor, b devices.Binding) (devices.Assignment, error)
	Intake(ctx context.Context, actor account.Actor, uid string) (devices.Intake, error)
	Revoke(ctx context.Context, actor account.Actor, uid string) error
}

// Check is one condition of being ready.
type Check struct {
	Name   string `json:"name" example:"database" doc:"What was looked at"`
	OK     bool   `json:"ok"`
	Alarm  bool   `json:"alarm,omitempty" doc:"It does not hold and somebody must look, but the server is ready all the same: what is sent to it is safe. Left out of what holds"`
	Detail string `json:"detail,omitempty" doc:"What is missing, for the operator"`
}

// Hinders reports whether the check keeps the server from being ready.
func (c Check) Hinders() bool { return !c.OK && !c.Alarm }

// Mount adds routes to the application, so that whoever joins the parts need not know Fiber.
type Mount = func(*fiber.App)

// Config is what a Server is made of. Ready, Metrics, Register, Organisation, Mount and ErrorPage may be left out.
type Config struct {
	Directory *account.Directory
	Triage    *alerts.Triage
	Limits    *alerts.Limits
	Charts    alerts.Charts
	Desk      Desk
	Gateways  *devices.Gateways // no routes of what gateways speak for when nil
	Commands  *downlink.CommandDesk
	Problems  *devices.Problems
	// Kits are what patients are given; no routes of kits when nil. With Types.
	Kits  *devices.Kits
	Types *devices.Types
	// Certificates are the client certificates of devices, and the authorities that sign them.
	Certificates *credential.Certificates
	// Credentials gives devices their secrets. Ways says how they reach the edge; host is the name by which this Hale was asked, or
	// empty, for an edge that listens on every address of its machine.
	Credentials *credential.Credentials
	Ways        func(host string) (credential.Ways, error)

	// Phones lets in apps that send what they measured, and Taker makes that durable.
	Phones *credential.Phones
	Taker  Taker

	Schedules *measuring.Schedules
	Technique *measuring.Technique
	Counts    *devices.Counts
	// Unverified are the values of nobody known that may be an emergency, and Inbox what waits for an owner.
	Unverified *alerts.Watchlist
	Inbox      *safe.Inbox
	// Quarantine is what was refused, of all devices.
	Quarantine *devices.Quarantine
	// Withdrawals are readings that were taken back.
	Withdrawals *safe.Withdrawals
	Teams       *account.Teams
	Staffing    *account.Staffing
	Rosters     *account.Rosters
	Emergency   *account.Emergency
	Safe        *safe.Safe
	Erasures    *safe.Erasures
	Refiles     *safe.Refiles

	// What patients agree to, whom they let in, and how care ends.
	Consents    *consent.Consents
	Caregivers  *consent.Caregivers
	Offboarding *consent.Offboarding

	// Who is who, and people who come in by files.
	Identities       *identity.Identities
	Doubles          *identity.Doubles
	Imports          *identity.Imports
	StaffInvitations StaffInvitations

	// Webhooks are where notices are sent; no routes of them when nil.
	Webhooks *push.Channels

	Merges  *safe.Merges
	Session *session.Keeper
	Door    session.Door
	Feed    *feed.Hub
	People  feed.People
	Log     *slog.Logger
	Now     func() time.Time

	// Provider signs staff in by an identity provider; nobody is when it is nil.
	Provider Provider
	// Organisation returns the name of the actor's organisation.
	Organisation func(ctx context.Context, actor account.Actor) (string, error)
	// Ready looks at what must be there before the server may be sent anything.
	Ready func(ctx context.Context) []Check
	// Strict makes browsers that came over HTTPS to a name keep to HTTPS there for a year (HSTS). It is for a certificate
	// that every browser trusts: the promise covers all ports of the name, and nobody can click past it.
	Strict bool
	// Metrics answers /metrics; it is served to this machine only. Register is where the server's own metrics go.
	Metrics  http.Handler
	Register prometheus.Registerer
	// Mount adds routes of others, the screens for one.
	Mount []Mount
	// ErrorPage answers an error for a browser that asked for a page outside /v1; message may be shown to anybody.
	ErrorPage func(c *fiber.Ctx, status int, message string) error
}

// Server is the HTTP server.
type Server struct {
	Config
	app *fiber.App
	api huma.API
}

const (
	bodyLimit     = 4 << 20 // bytes
	headerLimit   = 16 << 10
	readWithin    = 30 * time.Second
	writeWithin   = 60 * time.Second // a feed sets its own deadline at each flush
	idleWithin    = 2 * time.Minute
	answerWithin  = 30 * time.Second
	shutdownAfter = 10 * time.Second
)

// New returns a server with all its routes. It listens to nobody until Run.
func New(cfg Config) *Server {
	s := &Server{Config: cfg}
	s.app = fiber.New(fiber.Config{
		AppName: "Hale", DisableStartupMessage: true,
		Immutable:               true, // values of a request may outlive its handler
		EnableTrustedProxyCheck: true, // with no proxies: Fiber believes no header, session.Proxies knows better
		BodyLimit:               bodyLimit,
		ReadTimeout:             readWithin,
		WriteTimeout:            writeWithin,
		IdleTimeout:             idleWithin, ReadBufferSize: headerLimit,
		ErrorHandler: s.answerError,
	})
	s.app.Use(s.observe(), s.recoverPanic)
	s.app.Use("/v1", s.identify)
	s.api = humafiber.New(s.app, describe())
	s.addHealth()
	s.addDocs()
	s.addSession()
	s.addProvider()
	s.addInvitations()
	s.addKeys()
	s.addWebhooks()
	s.addPatients()
	s.addLimits()
	s.addTrends()
	s.addDevices()
	s.addPresence()
	s.addKits()
	s.addDeviceTypes()
	s.addGateways()
	s.addCertificates()
	s.addObservations()
	s.addPairing()
	s.addBroker()
	s.addSchedules()
	s.addTechnique()
	s.addSequences()
	s.addAlerts()
	s.addUnverified()
	s.addInbox()
	s.addQuarantine()
	s.addWithdrawn()
	s.addTeams()
	s.addAccounts()
	s.addSafe()
	s.addErasures()
	s.addGlass()
	s.addConsents()
	s.addCaregivers()
	s.addRefiles()
	s.addMerges()
	s.addIdentities()
	s.addImports()
	s.addFeed()
	for _, mount := range cfg.Mount {
		mount(s.app)
	}
	return s
}

// App returns the Fiber application, for tests that send requests without a socket.
func (s *Server) App() *fiber.App { return s.app }

// Run serves until ctx ends; then it closes the feeds, lets the requests in hand finish, and returns. It closes the
// listener.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.app.Listener(listener) }()
	select {
	case err := <-served:
		return fault.Wrap(fault.Internal, err, "serve HTTP")
	case <-ctx.Done():
	}
	s.Feed.Close()
	err := s.app.ShutdownWithTimeout(shutdownAfter)
	if err == nil {
		err = <-served
	}
	return fault.Wrap(fault.Internal, err, "stop serving HTTP")
}

// identify finds out who asks. Signing in is open to whoever has an old cookie.
func (s *Server) identify(c *fiber.Ctx) error {
	if c.Method() == fiber.MethodPost && (c.Path() == "/v1/session" || c.Path() == "/v1/session/code") {
		return s.Session.SameOrigin(c)
	}
	return s.Session.Identify(c)
}

func (s *Server) addFeed() {
	who := func(ctx context.Context) (account.Actor, string) { return session.Actor(ctx), session.Token(ctx) }
	stream := &feed.Stream{Hub: s.Feed, Who: who, Sessions: s.Session.SignIn, People: s.People}
	s.app.Get("/v1/feed", stream.Handle)
	s.describeFeed()
}
