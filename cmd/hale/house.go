package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hale/account"
	"hale/account/consent"
	"hale/account/identity"
	"hale/account/signin"
	"hale/alerts"
	"hale/api"
	"hale/api/feed"
	"hale/api/fhirmap"
	"hale/api/session"
	"hale/devices"
	"hale/devices/credential"
	"hale/devices/measuring"
	"hale/fault"
	"hale/ingest"
	"hale/ingest/bridge"
	"hale/ingest/edge"
	"hale/postgres"
	"hale/push"
	"hale/safe"
	"hale/stream"
	"hale/vital"
	"hale/web"
)

// The roles that a process can take on.
const (
	roleEdge    = "edge"
	roleBridge  = "bridge"
	roleProcess = "process"
	roleAPI     = "api"
)

// house is one process of Hale: the roles it takes on, wired together.
type house struct {
	roles    []string
	owner    string // names this process in the record; unique among those that run at once
	alone    bool   // it is the whole installation, and has the same owner whenever it runs
	database postgres.Config
	stream   *stream.Stream
	conn     *stream.Conn
	http     net.Listener // of role api; with TLS when https is set
	admin    net.Listener // of processes without it; nil: none
	mqtt     net.Listener // of role edge
	mqtts    net.Listener // of role edge, to be encrypted with cert; nil: none
	cert     certificate  // of the encrypted doors; nil: there are none
	https    bool
	strict   bool            // browsers are to keep to HTTPS
	proxies  session.Proxies // that are believed
	// balancers say the device's address first, to the device edge.
	balancers session.Proxies
	lease     time.Duration

	canaryEvery time.Duration     // between two beats; 0: defaultCanary
	edgeName    string            // of this process's canary (alerts.CanaryName); "" without role edge
	ownDoor     edge.CanaryConfig // of the same

	sealKey ed25519.PrivateKey // of the audit trail's checkpoints, with role process; nil: none are signed

	others *bridge.Config // brokers of role bridge, without what the house adds

	secondKey *signin.Key  // of second factors; nil: none here
	forgets   forgetting   // of role process
	ways      signInWays   // of staff, besides logins of this installation
	pairs     pairFlags    // what a device is told when it is paired
	renewals  chan renewal // of the doors of devices
	paces     paceFlags    // of the doors of devices
	// webhookNetworks may be sent to besides public addresses.
	webhookNetworks []netip.Prefix
	signer          credential.Signer // of devices' certificates, with role api; nil: none are signed here

	zone   *time.Location
	number string // whom to call in an emergency
	log    *slog.Logger

	registry   *prometheus.Registry
	app        *postgres.App
	work       *postgres.Work
	notices    *postgres.Work // of role process: what hands notices over has connections of its own
	canary     *alerts.CanaryWatch
	processor  *alerts.Processor
	dispatcher *push.Dispatcher // of role process
	edge       *edge.Server
	taken      *edge.Paces // of devices, by all doors together
	cache      *devices.Cache
	core       *ingest.Core
	bridge     *bridge.Bridge
	server     *api.Server // of role api
}

// renewals is how often a lease is renewed within its length: one late renewal must not lose a partition.
const renewals = 6

func (h *house) has(role string) bool { return slices.Contains(h.roles, role) }

