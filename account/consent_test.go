package account_test

import (
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
)

func consentTime(days int) time.Time {
	return time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(days) * 24 * time.Hour)
}

func consentTexts() []account.ConsentText {
	var list []account.ConsentText
	for _, p := range account.Purposes() {
		list = append(list, account.ConsentText{Purpose: p, Version: 1, Language: "en", EffectiveFrom: consentTime(-100)})
	}
	return append(list,
		account.ConsentText{Purpose: account.ForResearch, Version: 2, Language: "en", EffectiveFrom: consentTime(50)},
		account.ConsentText{Purpose: account.ForResearch, Version: 2, Language: "sl", EffectiveFrom: consentTime(50)})
}

func TestAConsentStandsAsItsLogFolds(t *testing.T) {
	t.Parallel()
	given := func(p account.Purpose, day, version int) account.Decision {
		return account.Decision{ID: int64(day) + 1000, Purpose: p, Version: version, Choice: account.Given, DecidedAt: consentTime(day)}
	}
	no := func(p account.Purpose, day int, c account.Choice) account.Decision {
		return account.Decision{ID: int64(day) + 1000, Purpose: p, Version: 1, Choice: c, DecidedAt: consentTime(day)}
	}
	cases := map[string]struct {
		purpose account.Purpose
		log     []account.Decision
		day     int
		state   account.ConsentState
		due     account.Due
		version int
	}{
		"care that nobody asked for is to be asked for":         {account.ForCare, nil, 0, account.StateUnasked, account.DueFirst, 0},
		"research that nobody asked for need not be":            {account.ForResearch, nil, 0, account.StateUnasked, account.DueNot, 0},
		"what was given stands":                                 {account.ForCare, []account.Decision{given(account.ForCare, 0, 1)}, 10, account.StateGiven, account.DueNot, 1},
		"a decision is of no force before it":                   {account.ForCare, []account.Decision{given(account.ForCare, 20, 1)}, 10, account.StateUnasked, account.DueFirst, 0},
		"the newest decision counts":                            {account.ForSharing, []account.Decision{given(account.ForSharing, 0, 1), no(account.ForSharing, 5, account.Withdrawn)}, 5, account.StateWithdrawn, account.DueNot, 1},
		"and not the one that was written down last":            {account.ForSharing, []account.Decision{no(account.ForSharing, 5, account.Withdrawn), given(account.ForSharing, 0, 1)}, 6, account.StateWithdrawn, account.DueNot, 1},
		"another purpose is another consent":                    {account.ForSharing, []account.Decision{given(account.ForResearch, 0, 1)}, 5, account.StateUnasked, account.DueNot, 0},
		"a new text renews nothing, but is to be asked about":   {account.ForResearch, []account.Decision{given(account.ForResearch, 0, 1)}, 50, account.StateGiven, account.DueText, 1},
		"who agreed to the new text is not asked":               {account.ForResearch, []account.Decision{given(account.ForResearch, 51, 2)}, 60, account.StateGiven, account.DueNot, 2},
		"a no is not asked again":                               {account.ForResearch, []account.Decision{no(account.ForResearch, 0, account.Refused)}, 400, account.StateRefused, account.DueNot, 1},
		"a day before half a year nobody is asked":              {account.ForCare, []account.Decision{given(account.ForCare, 0, 1)}, 181, account.StateGiven, account.DueNot, 1},
		"after half a year everybody is":                        {account.ForCare, []account.Decision{given(account.ForCare, 0, 1)}, 182, account.StateGiven, account.DueTime, 1},
		"care goes on when nobody answers":                      {account.ForCare, []account.Decision{given(account.ForCare, 0, 1)}, 900, account.StateGiven, account.DueTime, 1},
		"sharing goes on for the days of grace":                 {account.ForSharing, []account.Decision{given(account.ForSharing, 0, 1)}, 211, account.StateGiven, account.DueTime, 1},
		"and lapses then":                                       {account.ForSharing, []account.Decision{given(account.ForSharing, 0, 1)}, 212, account.StateLapsed, account.DueTime, 1},
		"research lapses too":                                   {account.ForResearch, []account.Decision{given(account.ForResearch, 51, 2)}, 51 + 212, account.StateLapsed, account.DueTime, 2},
		"whoever says yes again begins a new half a year":       {account.ForSharing, []account.Decision{given(account.ForSharing, 0, 1), given(account.ForSharing, 190, 1)}, 300, account.StateGiven, account.DueNot, 1},
		"a lapsed consent that is given again stands once more": {account.ForSharing, []account.Decision{given(account.ForSharing, 0, 1), given(account.ForSharing, 250, 1)}, 260, account.StateGiven, account.DueNot, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := account.Stand(c.purpose, consentTexts(), c.log, consentTime(c.day))
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

func consentFile(state account.State, log ...account.Decision) *account.ConsentFile {
	return &account.ConsentFile{Patient: account.Patient{ID: 5, Org: 1, State: state}, Texts: consentTexts(), Log: log, Grants: []account.Grant{{
		Caregiver: 9, Who: "g", Guardian: true, Document: "court 1", Staff: 7, From: consentTime(-10), To: consentTime(500), ConfirmedAt: consentTime(-9),
	}}}
}

func TestADecisionMustFit(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	gave := account.Decision{ID: 1, Purpose: account.ForResearch, Version: 2, Choice: account.Given, DecidedAt: consentTime(55)}
	paper := account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given, Through: account.ThroughPaper, Document: "folder 3"}
	with := func(act account.ConsentAct, change func(*account.ConsentAct)) account.ConsentAct {
		change(&act)
		return act
	}
	cases := map[string]struct {
		file  *account.ConsentFile
		actor account.Actor
		act   account.ConsentAct
		kind  fault.Kind
		says  string
	}{
		"one's own yes":                        {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given}, "", ""},
		"yes to a text that is not in force":   {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 1, Choice: account.Given}, fault.Conflict, "the text has changed"},
		"a paper of the older text":            {consentFile(account.Active), nurseActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 1, Choice: account.Given, Through: account.ThroughPaper, Document: "f", At: consentTime(10)}, "", ""},
		"a text that never was":                {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.Version = 7 }), fault.Invalid, "version"},
		"a patient with a document":            {consentFile(account.Active), selfActor(), paper, fault.Invalid, "for staff"},
		"staff without a way":                  {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.Through = "" }), fault.Invalid, "through"},
		"a paper that is nowhere":              {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.Document = " " }), fault.Invalid, "where the signed paper"},
		"a word that nobody heard":             {consentFile(account.Active), nurseActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given, Through: account.ThroughPhone}, fault.Invalid, "witness"},
		"tomorrow's paper":                     {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.At = consentTime(61) }), fault.Invalid, "at"},
		"a guardian's paper":                   {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.Guardian = "g" }), "", ""},
		"a stranger's paper":                   {consentFile(account.Active), nurseActor(), with(paper, func(a *account.ConsentAct) { a.Guardian = "x" }), fault.Invalid, "guardian"},
		"withdrawing nothing":                  {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Withdrawn}, fault.Conflict, "nothing to withdraw"},
		"refusing what is given":               {consentFile(account.Active, gave), selfActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 2, Choice: account.Refused}, fault.Conflict, "withdraw it"},
		"an old paper after a newer word":      {consentFile(account.Active, gave), nurseActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 2, Choice: account.Withdrawn, Through: account.ThroughPaper, Document: "f", At: consentTime(52)}, fault.Conflict, "newer decision"},
		"coming back by oneself":               {consentFile(account.Locked), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given}, fault.Conflict, "ask the care team"},
		"a purpose that there is not":          {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: "marketing", Version: 1, Choice: account.Given}, fault.Invalid, "purpose"},
		"a choice that there is not":           {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: "perhaps"}, fault.Invalid, "choice"},
		"a decision in a record that is gone":  {consentFile(account.Merged), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given}, fault.Conflict, "merged"},
		"withdrawing what somebody else asked": {consentFile(account.Active, gave), selfActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 2, Choice: account.Withdrawn}, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := account.DecideConsent(c.file, c.actor, c.act, now)
			if kindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want kind %q and %q", err, c.kind, c.says)
			}
		})
	}
}

