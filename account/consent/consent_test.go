package consent_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
)

func consentTime(days int) time.Time {
	return time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(days) * 24 * time.Hour)
}

func consentTexts() []consent.Text {
	var list []consent.Text
	for _, p := range consent.Purposes() {
		list = append(list, consent.Text{Purpose: p, Version: 1, Language: "en", EffectiveFrom: consentTime(-100)})
	}
	return append(list,
		consent.Text{Purpose: consent.ForResearch, Version: 2, Language: "en", EffectiveFrom: consentTime(50)},
		consent.Text{Purpose: consent.ForResearch, Version: 2, Language: "sl", EffectiveFrom: consentTime(50)})
}

func TestAConsentStandsAsItsLogFolds(t *testing.T) {
	t.Parallel()
	given := func(p consent.Purpose, day, version int) consent.Decision {
		return consent.Decision{ID: int64(day) + 1000, Purpose: p, Version: version, Choice: consent.Given, DecidedAt: consentTime(day)}
	}
	no := func(p consent.Purpose, day int, c consent.Choice) consent.Decision {
		return consent.Decision{ID: int64(day) + 1000, Purpose: p, Version: 1, Choice: c, DecidedAt: consentTime(day)}
	}
	cases := map[string]struct {
		purpose consent.Purpose
		log     []consent.Decision
		day     int
		state   consent.State
		due     consent.Due
		version int
	}{
		"care that nobody asked for is to be asked for":         {consent.ForCare, nil, 0, consent.StateUnasked, consent.DueFirst, 0},
		"research that nobody asked for need not be":            {consent.ForResearch, nil, 0, consent.StateUnasked, consent.DueNot, 0},
		"what was given stands":                                 {consent.ForCare, []consent.Decision{given(consent.ForCare, 0, 1)}, 10, consent.StateGiven, consent.DueNot, 1},
		"a decision is of no force before it":                   {consent.ForCare, []consent.Decision{given(consent.ForCare, 20, 1)}, 10, consent.StateUnasked, consent.DueFirst, 0},
		"the newest decision counts":                            {consent.ForSharing, []consent.Decision{given(consent.ForSharing, 0, 1), no(consent.ForSharing, 5, consent.Withdrawn)}, 5, consent.StateWithdrawn, consent.DueNot, 1},
		"and not the one that was written down last":            {consent.ForSharing, []consent.Decision{no(consent.ForSharing, 5, consent.Withdrawn), given(consent.ForSharing, 0, 1)}, 6, consent.StateWithdrawn, consent.DueNot, 1},
		"another purpose is another consent":                    {consent.ForSharing, []consent.Decision{given(consent.ForResearch, 0, 1)}, 5, consent.StateUnasked, consent.DueNot, 0},
		"a new text renews nothing, but is to be asked about":   {consent.ForResearch, []consent.Decision{given(consent.ForResearch, 0, 1)}, 50, consent.StateGiven, consent.DueText, 1},
		"who agreed to the new text is not asked":               {consent.ForResearch, []consent.Decision{given(consent.ForResearch, 51, 2)}, 60, consent.StateGiven, consent.DueNot, 2},
		"a no is not asked again":                               {consent.ForResearch, []consent.Decision{no(consent.ForResearch, 0, consent.Refused)}, 400, consent.StateRefused, consent.DueNot, 1},
		"a day before half a year nobody is asked":              {consent.ForCare, []consent.Decision{given(consent.ForCare, 0, 1)}, 181, consent.StateGiven, consent.DueNot, 1},
		"after half a year everybody is":                        {consent.ForCare, []consent.Decision{given(consent.ForCare, 0, 1)}, 182, consent.StateGiven, consent.DueTime, 1},
		"care goes on when nobody answers":                      {consent.ForCare, []consent.Decision{given(consent.ForCare, 0, 1)}, 900, consent.StateGiven, consent.DueTime, 1},
		"sharing goes on for the days of grace":                 {consent.ForSharing, []consent.Decision{given(consent.ForSharing, 0, 1)}, 211, consent.StateGiven, consent.DueTime, 1},
		"and lapses then":                                       {consent.ForSharing, []consent.Decision{given(consent.ForSharing, 0, 1)}, 212, consent.StateLapsed, consent.DueTime, 1},
		"research lapses too":                                   {consent.ForResearch, []consent.Decision{given(consent.ForResearch, 51, 2)}, 51 + 212, consent.StateLapsed, consent.DueTime, 2},
		"whoever says yes again begins a new half a year":       {consent.ForSharing, []consent.Decision{given(consent.ForSharing, 0, 1), given(consent.ForSharing, 190, 1)}, 300, consent.StateGiven, consent.DueNot, 1},
		"a lapsed consent that is given again stands once more": {consent.ForSharing, []consent.Decision{given(consent.ForSharing, 0, 1), given(consent.ForSharing, 250, 1)}, 260, consent.StateGiven, consent.DueNot, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := consent.Stand(c.purpose, consentTexts(), c.log, consentTime(c.day))
			if got.State != c.state || got.Due != c.due || got.Version != c.version {
				t.Errorf("state %q, due %q, version %d; want %q, %q, %d", got.State, got.Due, got.Version, c.state, c.due, c.version)
			}
		})
	}
}

