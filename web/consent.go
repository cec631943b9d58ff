package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"hale/account"
	"hale/account/consent"
	"hale/api/session"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// mountConsent puts the screens of what patients agree to on the app: three for patients, and for staff the page of a patient
// and the list of whom to ask. The forms of all of them are answered under one path.
func (w *Web) mountConsent(get, post func(string, fiber.Handler)) {
	if w.Consents == nil {
		return
	}
	get("/safe/:id/consents", func(c *fiber.Ctx) error { return w.agreedPage(c, nil) })
	get("/safe/:id/caregivers", func(c *fiber.Ctx) error { return w.peoplePage(c, nil) })
	get("/safe/:id/private", func(c *fiber.Ctx) error { return w.privatePage(c, nil) })
	get("/patients/:id/consents", func(c *fiber.Ctx) error { return w.consentDesk(c, nil) })
	get("/consents", w.dueConsents)
	w.mountConsentActs(post)
}

// purposeWords is a purpose as a heading: to whom it belongs is said around it.
func purposeWords(p consent.Purpose) string {
	switch p {
	case consent.ForCare:
		return "Being looked after at home"
	case consent.ForSharing:
		return "Letting family or friends see"
	case consent.ForResearch:
		return "Research"
	}
	return string(p)
}

// purposeView is one consent with what can be done about it.
type purposeView struct {
	Purpose  string
	Title    string
	Text     string
	Version  int // of the text in force
	State    string
	Due      string
	Given    bool
	Agree    string // the word on the button; empty: there is nothing to agree to just now
	Refuse   bool
	Lasts    string // until when it goes on if nobody answers
	IsCare   bool
	IsShare  bool
	Standing consent.Standing
	Wakes    []wakeView // who sees something again when sharing is agreed to
}

// wakeView is somebody who was let in and sees nothing while sharing is not agreed to.
type wakeView struct{ Name, Sees string }

func (w *Web) purposeViews(f *consent.File, k clock) []purposeView {
	var list []purposeView
	for _, s := range f.Standings(k.now) {
		v := purposeView{
			Purpose: string(s.Purpose), Title: purposeWords(s.Purpose), Given: s.State == consent.StateGiven || s.State == consent.StateLapsed, Standing: s,
			IsCare: s.Purpose == consent.ForCare, IsShare: s.Purpose == consent.ForSharing, State: stateWords(&s, k), Due: dueWords(s.Due),
		}
		if t, ok := consent.TextInForce(f.Texts, s.Purpose, "en", k.now); ok {
			v.Text, v.Version = t.Body, t.Version
		}
		switch {
		case !v.Given && f.Patient.State != account.Locked:
			v.Agree, v.Refuse = "Yes, I agree", s.State == consent.StateUnasked
		case v.Given && s.Due != consent.DueNot:
			v.Agree = "Yes, I still agree"
		}
		if s.Due == consent.DueTime && !s.LapsesAt.IsZero() && s.Stands() {
			v.Lasts = day(s.LapsesAt, k)
		}
		if v.IsShare && !s.Stands() {
			v.Wakes = wakes(f.Grants, k.now)
		}
		list = append(list, v)
	}
	return list
}

func wakes(grants []consent.Grant, now time.Time) []wakeView {
	var list []wakeView
	for i := range grants {
		if g := &grants[i]; !g.Guardian && !g.Ended(now) {
			list = append(list, wakeView{Name: g.Name, Sees: seesWords(g)})
		}
	}
	return list
}

func day(t time.Time, k clock) string { return t.In(k.zone).Format("2 January 2006") }

func stateWords(s *consent.Standing, k clock) string {
	switch s.State {
	case consent.StateUnasked:
		return "Not decided yet."
	case consent.StateGiven:
		return "Agreed on " + day(s.Since, k) + "."
	case consent.StateRefused:
		return "Not agreed, since " + day(s.Since, k) + "."
	case consent.StateWithdrawn:
		return "Stopped on " + day(s.Since, k) + "."
	case consent.StateLapsed:
		return "Ended by itself on " + day(s.LapsesAt, k) + ", because nobody answered when it was asked for again."
	}
	return ""
}

func dueWords(d consent.Due) string {
	switch d {
	case consent.DueFirst:
		return "It has not been asked for yet."
	case consent.DueText:
		return "The text has changed. Nothing changes before it is answered."
	case consent.DueTime:
		return "Half a year has passed, so it is asked for again."
	case consent.DueNot:
	}
	return ""
}