func TestWhatFollowsFromADecision(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	gave := func(p account.Purpose, version int) account.Decision {
		return account.Decision{ID: 1, Purpose: p, Version: version, Choice: account.Given, DecidedAt: now} // in the same moment
	}
	no := account.Decision{ID: 2, Purpose: account.ForCare, Version: 1, Choice: account.Withdrawn, DecidedAt: now}
	yes := account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given, Through: account.ThroughInPerson, Witness: "Dr. B"}
	cases := map[string]struct {
		file  *account.ConsentFile
		actor account.Actor
		act   account.ConsentAct
		stops bool
		step  account.EndingKind
		state account.State
	}{
		"withdrawing sharing stops it":        {consentFile(account.Active, gave(account.ForSharing, 1)), selfActor(), account.ConsentAct{Purpose: account.ForSharing, Version: 1, Choice: account.Withdrawn}, true, "", ""},
		"withdrawing research stops it":       {consentFile(account.Active, gave(account.ForResearch, 2)), selfActor(), account.ConsentAct{Purpose: account.ForResearch, Version: 2, Choice: account.Withdrawn}, true, "", ""},
		"withdrawing care starts its end":     {consentFile(account.Active, gave(account.ForCare, 1)), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Withdrawn}, true, account.StepStarted, account.Ending},
		"so does a no when first asked":       {consentFile(account.Active), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Refused}, false, account.StepStarted, account.Ending},
		"a yes in time undoes it":             {consentFile(account.Ending, no), selfActor(), account.ConsentAct{Purpose: account.ForCare, Version: 1, Choice: account.Given}, false, account.StepUndone, account.Active},
		"a yes to staff opens a locked one":   {consentFile(account.Locked, no), nurseActor(), yes, false, account.StepReadmitted, account.Active},
		"a yes that was one already is a yes": {consentFile(account.Active, gave(account.ForCare, 1)), nurseActor(), yes, false, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := account.DecideConsent(c.file, c.actor, c.act, now)
			if err != nil || e.Stops != c.stops || e.Step != c.step || e.State != c.state {
				t.Errorf("stops %v, step %q, state %q, %v; want %v, %q, %q", e.Stops, e.Step, e.State, err, c.stops, c.step, c.state)
			}
		})
	}
}

