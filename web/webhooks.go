package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/api/session"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

// mountWebhooks puts the pages of where notices are sent on the app.
func (w *Web) mountWebhooks(get, post func(string, fiber.Handler)) {
	if w.Webhooks == nil {
		return
	}
	get("/webhooks", func(c *fiber.Ctx) error {
		return w.webhooksPage(c, webhooksView{Audiences: []string{string(push.ToTeam)}})
	})
	get("/webhooks/:id", func(c *fiber.Ctx) error { return w.webhookPage(c, webhookView{}) })
	act := func(path string, h fiber.Handler) {
		post(path, func(c *fiber.Ctx) error { // before anything of the form is read
			if err := account.Allow(session.Actor(c.UserContext()), account.ManageWebhooks, nil); err != nil {
				return err
			}
			return h(c)
		})
	}
	act("/webhooks", w.addWebhook)
	act("/webhooks/:id/secret", w.renewWebhook)
	act("/webhooks/:id/disable", w.webhookAct(func(c *fiber.Ctx, actor account.Actor, id vital.UID) error {
		_, err := w.Webhooks.Disable(c.UserContext(), actor, id)
		return err
	}))
	act("/webhooks/:id/test", w.webhookAct(func(c *fiber.Ctx, actor account.Actor, id vital.UID) error {
		_, err := w.Webhooks.Test(c.UserContext(), actor, id)
		return err
	}))
}

// webhooksView is the list, and the form for another.
type webhooksView struct {
	Error string
	List  []channelView

	Name, URL  string
	Groups     []tickBox
	Severities []tickBox
	For        []tickBox
	Topics     []string // that were chosen
	Levels     []string
	Audiences  []string
}

// tickBox is a box that can be ticked.
type tickBox struct {
	Value, Text string
	On          bool
}

// channelView is a channel as people see it.
type channelView struct {
	ID         vital.UID
	Name       string
	URL        string
	Host       string
	What       string // it gets
	For        string
	By         string
	Made       moment
	Disabled   moment
	Gone       bool
	Old        moment // until when the secret before signs too
	Trouble    string
	Since      moment // the trouble
	Waiting    int
	GivenUp    int
	Delivered  moment
	Everything bool
}

func channelOf(c *push.Channel, k clock) channelView {
	s := &c.Standing
	trouble, since := c.Trouble(k.now)
	v := channelView{
		ID: c.UID, Name: c.Name, URL: c.URL, Host: c.URL, By: c.CreatedBy, Made: k.at(c.CreatedAt), Disabled: k.at(c.DisabledAt), Gone: c.DisabledWhy == push.Gone,
		Old: k.at(c.OldUntil), Trouble: sentence(trouble), Since: k.at(since), Waiting: s.Waiting, GivenUp: s.GivenUp, Delivered: k.at(s.DeliveredAt),
	}
	if u, err := url.Parse(c.URL); err == nil && u.Host != "" {
		v.Host = u.Host
	}
	var topics, levels, audiences []string
	for _, t := range c.Topics {
		topics = append(topics, topicWords(t))
	}
	for _, l := range c.Severities {
		levels = append(levels, severityWords(l))
	}
	for _, a := range c.Audiences {
		audiences = append(audiences, audienceWords(a))
	}
	v.What, v.For = "everything", strings.Join(audiences, ", ")
	if len(topics) > 0 {
		v.What = strings.Join(topics, ", ")
	}
	if len(levels) > 0 {
		v.What += "; only " + strings.Join(levels, ", ")
	}
	return v
}

// topicWords says what a topic, or a group of them, is about.
func topicWords(t push.Topic) string {
	group, _, _ := strings.Cut(string(t), ".")
	words := map[string]string{
		"alert": "alerts of patients", "unverified": "values of nobody known that may be an emergency", "care": "the end of care", "consent": "consents",
		"signin": "codes and devices that sign in", "access": "who is let in to a record", "team": "care teams with nobody", "correction": "corrections that are asked for",
		"schedule": "what is to be measured", "reading": "readings that were taken back", "erasure": "erasure", "webhook": "a test",
	}[group]
	switch {
	case words == "":
		return string(t)
	case strings.HasSuffix(string(t), ".*") || group == "webhook":
		return words
	}
	return words + " (" + string(t) + ")"
}