// newRegistry is where a process registers its metrics.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// run opens the record and runs the roles until ctx ends. ready is called once when everything is up.
func (h *house) run(ctx context.Context, ready func()) error {
	var err error
	if h.work, err = postgres.OpenWork(ctx, h.database); err != nil {
		return err
	}
	defer h.work.Close()
	if h.app, err = postgres.OpenApp(ctx, h.database); err != nil {
		return err
	}
	defer h.app.Close()
	if h.has(roleProcess) {
		if h.notices, err = postgres.OpenNotices(ctx, h.database); err != nil {
			return err
		}
		defer h.notices.Close()
	}
	if err := h.refuseRestored(ctx); err != nil {
		return err
	}

	var stages []stage
	if h.admin != nil {
		stages = append(stages, stage{name: "admin address", run: h.administer, bound: 2 * adminWithin})
	}
	if h.cert != nil {
		stages = append(stages, h.renewing())
	}
	stages = append(stages, h.watchCanaries())
	if h.has(roleProcess) {
		stages = append(stages, h.processing()...)
	}
	if h.has(roleEdge) || h.has(roleBridge) || h.has(roleAPI) {
		taking, err := h.taking()
		if err != nil {
			return err
		}
		stages = append(stages, taking...)
	}
	if h.has(roleAPI) {
		stages = append(stages, h.answering()...) //nolint:contextcheck // the server is made here and gets its context when it runs
	}
	stages = append(stages, stage{name: "ready", run: func(ctx context.Context) error { return h.whenReady(ctx, ready) }})
	if err := runStages(ctx, h.log, stages); err != nil {
		return err // an edge that breaks is to be missed
	}
	h.leaveCanary(ctx)
	return nil
}

// whenReady calls ready when no check hinders, and then waits for the end.
func (h *house) whenReady(ctx context.Context, ready func()) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if !slices.ContainsFunc(h.checks(ctx), api.Check.Hinders) {
			ready()
			<-ctx.Done()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// checks looks at what must be there before this process may be sent anything.
func (h *house) checks(ctx context.Context) []api.Check {
	list := []api.Check{checked("database", h.app.Ping(ctx)), {Name: "stream", OK: h.conn.Up()}}
	if h.processor != nil {
		list = append(list, api.Check{Name: "partitions", OK: h.processor.Ready(), Detail: partitionsMissing(h.processor.Status())})
	}
	if h.edge != nil {
		list = append(list, api.Check{Name: "edge", OK: h.edge.Ready()})
	}
	if h.cache != nil {
		_, reachable := h.cache.Current()
		// Where no device connects, apps on phones are told to send again, and the screens are not taken from anybody for that.
		list = append(list, api.Check{Name: "registry", OK: reachable, Alarm: !h.has(roleEdge) && !h.has(roleBridge)})
	}
	list = append(list, h.checkBridge(ctx)...)
	if h.dispatcher != nil {
		list = append(list, h.checkWebhooks(ctx))
	}
	return append(list, h.checkCanary())
}

func checked(name string, err error) api.Check {
	if err != nil {
		return api.Check{Name: name, Detail: fault.MessageOf(err)}
	}
	return api.Check{Name: name, OK: true}
}

// partitionsMissing names the partitions that are not ours, and why: also those that are in others' good hands.
func partitionsMissing(list []alerts.PartitionStatus) string {
	var texts []string
	for _, s := range list {
		if s.State != alerts.PartitionOwned {
			texts = append(texts, partitionMissing(s))
		}
	}
	return strings.Join(texts, "; ")
}

func partitionMissing(s alerts.PartitionStatus) string {
	switch {
	case s.Held:
		return fmt.Sprintf("partition %d is held by another process", s.Partition)
	case s.State == alerts.PartitionStopped:
		return fmt.Sprintf("partition %d is stopped: a person must look", s.Partition)
	}
	return fmt.Sprintf("partition %d is %s", s.Partition, s.State)
}

// processing judges what the stream holds, and keeps partitions and stream in order.
func (h *house) processing() []stage {
	judged := newProcessorMetrics(h.registry)
	h.dispatcher = h.newDispatcher()
	h.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hale_copy_violations_total", Help: "Batches redone because COPY met a reading that was there already.",
	}, func() float64 { return float64(h.work.CopyViolations()) }))
	h.processor = alerts.NewProcessor(alerts.Config{
		Store: h.work,
		Open: func(ctx context.Context, partition int, lane vital.Lane, after uint64) (alerts.Reader, error) {
			r, err := h.stream.OpenReader(ctx, partition, lane, after)
			if err != nil {
				return nil, err // not r: a nil *Reader in an interface is not nil
			}
			return r, nil
		},
		Identity:  func(context.Context) (string, error) { return h.stream.Identity(), nil },
		Announcer: nudging{announcer{h.conn.Feed(), h.log}, h.dispatcher},
		Owner:     h.owner,
		Lease:     h.lease,
		Renew:     h.lease / renewals,
		Log:       h.log,
		Watch:     judged.watch(),
	})
	janitor := &stream.Janitor{
		Stream:  h.stream,
		Cursors: func(ctx context.Context) (uint64, error) { return h.work.Committed(ctx, h.stream.Identity()) },
		Log:     h.log,
	}
	return []stage{
		{name: "keeper of partitions", run: func(ctx context.Context) error {
			return every(ctx, time.Hour, func(ctx context.Context) { h.keepPartitions(ctx) })
		}},
		{name: "janitor of the stream", run: janitor.Run},
		h.sealing(),
		h.dispatching(),
		{name: "watchman of teams", run: (&account.Watchman{Store: h.work, Log: h.log}).Run},
		{name: "withdrawer", run: (&safe.Withdrawer{Store: h.work, Log: h.log}).Run},
		{name: "raiser of unverified reds", run: (&alerts.Raiser{Store: h.work, Announcer: nudging{announcer{h.conn.Feed(), h.log}, h.dispatcher}, Log: h.log}).Run},
		{name: "technician", run: (&measuring.Technician{Store: h.work, Log: h.log}).Run},
		{name: "lookout for devices", run: (&devices.Lookout{Store: h.work, Log: h.log}).Run},
		{name: "asker for consents", run: (&consent.Asker{Store: h.work, Log: h.log}).Run},
		h.erasing(),
		h.refiling(),
		{name: "processor", run: h.processor.Run, bound: 20 * time.Second},
	}
}