// agreedView is the patient's page of consents.
type agreedView struct {
	Asks     bool // a guardian, who asks the team
	Purposes []purposeView
	Log      []string
	Requests []string
	Ending   endingView
}

type endingView struct {
	Stage    consent.EndingStage
	Words    string
	Steps    []string
	Open     int // alerts
	Stopping bool
	Stopped  bool
	Late     bool // nobody has told the patient for longer than a day
}

func viewEnding(steps []consent.EndingStep, open int, k clock) endingView {
	v := endingView{Stage: consent.StageOf(steps), Open: open}
	v.Stopping, v.Stopped = v.Stage == consent.StageStopping, v.Stage == consent.StageStopped
	switch v.Stage {
	case consent.StageNone:
	case consent.StageStopping:
		v.Words = "Care is ending. It is still watched over: until a person of the care team has said that it has stopped, everything goes on."
		v.Late = k.now.Sub(steps[len(steps)-1].At) > consent.LongestUntold
	case consent.StageStopped:
		v.Words = "Nobody watches over the measurements any more."
	case consent.StageLocked:
		v.Words = "Care has ended. The record is kept, and nothing is added to it."
	}
	for _, s := range steps {
		text := k.exact(s.At) + ": " + stepWords(s) + ", " + s.ActorName
		if s.Note != "" {
			text += " (" + s.Note + ")"
		}
		v.Steps = append(v.Steps, text)
	}
	return v
}

func stepWords(s consent.EndingStep) string {
	switch s.Kind {
	case consent.StepStarted:
		return "consent to care was withdrawn"
	case consent.StepTold:
		return "the patient was told by " + s.How + " that nobody watches any more"
	case consent.StepFinished:
		return "care has ended, the record is locked"
	case consent.StepUndone:
		return "care goes on, by new consent"
	case consent.StepReadmitted:
		return "taken into care again, by new consent"
	}
	return string(s.Kind)
}

func choiceWords(c consent.Choice) string {
	switch c {
	case consent.Given:
		return "agreed"
	case consent.Refused:
		return "not agreed"
	case consent.Withdrawn:
		return "stopped"
	}
	return string(c)
}

func logLine(d *consent.Decision, texts []consent.Text, k clock) string {
	words := " (text " + itoa(d.Version) + ")"
	if d.BeforeText(texts) {
		words = " (the words of the paper)"
	}
	text := k.exact(d.DecidedAt) + ": " + strings.ToLower(purposeWords(d.Purpose)) + ", " + choiceWords(d.Choice) + words
	if d.By == consent.ByGuardian {
		text += ", by a guardian"
	}
	switch d.Through {
	case consent.ThroughOwnSession:
		return text
	case consent.ThroughPaper:
		text += ", on paper"
	case consent.ThroughInPerson:
		text += ", said in person"
	case consent.ThroughPhone:
		text += ", said on the phone"
	}
	text += ", written down by " + d.RecordedBy
	if d.Document != "" {
		text += ", document " + d.Document
	}
	if d.Witness != "" {
		text += ", heard by " + d.Witness
	}
	return text
}

// guardianAsks says who asks the team for what: a guardian decides nothing alone.
func guardianAsks(r *consent.GuardianRequest, k clock) string {
	what := map[consent.Choice]string{consent.Given: "a yes to ", consent.Refused: "a no to ", consent.Withdrawn: "an end of "}[r.Choice]
	return k.exact(r.MadeAt) + ": " + r.Name + ", guardian, asks the care team for " + what + "“" + strings.ToLower(purposeWords(r.Purpose)) + "”"
}

func requestLine(r *consent.GuardianRequest, k clock) string {
	switch {
	case r.SettledAt.IsZero():
		return guardianAsks(r, k) + ". They have not answered, and nothing changes before they do."
	case r.Accepted:
		return guardianAsks(r, k) + ". They did it."
	}
	return guardianAsks(r, k) + ". They did not do it; ask them why."
}

// file loads what the consent pages show.
func (w *Web) file(c *fiber.Ctx) (consent.File, clock, account.Session, error) {
	s, _ := session.Of(c.UserContext())
	f, now, err := w.Consents.File(c.UserContext(), s.Actor, vital.UID(c.Params("id")))
	return f, clock{now: now}.in(f.Patient.Zone), s, err
}