func severityWords(s string) string {
	switch s {
	case "none":
		return "what tells of no reading"
	case "urgent":
		return "urgent, of no reading"
	}
	return s
}

func audienceWords(a push.Audience) string {
	switch a {
	case push.ToTeam:
		return "the care team"
	case push.ToPatient:
		return "the patient"
	case push.ToCaregiver:
		return "a relative"
	case push.ToOfficer:
		return "the privacy officer"
	case push.ToManagers:
		return "whoever manages care teams"
	}
	return string(a)
}

func (w *Web) webhooksPage(c *fiber.Ctx, view webhooksView) error {
	list, now, err := w.Webhooks.List(c.UserContext(), session.Actor(c.UserContext()))
	if err != nil {
		return err
	}
	k := clock{now: now, zone: w.Zone}
	for i := range list {
		view.List = append(view.List, channelOf(&list[i], k))
	}
	for _, g := range push.Groups() {
		view.Groups = append(view.Groups, tickBox{string(g), topicWords(g), slices.Contains(view.Topics, string(g))})
	}
	for _, s := range push.Severities() {
		view.Severities = append(view.Severities, tickBox{s, severityWords(s), slices.Contains(view.Levels, s)})
	}
	for _, a := range push.Audiences() {
		view.For = append(view.For, tickBox{string(a), audienceWords(a), slices.Contains(view.Audiences, string(a))})
	}
	return w.page(c, "webhooks", "Where notices are sent", "teams", view)
}

// untoldLines says by which ways care teams are not told just now. Whoever answers alerts counts on them.
func (w *Web) untoldLines(ctx context.Context, actor account.Actor) ([]string, error) {
	if w.Webhooks == nil || !may(actor, account.HandleAlert) {
		return nil, nil
	}
	list, err := w.Webhooks.InTrouble(ctx, actor)
	k := clock{now: w.Now(), zone: w.Zone}
	var lines []string
	for _, t := range list {
		lines = append(lines, t.Name+": "+t.What+", since "+k.at(t.Since).Exact+". Do not count on being called by it, and tell others by other means.")
	}
	return lines, err
}

// ticked returns the values of the boxes of a name that were ticked.
func ticked(c *fiber.Ctx, name string) []string {
	var list []string
	for _, v := range c.Context().PostArgs().PeekMulti(name) {
		list = append(list, string(v))
	}
	return list
}

// addWebhook answers POST /webhooks.
func (w *Web) addWebhook(c *fiber.Ctx) error {
	view := webhooksView{
		Name: strings.TrimSpace(c.FormValue("name")), URL: strings.TrimSpace(c.FormValue("url")),
		Topics: ticked(c, "topic"), Levels: ticked(c, "severity"), Audiences: ticked(c, "audience"),
	}
	n := push.Channel{Name: view.Name, URL: view.URL, Severities: view.Levels}
	for _, t := range view.Topics {
		n.Topics = append(n.Topics, push.Topic(t))
	}
	for _, a := range view.Audiences {
		n.Audiences = append(n.Audiences, push.Audience(a))
	}
	made, secret, err := w.Webhooks.Add(c.UserContext(), session.Actor(c.UserContext()), n)
	if err == nil {
		return w.webhookPage(c, webhookView{ID: made.UID, Secret: secret})
	}
	if !amiss(err) {
		return err
	}
	c.Status(session.Status(err))
	view.Error = sentence(fault.MessageOf(err))
	return w.webhooksPage(c, view)
}

// webhookView is the page of one channel.
type webhookView struct {
	ID     vital.UID
	Error  string
	Secret string // once
	One    channelView
	List   []deliveryView
}

// deliveryView is what became of a notice.
type deliveryView struct {
	ID       vital.UID
	What     string
	Severity string
	At       moment
	State    string
	Good     bool
	Bad      bool
	Why      string
	Next     moment
	Took     string
}