func (h *house) keepPartitions(ctx context.Context) {
	if err := h.work.KeepPartitions(ctx); err != nil && ctx.Err() == nil {
		h.log.Error("the partitions of the coming months cannot be made", "error", err)
	}
	if err := h.work.KeepOriginals(ctx); err != nil && ctx.Err() == nil {
		h.log.Error("messages that were kept as they were sent are not cleared", "error", err)
	}
	if err := h.work.KeepCanaries(ctx); err != nil && ctx.Err() == nil {
		h.log.Warn("rows of dead canaries stay", "error", err)
	}
	if err := h.work.KeepDeliveries(ctx); err != nil && ctx.Err() == nil {
		h.log.Warn("what became of old notices is not cleared", "error", err)
	}
	if err := h.work.KeepLeases(ctx); err != nil && ctx.Err() == nil {
		h.log.Warn("the leases of edges that ended stay", "error", err)
	}
}

// every runs f at once and then at an interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(context.Context)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// taking makes durable what comes in by the doors of this process: its own device edge, other people's brokers, apps on phones.
func (h *house) taking() ([]stage, error) {
	h.cache = devices.NewCache(devices.CacheConfig{Registry: h.work, Log: h.log})
	h.renewals = make(chan renewal, mostRenewals)
	h.core = ingest.New(ingest.Config{
		Snapshot:   func() *devices.Snapshot { s, _ := h.cache.Current(); return s },
		Publisher:  h.stream.Publisher(stream.PublisherConfig{}),
		Edge:       h.edgeName,
		Log:        h.log,
		Registerer: h.registry,
	})
	h.taken = edge.NewPaces(h.paces.limits(mostDevices), time.Now)
	stages := []stage{
		{name: "registry", run: h.cache.Run},
		{name: "registry nudges", run: func(ctx context.Context) error {
			return h.conn.Feed().OnNudge(ctx, nudgeRegistry, h.cache.Nudge)
		}},
		{name: "ingest core", run: h.core.Run, bound: 20 * time.Second},
		h.endingOldSecrets(),
	}
	if h.has(roleEdge) {
		stages = append(stages, h.listening(h.core)...)
	}
	if !h.has(roleBridge) {
		return stages, nil
	}
	bridging, err := h.bridging(h.core)
	return append(stages, bridging...), err
}