// wrongOf is what a page says of an act that was refused: something that the person can mend.
func wrongOf(err error) string {
	if err == nil {
		return ""
	}
	return sentence(fault.MessageOf(err))
}

// agreedPage shows what a patient agreed to, to themselves and to who acts for them.
func (w *Web) agreedPage(c *fiber.Ctx, wrong error) error {
	f, k, s, err := w.file(c)
	if err != nil {
		return err
	}
	if s.Actor.Staff != 0 {
		return c.Redirect("/patients/"+string(f.Patient.UID)+"/consents", http.StatusSeeOther)
	}
	v := agreedView{Asks: s.Actor.Role == account.CaregiverRole, Purposes: w.purposeViews(&f, k), Ending: viewEnding(f.Steps, 0, k)}
	for i := range f.Log {
		v.Log = append(v.Log, logLine(&f.Log[len(f.Log)-1-i], f.Texts, k))
	}
	for i := range f.Requests {
		v.Requests = append(v.Requests, requestLine(&f.Requests[i], k))
	}
	page := safeFor(c, &f.Patient, v)
	page.Error = wrongOf(wrong)
	return w.safePage(c, "consents", "What was agreed to", page)
}

// grantView is one person who was let in.
type grantView struct {
	ID        vital.UID
	Patient   vital.UID
	CSRF      string
	Name      string
	Guardian  bool
	Sees      string
	Asleep    bool // the patient does not agree to sharing just now: they see nothing, and all of it with a new yes
	Until     string
	By        string
	Document  string
	Reason    string
	Waits     bool // for the second look at the document
	Confirms  bool // the reader can be the second person
	Frozen    bool
	Over      bool
	Scopes    []offer
	Page      string // whose form it is, to come back to
	CanEnd    bool
	Reasons   bool // a reason is asked for: staff
	UntilDate string
}

// scopeWords are what can be shared, as the patient says it.
func scopeWords(a account.Action) string {
	words := map[account.Action]string{
		account.SeePatients: "the name and nothing else", account.SeeReadings: "what is measured", account.SeeAlerts: "when something is not right", account.SeeSheet: "the emergency sheet",
		account.SeeConsents: "what was agreed to", account.RecordConsent: "can ask for consents", account.SeeLooks: "who looked", account.ExportRecord: "can take a copy",
		account.ShareRecord: "can show a doctor", account.AskCorrection: "can say what is wrong", account.AskErasure: "can ask for erasure",
	}
	if word, ok := words[a]; ok {
		return word
	}
	return string(a)
}

func scopeOffers(chosen account.Scopes) []offer {
	var list []offer
	for _, a := range account.ForCaregivers() {
		if a != account.SeePatients { // comes with any other
			list = append(list, offer{Value: string(a), Text: scopeWords(a), Chosen: chosen.Has(a)})
		}
	}
	return list
}

func viewGrant(g *consent.Grant, f *consent.File, s account.Session, k clock, page string) grantView {
	sharing := consent.Stand(consent.ForSharing, f.Texts, f.Log, k.now)
	v := grantView{
		ID: g.Who, Patient: f.Patient.UID, CSRF: s.CSRF, Name: g.Name, Guardian: g.Guardian, By: g.RecordedBy, Document: g.Document, Reason: g.Reason, Frozen: !g.SuspendedAt.IsZero(),
		Waits: g.Guardian && g.ConfirmedAt.IsZero(), Over: g.Ended(k.now), Scopes: scopeOffers(g.Scopes), Page: page, CanEnd: !g.Guardian || s.Actor.Staff != 0,
		Reasons: s.Actor.Staff != 0, Asleep: !g.Guardian && !sharing.Stands(),
	}
	v.Confirms = v.Waits && consent.DecideConfirm(g, s.Actor, k.now) == nil
	v.Sees = seesWords(g)
	switch {
	case v.Over:
		v.Until = "ended " + k.exact(g.To)
	case g.To.IsZero():
		v.Until = "until it is ended"
	default:
		last := g.To.Add(-time.Second).In(k.zone) // midnight is the end of the day before
		v.Until, v.UntilDate = "until "+k.exact(g.To), last.Format(time.DateOnly)
		if local := g.To.In(k.zone); local.Hour() == 0 && local.Minute() == 0 {
			v.Until = "until the end of " + day(last, k)
		}
	}
	return v
}