func TestLettingSomebodyIn(t *testing.T) {
	t.Parallel()
	now := consentTime(60)
	shares := account.Decision{ID: 1, Purpose: account.ForSharing, Version: 1, Choice: account.Given, DecidedAt: consentTime(50)}
	reads := account.ScopesOf(account.SeeReadings)
	guardian := account.LetIn{Name: "Eva", Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 1", Reason: "seen", To: consentTime(400)}
	with := func(l account.LetIn, change func(*account.LetIn)) account.LetIn { change(&l); return l }
	cases := map[string]struct {
		file  *account.ConsentFile
		actor account.Actor
		let   account.LetIn
		kind  fault.Kind
		says  string
	}{
		"a daughter":                            {consentFile(account.Active, shares), selfActor(), account.LetIn{Name: "Eva", Scopes: reads}, "", ""},
		"without consent to sharing":            {consentFile(account.Active), selfActor(), account.LetIn{Name: "Eva", Scopes: reads}, fault.Conflict, "consent to sharing"},
		"a wish that staff take down":           {consentFile(account.Active, shares), nurseActor(), account.LetIn{Name: "Eva", Scopes: reads, Reason: "he asked me to"}, "", ""},
		"staff who do not say why":              {consentFile(account.Active, shares), nurseActor(), account.LetIn{Name: "Eva", Scopes: reads}, fault.Invalid, "reason"},
		"nothing to see":                        {consentFile(account.Active, shares), selfActor(), account.LetIn{Name: "Eva"}, fault.Invalid, "scopes"},
		"more than can be shared":               {consentFile(account.Active, shares), selfActor(), account.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.HandleAlert)}, fault.Invalid, "scopes"},
		"a caregiver with a guardian's scopes":  {consentFile(account.Active, shares), selfActor(), account.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.RecordConsent)}, fault.Invalid, "scopes"},
		"an end before the beginning":           {consentFile(account.Active, shares), selfActor(), account.LetIn{Name: "Eva", Scopes: reads, To: consentTime(1)}, fault.Invalid, "to"},
		"nobody":                                {consentFile(account.Active, shares), selfActor(), account.LetIn{Scopes: reads}, fault.Invalid, "name"},
		"a person whom nobody let in before":    {consentFile(account.Active, shares), selfActor(), account.LetIn{Who: "x", Scopes: reads}, fault.NotFound, "no such person"},
		"while care ends":                       {consentFile(account.Ending, shares), selfActor(), account.LetIn{Name: "Eva", Scopes: reads}, fault.Conflict, "ending"},
		"a guardian, without consent":           {consentFile(account.Active), nurseActor(), guardian, "", ""},
		"a guardian whom the patient names":     {consentFile(account.Active), selfActor(), guardian, fault.Forbidden, "care team"},
		"a guardian without a document":         {consentFile(account.Active), nurseActor(), with(guardian, func(l *account.LetIn) { l.Document = "" }), fault.Invalid, "document"},
		"a guardian for ever":                   {consentFile(account.Active), nurseActor(), with(guardian, func(l *account.LetIn) { l.To = time.Time{} }), fault.Invalid, "document has an end"},
		"a guardian who could hide from others": {consentFile(account.Active), nurseActor(), with(guardian, func(l *account.LetIn) { l.Scopes = account.ScopesOf(account.Protect) }), fault.Invalid, "scopes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, _, err := account.DecideLetIn(c.file, c.actor, c.let, now)
			if kindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
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
	f := consentFile(account.Active, account.Decision{ID: 1, Purpose: account.ForSharing, Version: 1, Choice: account.Given, DecidedAt: consentTime(50)})
	f.Grants = append(f.Grants, account.Grant{ID: 4, Caregiver: 11, Who: "son", From: consentTime(51), SuspendedAt: consentTime(55), Scopes: account.ScopesOf(account.SeePatients)})
	g, ends, err := account.DecideLetIn(f, selfActor(), account.LetIn{Who: "son", Scopes: account.ScopesOf(account.SeeReadings)}, consentTime(60))
	if err != nil || len(ends) != 1 || ends[0].ID != 4 || g.Caregiver != 11 || !g.SuspendedAt.Equal(consentTime(55)) {
		t.Errorf("%+v, ends %v, %v", g, ends, err)
	}
}