// listening accepts devices.
func (h *house) listening(core *ingest.Core) []stage {
	down := h.newDownlink()
	h.edge = edge.New(edge.Config{
		Renewed: h.renewed, Noted: core.Note, Subscribed: down.Subscribed,
		Listeners: h.forDevices(), Snapshot: h.cache.Current, Core: core, NodeID: h.owner, Log: h.log, Registerer: h.registry,
		Tell: func(word []byte) { h.conn.Feed().Tell(takeoverTopic, word) }, Canary: h.ownDoor,
		Limits: h.paces.limits(connectionsWithin(mostDevices, h.log)), Paces: h.taken,
	})
	lease := &devices.Lease{Store: h.work, Edge: h.edgeName, Log: h.log}
	return append(h.sendingDown(down), []stage{
		{name: "lease of the edge", run: lease.Run}, // its last word comes after that of the devices
		{name: "take-overs", run: func(ctx context.Context) error {
			return h.conn.Feed().Hear(ctx, takeoverTopic, h.edge.Hear, h.edge.RollCall)
		}},
		{name: "device edge", run: h.edge.Run, bound: 15 * time.Second},
	}...)
}

// nudgeRegistry is the topic on which an API tells the edges that a device or assignment changed.
const nudgeRegistry = "registry"

// answering serves people: the API, the live feed and the screens.
func (h *house) answering() []stage {
	feeder := h.conn.Feed()
	looks := &account.Looks{Log: h.app, Now: time.Now}
	directory := &account.Directory{People: h.app, Now: time.Now, Looks: looks}
	consents, caregivers, offboarding := &consent.Consents{Store: h.app, Looks: looks}, &consent.Caregivers{Store: h.app, Looks: looks}, &consent.Offboarding{Store: h.app, Looks: looks}
	ownData := safe.New(h.app, fhirmap.Exporter{}, looks, time.Now)
	erasures := &safe.Erasures{Book: h.app, People: h.app, Looks: looks}
	triage := &alerts.Triage{Cases: h.app, Announcer: announcer{feeder, h.log}, Looks: looks, Now: time.Now}
	limits := &alerts.Limits{Book: h.app, Past: h.app, Looks: looks, Now: time.Now}
	desk := &devices.Desk{Kit: h.app, Patients: h.app, Now: time.Now, Changed: h.registryChanged}
	gateways := &devices.Gateways{Book: h.app, Changed: h.registryChanged}
	kits := &devices.Kits{Book: h.app, Wearing: h.app, Patients: h.app, Looks: looks, Changed: h.registryChanged}
	types := &devices.Types{Catalogue: h.app, Looks: looks}
	schedules, technique := &measuring.Schedules{Book: h.app, Looks: looks, Now: time.Now, Silent: h.app.SilentOf, Clock: h.app.ClocksRefused}, h.technique(looks)
	counts := &devices.Counts{Book: h.app, Now: time.Now}
	credentials, certificates, refused := h.newCredentials(), h.newCertificates(), h.quarantine(looks)
	commands, problems := h.commands(), &devices.Problems{Book: h.app, Looks: looks}
	door := signin.New(h.app, h.secondKey, time.Now)
	keeper := &session.Keeper{SignIn: door, Codes: door, Keys: door, Leaving: door, Proxies: h.proxies, Public: h.ways.public, Hosts: h.names(), Log: h.log}
	door.Looks = looks
	hub := feed.NewHub(listener{feeder, h.log}, h.app, h.log)
	hub.Ended, door.Ended = h.app.EndedSessions, tellEnded(hub, feeder)
	h.ways.join(h.app, door)
	teams, rosters := &account.Teams{Book: h.app, Now: time.Now, Looks: looks}, &account.Rosters{Book: h.app, Now: time.Now}
	emergency := &account.Emergency{Book: h.app, Looks: looks}
	staffing := &account.Staffing{Book: h.app, Code: signin.NewInvitation, Now: time.Now}
	identities, doubles := newIdentities(h.app, looks), &identity.Doubles{Book: h.app, Now: time.Now, Looks: looks}
	imports, invitations := newImports(h.app), &signin.Invitations{Book: h.app, Door: door}
	refiles, merges := h.refiles(looks), h.merges(looks)
	withdrawals := &safe.Withdrawals{People: h.app, Book: h.app, Looks: looks}
	inbox := &safe.Inbox{Book: inboxTold{h.app, announcer{feeder, h.log}}, Refiles: refiles, Looks: looks}
	unverified := &alerts.Watchlist{Book: h.app, Claimer: claimer{inbox}, Announcer: announcer{feeder, h.log}, Looks: looks, Now: time.Now}
	webhooks := &push.Channels{Book: h.app, Troubles: h.app, Endpoints: h.newWebhooks()}
	pages := web.New(h.ways.onScreens(web.Config{
		Webhooks: webhooks,
		Teams:    teams, Rosters: rosters, Emergencies: emergency, Staffing: staffing,
		Identities: identities, Doubles: doubles, Imports: imports, StaffInvitations: invitations,
		Schedules: schedules, Technique: technique, Counts: counts, Unverified: unverified, Claimed: &alerts.ClaimedReds{Book: h.app, Looks: looks, Now: time.Now}, Inbox: inbox, Quarantine: refused, Withdrawals: withdrawals,
		Kits: kits, Types: types, Desk: desk, Gateways: gateways,
		Problems: problems, Commands: commands, Directory: directory, Triage: triage, Limits: limits, Charts: h.app, Sessions: keeper, Credentials: credentials, Certificates: certificates, Ways: h.deviceWays, Factors: door, Door: door, Safe: ownData, Erasures: erasures, Consents: consents, Caregivers: caregivers, Offboarding: offboarding, Refiles: refiles, Merges: merges, Zone: h.zone, Emergency: h.number, Log: h.log, Now: time.Now,
	}))
	h.server = api.New(h.ways.inAPI(api.Config{
		Webhooks: webhooks,
		Kits:     kits, Types: types, Gateways: gateways,
		Directory: directory, Triage: triage, Limits: limits, Charts: h.app, Desk: desk, Commands: commands, Problems: problems, Credentials: credentials, Ways: h.deviceWays, Certificates: certificates,
		Schedules: schedules, Technique: technique, Counts: counts, Unverified: unverified, Inbox: inbox, Quarantine: refused, Withdrawals: withdrawals,
		Teams: teams, Rosters: rosters, Emergency: emergency, Staffing: staffing,
		Consents: consents, Caregivers: caregivers, Offboarding: offboarding,
		Refiles: refiles, Merges: merges,
		Identities: identities, Doubles: doubles, Imports: imports, StaffInvitations: invitations,
		Safe: ownData, Erasures: erasures, Session: keeper, Door: door, Feed: hub, People: h.app, Log: h.log, Now: time.Now,
		Phones: h.newPhones(), Taker: edge.NewPaced(h.core, h.taken),
		Organisation: h.app.Organisation,
		Ready:        h.checks,
		Strict:       h.strict,
		Metrics:      promhttp.HandlerFor(h.registry, promhttp.HandlerOpts{}),
		Register:     h.registry,
		Mount:        []api.Mount{pages.Mount},
		ErrorPage:    pages.ErrorPage,
	}))
	return []stage{
		{name: "live feed", run: hub.Run},
		{name: "ended sessions", run: func(ctx context.Context) error { return hearEnded(ctx, hub, feeder) }},
		{name: "API", run: func(ctx context.Context) error { return h.server.Run(ctx, h.http) }, bound: 15 * time.Second},
	}
}

// registryChanged makes the edges look at the registry at once. The one in this process has looked before the desk has
// its answer, so that a device can connect as soon as it is enrolled.
func (h *house) registryChanged(ctx context.Context) {
	h.conn.Feed().Nudge(ctx, nudgeRegistry)
	if h.cache != nil {
		if err := h.cache.Look(ctx); err != nil {
			h.log.Warn("the edge has not seen a change of the registry yet", "error", err)
		}
	}
}