func selfActor() account.Actor {
	return account.Actor{Org: 1, Self: 5, Name: "Ana", Role: account.SelfRole}
}

func nurseActor() account.Actor {
	return account.Actor{Org: 1, Staff: 7, Name: "Nina", Role: account.Nurse}
}

func guardianActor() account.Actor {
	return account.Actor{Org: 1, Caregiver: 9, Name: "Gal", Role: account.CaregiverRole}
}

// asked is a file with what a guardian has asked for about care; answered at a moment unless that is zero.
func asked(f *consent.File, choice consent.Choice, answered time.Time) *consent.File {
	f.Requests = append(f.Requests, consent.GuardianRequest{Guardian: "g", Purpose: consent.ForCare, Version: 1, Choice: choice, SettledAt: answered})
	return f
}

func frozen(f *consent.File, at time.Time) *consent.File {
	f.Patient.Relation.Frozen = at
	return f
}

func consentFile(state account.State, log ...consent.Decision) *consent.File {
	return &consent.File{Patient: account.Patient{ID: 5, Org: 1, State: state}, Texts: consentTexts(), Log: log, Grants: []consent.Grant{{
		Caregiver: 9, Who: "g", Guardian: true, Document: "court 1", Staff: 7, From: consentTime(-10), To: consentTime(500), ConfirmedAt: consentTime(-9),
	}}}
}