// seesWords are what somebody who was let in sees.
func seesWords(g *consent.Grant) string {
	if g.Guardian && g.Scopes == account.ScopesOf(account.ForGuardians()...) {
		return "all that the patient sees, and can ask the care team"
	}
	var sees []string
	for _, a := range g.Scopes.Actions() {
		if a == account.ManageCaregiver { // a guardian asks the team for it, whatever stands here
			continue
		}
		if a != account.SeePatients || g.Scopes == account.ScopesOf(account.SeePatients) {
			sees = append(sees, scopeWords(a))
		}
	}
	return strings.Join(sees, ", ")
}

// peopleView is the patient's page of those whom they let in.
type peopleView struct {
	CanLet bool // sharing is agreed to, and care goes on
	People []grantView
	Past   []grantView
	Scopes []offer
}

func (w *Web) peoplePage(c *fiber.Ctx, wrong error) error {
	grants, _, err := w.Caregivers.List(c.UserContext(), session.Actor(c.UserContext()), vital.UID(c.Params("id")))
	if err != nil {
		return err // who may see this page at all is said before the patient is looked for
	}
	f, k, s, err := w.file(c)
	if err != nil {
		return err
	}
	sharing := consent.Stand(consent.ForSharing, f.Texts, f.Log, k.now)
	v := peopleView{CanLet: sharing.Stands() && f.Patient.State == account.Active, Scopes: scopeOffers(account.ScopesOf(account.SeeReadings))}
	v.People, v.Past = viewGrants(grants, &f, s, k, "people")
	page := safeFor(c, &f.Patient, v)
	page.Error = wrongOf(wrong)
	return w.safePage(c, "people", "Who may see", page)
}

func viewGrants(grants []consent.Grant, f *consent.File, s account.Session, k clock, page string) (now, past []grantView) {
	for i := range grants {
		if v := viewGrant(&grants[i], f, s, k, page); v.Over {
			past = append(past, v)
		} else {
			now = append(now, v)
		}
	}
	return now, past
}

// itemView is something private.
type itemView struct {
	ID      vital.UID
	Patient vital.UID
	CSRF    string
	Page    string
	Text    string
}

// privateView is the patient's page of what stays with them.
type privateView struct {
	People  []grantView
	Items   []itemView
	Metrics []offer
}

func (w *Web) privateOf(c *fiber.Ctx, f *consent.File, s account.Session, k clock, page string) (privateView, error) {
	items, err := w.Caregivers.Private(c.UserContext(), s.Actor, f.Patient.UID)
	if err != nil {
		return privateView{}, err
	}
	var v privateView
	v.People, _ = viewGrants(f.Grants, f, s, k, page)
	for i := range items {
		v.Items = append(v.Items, itemView{ID: items[i].UID, Patient: f.Patient.UID, CSRF: s.CSRF, Page: page, Text: itemWords(&items[i], k)})
	}
	for _, d := range vital.Metrics() {
		v.Metrics = append(v.Metrics, offer{Value: d.Code, Text: d.Display})
	}
	return v, nil
}

func itemWords(i *consent.PrivateItem, k clock) string {
	text := "Everything measured"
	switch i.Kind {
	case consent.PrivateAlert:
		return "The alert about " + strings.ToLower(metricWord(i.Names.Metric)) + " of " + k.exact(i.Names.At)
	case consent.PrivateConsent:
		return "What was decided on " + k.exact(i.Names.At) + " about “" + strings.ToLower(purposeWords(i.Names.Purpose)) + "”"
	case consent.PrivateCorrection:
		return "What was said to be wrong on " + k.exact(i.Names.At) + ": " + strings.ToLower(wrongWords(safe.Wrong(i.Names.Wrong), i.Names.Metric))
	case consent.PrivateMetric:
		text = metricWord(i.Metric)
	case consent.PrivateSpan:
	}
	if !i.From.IsZero() {
		text += " from " + k.exact(i.From)
	}
	if !i.To.IsZero() {
		text += " to " + k.exact(i.To)
	}
	return text
}

func (w *Web) privatePage(c *fiber.Ctx, wrong error) error {
	s, _ := session.Of(c.UserContext())
	if err := account.Allow(s.Actor, account.Protect, nil); err != nil {
		return err
	}
	f, k, s, err := w.file(c)
	if err != nil {
		return err
	}
	v, err := w.privateOf(c, &f, s, k, "private")
	if err != nil {
		return err
	}
	page := safeFor(c, &f.Patient, v)
	page.Error = wrongOf(wrong)
	return w.safePage(c, "private", "What stays with you", page)
}