func (w *Web) webhookPage(c *fiber.Ctx, view webhookView) error {
	ctx := c.UserContext()
	actor := session.Actor(ctx)
	if view.ID == "" {
		view.ID = vital.UID(c.Params("id"))
	}
	list, now, err := w.Webhooks.List(ctx, actor)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(one push.Channel) bool { return one.UID == view.ID })
	if i < 0 {
		return fault.New(fault.NotFound, "there is no webhook %s", view.ID)
	}
	deliveries, err := w.Webhooks.Deliveries(ctx, actor, view.ID, 0)
	if err != nil {
		return err
	}
	k := clock{now: now, zone: w.Zone}
	view.One = channelOf(&list[i], k)
	for j := range deliveries {
		view.List = append(view.List, deliveryOf(&deliveries[j], k))
	}
	if view.Secret != "" {
		c.Set("Cache-Control", "no-store")
	}
	return w.page(c, "webhook", view.One.Name+", webhook", "teams", view)
}

func deliveryOf(d *push.Delivery, k clock) deliveryView {
	v := deliveryView{
		ID: d.UID, What: strings.NewReplacer(".", " ", "_", " ").Replace(string(d.Topic)), Severity: d.Severity, At: k.at(d.CreatedAt), Good: d.State == push.Delivered, Bad: d.State == push.GivenUp,
		Why: reasonWords(d.Reason, d.Status), Next: k.at(d.NextAt),
	}
	switch d.State {
	case push.Waiting:
		v.State = "waits"
	case push.Delivered:
		after := max(d.SettledAt.Sub(d.CreatedAt), 0)
		v.State, v.Took = "delivered", "after "+strconv.Itoa(int(after.Minutes()))+" min"
		if after < time.Minute {
			v.Took = "after " + strconv.FormatFloat(after.Seconds(), 'f', 1, 64) + " s"
		}
	case push.GivenUp:
		v.State = "given up"
	case push.Cancelled:
		v.State = "not sent"
	}
	if d.Tries > 1 && d.State != push.Cancelled {
		v.State += ", try " + strconv.Itoa(d.Tries)
	}
	return v
}

// reasonWords says why something did not get through.
func reasonWords(r push.Reason, status int) string {
	words := map[push.Reason]string{
		push.TimedOut: "the receiver did not answer within ten seconds", push.Unreachable: "the receiver could not be reached", push.NotTrusted: "the receiver's certificate is not good",
		push.BadAddress: "its name leads to an address that notices may not be sent to", push.Redirects: "the receiver wants to be asked elsewhere; give the address that it names",
		push.GoneForGood: "the receiver answered that it is gone", push.NoKey: "Hale cannot open the secret: tell whoever runs it", push.TooOld: "it did not get through within a day",
		push.NoticeCancelled: "what it told of is not to be told any more", push.ChannelOff: "this was disabled", push.CareOver: "care of the patient has ended", push.ConsentOver: "the consent for it was taken back",
	}[r]
	if r == push.BadStatus {
		return "the receiver answered " + strconv.Itoa(status) + " " + http.StatusText(status)
	}
	return words
}

// renewWebhook answers POST /webhooks/{id}/secret.
func (w *Web) renewWebhook(c *fiber.Ctx) error {
	_, secret, err := w.Webhooks.Rotate(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	return w.webhookAgain(c, webhookView{Secret: secret}, err)
}

func (w *Web) webhookAct(act func(c *fiber.Ctx, actor account.Actor, id vital.UID) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id := vital.UID(c.Params("id"))
		err := act(c, session.Actor(c.UserContext()), id)
		if err == nil {
			return c.Redirect("/webhooks/"+url.PathEscape(string(id)), http.StatusSeeOther)
		}
		return w.webhookAgain(c, webhookView{}, err)
	}
}

// webhookAgain shows the page with a new secret, or with what was wrong.
func (w *Web) webhookAgain(c *fiber.Ctx, view webhookView, err error) error {
	if err != nil && !amiss(err) {
		return err
	}
	if err != nil {
		c.Status(session.Status(err))
		view.Error = sentence(fault.MessageOf(err))
	}
	return w.webhookPage(c, view)
}