func TestADecisionMustFit(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	gave := consent.Decision{ID: 1, Purpose: consent.ForResearch, Version: 2, Choice: consent.Given, DecidedAt: consentTime(55)}
	paper := consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given, Through: consent.ThroughPaper, Document: "folder 3"}
	with := func(act consent.Act, change func(*consent.Act)) consent.Act {
		change(&act)
		return act
	}
	cases := map[string]struct {
		file  *consent.File
		actor account.Actor
		act   consent.Act
		kind  fault.Kind
		says  string
	}{
		"one's own yes":                          {consentFile(account.Active), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, "", ""},
		"yes to a text that is not in force":     {consentFile(account.Active), selfActor(), consent.Act{Purpose: consent.ForResearch, Version: 1, Choice: consent.Given}, fault.Conflict, "the text has changed"},
		"a paper of the older text":              {consentFile(account.Active), nurseActor(), consent.Act{Purpose: consent.ForResearch, Version: 1, Choice: consent.Given, Through: consent.ThroughPaper, Document: "f", At: consentTime(10)}, "", ""},
		"a paper from before there was a text":   {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.At = consentTime(-150) }), "", ""},
		"a word from before there was a text":    {consentFile(account.Active), nurseActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given, Through: consent.ThroughPhone, Witness: "Dr. B", At: consentTime(-150)}, fault.Conflict, "only a signed paper"},
		"a guardian who asks once more":          {asked(consentFile(account.Active), consent.Given, time.Time{}), guardianActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, fault.Conflict, "asked for this already"},
		"a guardian who asks for another thing":  {asked(consentFile(account.Active), consent.Refused, time.Time{}), guardianActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, "", ""},
		"a guardian who asks after an answer":    {asked(consentFile(account.Active), consent.Given, consentTime(20)), guardianActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, "", ""},
		"a guardian who may not know the answer": {frozen(asked(consentFile(account.Active), consent.Given, consentTime(20)), consentTime(10)), guardianActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, fault.Conflict, "asked for this already"},
		"a text that never was":                  {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.Version = 7 }), fault.Invalid, "version"},
		"a patient with a document":              {consentFile(account.Active), selfActor(), paper, fault.Invalid, "for staff"},
		"staff without a way":                    {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.Through = "" }), fault.Invalid, "through"},
		"a paper that is nowhere":                {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.Document = " " }), fault.Invalid, "where the signed paper"},
		"a word that nobody heard":               {consentFile(account.Active), nurseActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given, Through: consent.ThroughPhone}, fault.Invalid, "witness"},
		"tomorrow's paper":                       {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.At = consentTime(61) }), fault.Invalid, "at"},
		"a guardian's paper":                     {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.Guardian = "g" }), "", ""},
		"a stranger's paper":                     {consentFile(account.Active), nurseActor(), with(paper, func(a *consent.Act) { a.Guardian = "x" }), fault.Invalid, "guardian"},
		"withdrawing nothing":                    {consentFile(account.Active), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Withdrawn}, fault.Conflict, "nothing to withdraw"},
		"refusing what is given":                 {consentFile(account.Active, gave), selfActor(), consent.Act{Purpose: consent.ForResearch, Version: 2, Choice: consent.Refused}, fault.Conflict, "withdraw it"},
		"an old paper after a newer word":        {consentFile(account.Active, gave), nurseActor(), consent.Act{Purpose: consent.ForResearch, Version: 2, Choice: consent.Withdrawn, Through: consent.ThroughPaper, Document: "f", At: consentTime(52)}, fault.Conflict, "newer decision"},
		"coming back by oneself":                 {consentFile(account.Locked), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, fault.Conflict, "ask the care team"},
		"a purpose that there is not":            {consentFile(account.Active), selfActor(), consent.Act{Purpose: "marketing", Version: 1, Choice: consent.Given}, fault.Invalid, "purpose"},
		"a choice that there is not":             {consentFile(account.Active), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: "perhaps"}, fault.Invalid, "choice"},
		"a decision in a record that is gone":    {consentFile(account.Merged), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, fault.Conflict, "merged"},
		"withdrawing what somebody else asked":   {consentFile(account.Active, gave), selfActor(), consent.Act{Purpose: consent.ForResearch, Version: 2, Choice: consent.Withdrawn}, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := consent.Decide(c.file, c.actor, c.act, now)
			if (err == nil) != (c.kind == "") || err != nil && !fault.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want kind %q and %q", err, c.kind, c.says)
			}
		})
	}
}

func TestWhatFollowsFromADecision(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	gave := func(p consent.Purpose, version int) consent.Decision {
		return consent.Decision{ID: 1, Purpose: p, Version: version, Choice: consent.Given, DecidedAt: now} // in the same moment
	}
	no := consent.Decision{ID: 2, Purpose: consent.ForCare, Version: 1, Choice: consent.Withdrawn, DecidedAt: now}
	yes := consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given, Through: consent.ThroughInPerson, Witness: "Dr. B"}
	cases := map[string]struct {
		file  *consent.File
		actor account.Actor
		act   consent.Act
		stops bool
		step  consent.EndingKind
		state account.State
	}{
		"withdrawing sharing stops it":        {consentFile(account.Active, gave(consent.ForSharing, 1)), selfActor(), consent.Act{Purpose: consent.ForSharing, Version: 1, Choice: consent.Withdrawn}, true, "", ""},
		"withdrawing research stops it":       {consentFile(account.Active, gave(consent.ForResearch, 2)), selfActor(), consent.Act{Purpose: consent.ForResearch, Version: 2, Choice: consent.Withdrawn}, true, "", ""},
		"withdrawing care starts its end":     {consentFile(account.Active, gave(consent.ForCare, 1)), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Withdrawn}, true, consent.StepStarted, account.Ending},
		"so does a no when first asked":       {consentFile(account.Active), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Refused}, false, consent.StepStarted, account.Ending},
		"a yes in time undoes it":             {consentFile(account.Ending, no), selfActor(), consent.Act{Purpose: consent.ForCare, Version: 1, Choice: consent.Given}, false, consent.StepUndone, account.Active},
		"a yes to staff opens a locked one":   {consentFile(account.Locked, no), nurseActor(), yes, false, consent.StepReadmitted, account.Active},
		"a yes that was one already is a yes": {consentFile(account.Active, gave(consent.ForCare, 1)), nurseActor(), yes, false, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := consent.Decide(c.file, c.actor, c.act, now)
			if err != nil || e.Stops != c.stops || e.Step != c.step || e.State != c.state {
				t.Errorf("stops %v, step %q, state %q, %v; want %v, %q, %q", e.Stops, e.Step, e.State, err, c.stops, c.step, c.state)
			}
		})
	}
}