func TestAGuardianHasNoForceBeforeASecondLookAtTheDocument(t *testing.T) {
	t.Parallel()
	g := account.Grant{Guardian: true, Caregiver: 9, Staff: 7, From: consentTime(0), To: consentTime(100), Scopes: account.ScopesOf(account.ForGuardians()...)}
	if r := account.WayOf(9, []account.Grant{g}, nil, consentTime(1)); r.Shared != "" || r.Guardian {
		t.Errorf("an unconfirmed guardian reaches %+v", r)
	}
	if err := account.DecideConfirm(&g, nurseActor(), consentTime(1)); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the first person confirmed their own look: %v", err)
	}
	second := nurseActor()
	second.Staff = 8
	if err := account.DecideConfirm(&g, second, consentTime(1)); err != nil {
		t.Errorf("a second person: %v", err)
	}
	g.ConfirmedAt = consentTime(1)
	if r := account.WayOf(9, []account.Grant{g}, nil, consentTime(1)); !r.Shared.Has(account.RecordConsent) || !r.Guardian || r.Shared.Has(account.Protect) {
		t.Errorf("a confirmed guardian reaches %+v", r)
	}
	if r := account.WayOf(9, []account.Grant{g}, nil, consentTime(100)); r.Shared != "" {
		t.Errorf("a guardian whose document has run out reaches %+v", r)
	}
}

func TestTheWayOutOfCare(t *testing.T) {
	t.Parallel()
	log := func(kinds ...account.EndingKind) (steps []account.EndingStep) {
		for _, k := range kinds {
			steps = append(steps, account.EndingStep{Kind: k})
		}
		return steps
	}
	told := account.EndingAct{Kind: account.StepTold, How: "phone"}
	done := account.EndingAct{Kind: account.StepFinished}
	cases := map[string]struct {
		steps []account.EndingStep
		open  int
		act   account.EndingAct
		kind  fault.Kind
	}{
		"nobody is told before it starts":          {nil, 0, told, fault.Conflict},
		"the patient is told, with alerts open":    {log(account.StepStarted), 3, told, ""},
		"in no way":                                {log(account.StepStarted), 0, account.EndingAct{Kind: account.StepTold}, fault.Invalid},
		"twice":                                    {log(account.StepStarted, account.StepTold), 0, told, fault.Conflict},
		"it does not finish before they are told":  {log(account.StepStarted), 0, done, fault.Conflict},
		"nor with an alert open":                   {log(account.StepStarted, account.StepTold), 1, done, fault.Conflict},
		"it finishes":                              {log(account.StepStarted, account.StepTold), 0, done, ""},
		"what was undone starts anew":              {log(account.StepStarted, account.StepTold, account.StepUndone), 0, done, fault.Conflict},
		"a person does not undo what consent does": {log(account.StepStarted), 0, account.EndingAct{Kind: account.StepUndone}, fault.Invalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := account.DecideEnding(c.steps, c.open, c.act); kindOf(err) != c.kind {
				t.Errorf("%v, want %q", err, c.kind)
			}
		})
	}
	for want, steps := range map[account.State][]account.EndingStep{
		account.Active: log(account.StepStarted, account.StepTold, account.StepFinished, account.StepReadmitted),
		account.Ending: log(account.StepStarted, account.StepTold), account.Locked: log(account.StepStarted, account.StepTold, account.StepFinished),
	} {
		if got := account.StateOf(account.StageOf(steps)); got != want {
			t.Errorf("%v: %s, want %s", steps, got, want)
		}
	}
}