func TestLettingSomebodyIn(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	shares := consent.Decision{ID: 1, Purpose: consent.ForSharing, Version: 1, Choice: consent.Given, DecidedAt: consentTime(50)}
	reads := account.ScopesOf(account.SeeReadings)
	guardian := consent.LetIn{Name: "Eva", Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 1", Reason: "seen", To: consentTime(400)}
	with := func(l consent.LetIn, change func(*consent.LetIn)) consent.LetIn { change(&l); return l }
	cases := map[string]struct {
		file  *consent.File
		actor account.Actor
		let   consent.LetIn
		kind  fault.Kind
		says  string
	}{
		"a daughter":                            {consentFile(account.Active, shares), selfActor(), consent.LetIn{Name: "Eva", Scopes: reads}, "", ""},
		"without consent to sharing":            {consentFile(account.Active), selfActor(), consent.LetIn{Name: "Eva", Scopes: reads}, fault.Conflict, "consent to sharing"},
		"a wish that staff take down":           {consentFile(account.Active, shares), nurseActor(), consent.LetIn{Name: "Eva", Scopes: reads, Reason: "he asked me to"}, "", ""},
		"staff who do not say why":              {consentFile(account.Active, shares), nurseActor(), consent.LetIn{Name: "Eva", Scopes: reads}, fault.Invalid, "reason"},
		"nothing to see":                        {consentFile(account.Active, shares), selfActor(), consent.LetIn{Name: "Eva"}, fault.Invalid, "scopes"},
		"more than can be shared":               {consentFile(account.Active, shares), selfActor(), consent.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.HandleAlert)}, fault.Invalid, "scopes"},
		"a caregiver with a guardian's scopes":  {consentFile(account.Active, shares), selfActor(), consent.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.RecordConsent)}, fault.Invalid, "scopes"},
		"an end before the beginning":           {consentFile(account.Active, shares), selfActor(), consent.LetIn{Name: "Eva", Scopes: reads, To: consentTime(1)}, fault.Invalid, "to"},
		"nobody":                                {consentFile(account.Active, shares), selfActor(), consent.LetIn{Scopes: reads}, fault.Invalid, "name"},
		"a person whom nobody let in before":    {consentFile(account.Active, shares), selfActor(), consent.LetIn{Who: "x", Scopes: reads}, fault.NotFound, "no such person"},
		"while care ends":                       {consentFile(account.Ending, shares), selfActor(), consent.LetIn{Name: "Eva", Scopes: reads}, fault.Conflict, "ending"},
		"a guardian, without consent":           {consentFile(account.Active), nurseActor(), guardian, "", ""},
		"a guardian whom the patient names":     {consentFile(account.Active), selfActor(), guardian, fault.Forbidden, "care team"},
		"a guardian without a document":         {consentFile(account.Active), nurseActor(), with(guardian, func(l *consent.LetIn) { l.Document = "" }), fault.Invalid, "document"},
		"a guardian for ever":                   {consentFile(account.Active), nurseActor(), with(guardian, func(l *consent.LetIn) { l.To = time.Time{} }), fault.Invalid, "document has an end"},
		"a guardian who could hide from others": {consentFile(account.Active), nurseActor(), with(guardian, func(l *consent.LetIn) { l.Scopes = account.ScopesOf(account.Protect) }), fault.Invalid, "scopes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _, err := consent.DecideLetIn(c.file, c.actor, c.let, now)
			if (err == nil) != (c.kind == "") || err != nil && !fault.Is(err, c.kind) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want kind %q and %q", err, c.kind, c.says)
			}
			if err == nil && !g.Scopes.Has(account.SeePatients) {
				t.Error("they see readings, and not whose")
			}
		})
	}
}

// TestAChangeKeepsAFrozenView: a patient who widens what somebody sees must not wake them up by it.
func TestAChangeKeepsAFrozenView(t *testing.T) {
	t.Parallel()
	f := consentFile(account.Active, consent.Decision{ID: 1, Purpose: consent.ForSharing, Version: 1, Choice: consent.Given, DecidedAt: consentTime(50)})
	f.Grants = append(f.Grants, consent.Grant{ID: 4, Caregiver: 11, Who: "son", From: consentTime(51), SuspendedAt: consentTime(55), Scopes: account.ScopesOf(account.SeePatients)})
	g, ends, err := consent.DecideLetIn(f, selfActor(), consent.LetIn{Who: "son", Scopes: account.ScopesOf(account.SeeReadings)}, consentTime(60))
	if err != nil || len(ends) != 1 || ends[0].ID != 4 || g.Caregiver != 11 || !g.SuspendedAt.Equal(consentTime(55)) {
		t.Errorf("%+v, ends %v, %v", g, ends, err)
	}
}

func TestAGuardianHasNoForceBeforeASecondLookAtTheDocument(t *testing.T) {
	t.Parallel()
	g := consent.Grant{Guardian: true, Caregiver: 9, Staff: 7, From: consentTime(0), To: consentTime(100), Scopes: account.ScopesOf(account.ForGuardians()...)}
	if r := consent.WayOf(9, []consent.Grant{g}, nil, consentTime(1)); r.Shared != "" || r.Guardian {
		t.Errorf("an unconfirmed guardian reaches %+v", r)
	}
	if err := consent.DecideConfirm(&g, nurseActor(), consentTime(1)); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the first person confirmed their own look: %v", err)
	}
	second := nurseActor()
	second.Staff = 8
	if err := consent.DecideConfirm(&g, second, consentTime(1)); err != nil {
		t.Errorf("a second person: %v", err)
	}
	g.ConfirmedAt = consentTime(1)
	if r := consent.WayOf(9, []consent.Grant{g}, nil, consentTime(1)); !r.Shared.Has(account.RecordConsent) || !r.Guardian || r.Shared.Has(account.Protect) {
		t.Errorf("a confirmed guardian reaches %+v", r)
	}
	if r := consent.WayOf(9, []consent.Grant{g}, nil, consentTime(100)); r.Shared != "" {
		t.Errorf("a guardian whose document has run out reaches %+v", r)
	}
}

func TestTheWayOutOfCare(t *testing.T) {
	t.Parallel()
	log := func(kinds ...consent.EndingKind) (steps []consent.EndingStep) {
		for _, k := range kinds {
			steps = append(steps, consent.EndingStep{Kind: k})
		}
		return steps
	}
	told := consent.EndingAct{Kind: consent.StepTold, How: "phone"}
	done := consent.EndingAct{Kind: consent.StepFinished}
	cases := map[string]struct {
		steps []consent.EndingStep
		open  int
		act   consent.EndingAct
		kind  fault.Kind
		says  string
	}{
		"nobody is told before it starts":          {nil, 0, told, fault.Conflict, ""},
		"the patient is told, with alerts open":    {log(consent.StepStarted), 3, told, "", ""},
		"in no way":                                {log(consent.StepStarted), 0, consent.EndingAct{Kind: consent.StepTold}, fault.Invalid, ""},
		"twice":                                    {log(consent.StepStarted, consent.StepTold), 0, told, fault.Conflict, ""},
		"it does not finish before they are told":  {log(consent.StepStarted), 0, done, fault.Conflict, "tell the patient first"},
		"nor with an alert open":                   {log(consent.StepStarted, consent.StepTold), 1, done, fault.Conflict, ""},
		"it finishes":                              {log(consent.StepStarted, consent.StepTold), 0, done, "", ""},
		"what was undone starts anew":              {log(consent.StepStarted, consent.StepTold, consent.StepUndone), 0, done, fault.Conflict, "not ending"},
		"nor again":                                {log(consent.StepStarted, consent.StepTold, consent.StepFinished), 0, done, fault.Conflict, "ended already"},
		"a person does not undo what consent does": {log(consent.StepStarted), 0, consent.EndingAct{Kind: consent.StepUndone}, fault.Invalid, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := consent.DecideEnding(c.steps, c.open, c.act); (err == nil) != (c.kind == "") || err != nil && (!fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q and %q", err, c.kind, c.says)
			}
		})
	}
	for want, steps := range map[account.State][]consent.EndingStep{
		account.Active: log(consent.StepStarted, consent.StepTold, consent.StepFinished, consent.StepReadmitted),
		account.Ending: log(consent.StepStarted, consent.StepTold), account.Locked: log(consent.StepStarted, consent.StepTold, consent.StepFinished),
	} {
		if got := consent.StateOf(consent.StageOf(steps)); got != want {
			t.Errorf("%v: %s, want %s", steps, got, want)
		}
	}
}
