package safe

import (
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/account/audit"
	"hale/account/consent"
	"hale/vital"
)

// Words are how a visit is told.
type Words struct {
	When string // "Tuesday 3 March 2026, 14:05", or with the end when it lasted: "…, 14:05 to 14:12"
	Who  string // "nurse Ana Novak"; "you" when the patient reads it and it was them
	Did  string // "looked at your blood pressure and your alerts"
}

// String is the whole sentence.
func (w Words) String() string { return w.When + ": " + w.Who + " " + w.Did }

// Whose is whose data a sentence tells of, as its reader says it.
type Whose string

// Yours and Theirs.
const (
	Yours  Whose = "your"
	Theirs Whose = "their"
)

// Words tells the visit in the zone of the patient's home, to whoever reads it.
func (v *Visit) Words(zone *time.Location, whose Whose) Words {
	w := Words{When: v.From.In(zone).Format("Monday 2 January 2006, 15:04"), Who: v.who(whose)}
	if from, to := v.From.In(zone), v.To.In(zone); to.Format("1504") != from.Format("1504") || to.YearDay() != from.YearDay() {
		w.When += " to " + to.Format("15:04")
	}
	var seen []string
	for i := range slices.Backward(v.Rows) {
		if text := v.Rows[i].did(whose); !slices.Contains(seen, text) {
			seen = append(seen, text)
		}
	}
	w.Did = list(seen)
	if v.Action == account.LookAction {
		w.Did = "looked at " + w.Did
	}
	if v.Glass != "" {
		w.Did += ", in an emergency look with the reason “" + v.Glass + "”"
	}
	return w
}

// Did tells one row: "looked at your blood pressure".
func (l *Look) Did(whose Whose) string {
	if l.Action == account.LookAction {
		return "looked at " + l.did(whose)
	}
	return l.did(whose)
}

func (l *Look) who(whose Whose) string {
	switch l.Role {
	case account.SelfRole:
		if whose == Yours {
			return "you"
		}
		return "the patient"
	case account.CaregiverRole, account.DeviceDesk, account.Manager, account.Nurse, account.Pharmacist, account.Physician,
		account.PrivacyOfficer, account.Researcher, account.Administrator:
		return strings.ReplaceAll(string(l.Role), "_", " ") + " " + l.Name
	case account.SystemRole:
		return "the program “" + l.Name + "”"
	}
	if l.Role == "guardian" { // how the record writes the role of a caregiver who is one
		return "guardian " + l.Name
	}
	switch l.Name {
	case "hale":
		return "Hale"
	case "operator":
		return "an operator of the programme's computers"
	case ShareName:
		return "somebody with " + string(whose) + " link"
	}
	return l.Name
}

// did tells what was seen or done, without "looked at" before it.
func (l *Look) did(whose Whose) string {
	my := string(whose) + " "
	if l.Action == account.LookAction {
		return l.saw(my)
	}
	if l.Action == "let oneself in" {
		switch by, _, _ := strings.Cut(l.Object, " "); by {
		case "merge":
			return "joined " + my + "record with one that they saw, and so opened it to themselves"
		case "refile":
			return "moved readings of " + whose.own() + " to a record that they saw, and so opened them to themselves"
		}
	}
	if l.Action == string(account.RecordConsent) && strings.HasPrefix(l.Object, "request ") { // of a guardian, to the care team
		if l.Detail == "refused" {
			return "refused what a guardian had asked for on a consent of " + whose.own()
		}
		return "asked the care team to change what " + whose.they() + " agreed to"
	}
	words, ok := actWords()[l.Action]
	if !ok {
		words, ok = deviceWords()[l.Action]
	}
	if ok {
		_, thing, _ := strings.Cut(l.Object, " ") // "sensor cuff-12"
		asked := "asked for"
		if l.Detail == string(Withdrawn) {
			asked = "took back the wish for"
		}
		return strings.NewReplacer("{my}", string(whose), "{them}", whose.them(), "{they}", whose.they(), "{detail}", l.plain(), "{thing}", thing, "{step}", l.step(whose), "{asked}", asked).Replace(words)
	}
	switch l.Action {
	case string(account.InvitePatient):
		if l.Detail != "" { // names the caregiver
			return "made a code with which a person whom " + whose.they() + " let in can sign in"
		}
		return "made a code with which " + whose.they() + " can sign in"
	case "sign in":
		if l.By != "" {
			return "signed in on a new device, with a code of " + l.By
		}
		return "signed in"
	}
	act, _ := strings.CutPrefix(l.Action, "alert ")
	if words, ok := alertWords()[act]; ok {
		return words + " an alert of " + whose.own()
	}
	return "did something else with " + my + "record"
}

// deviceWords tells what is done to the things that people measure with, by the action of the audit row.
func deviceWords() map[string]string {
	return map[string]string{ //nolint:gosec // words that people read, and no secrets
		"describe device": "wrote down what a device is", "add device type": "described a kind of device", "unassign device": "took the device “{thing}” back from {them}",
		"pair device": "connected a device", "make pairing code": "made a code that connects a device", "renew secret": "gave a device a new secret",
		"keep certificate": "wrote down a certificate of a device", "revoke certificate": "ended a certificate of a device", "make claimable": "let a device fetch its certificate",
		"grant sensor": "let a gateway speak for one more device", "take sensor from gateway": "let a gateway speak for a device no longer",
		"end claim": "ended the time in which a device may fetch its certificate", "claim device": "let a device have its certificate",
		"trust authority": "trusted a maker's certificates", "revoke authority": "trusted a maker's certificates no longer",
		string(account.CheckDevice): "looked whether a device may speak", "write broker files": "wrote the list of devices for a broker",
		"retry from quarantine": "read again what a device had sent and could not be read", "dismiss from the inbox": "put aside what a device had sent for nobody",
		"bring back to the inbox": "brought back what had been put aside of a device",
		"reading withdrawn":       "took a reading of {them} back, which was wrong",
		"reading restored":        "amended a reading of {them} back to what it had been",
		"unverified red opened":   "saw a value that may be an emergency, of nobody known", "unverified red worsened": "saw a worse value, of nobody known",
		"unverified red acknowledged": "took on a value of nobody known", "unverified red closed": "closed a value of nobody known",
		"unverified red claimed": "said that a value that may be an emergency was {my} own", "unverified red unclaimed": "took back that such a value was {my} own", "unverified red overdue": "told again of a value that nobody had taken on",
		"unverified red read_again": "had a message decoded again of which a refused value had been said to be {my} own",
		"unverified red ended":      "saw what became of a value of nobody known",
		"kit: made":                 "put a kit together", "kit: device added": "put a device into a kit", "kit: device taken out": "took a device out of a kit",
		"kit: issued": "gave the devices of a kit to {them}", "kit: confirmed": "confirmed at home that the devices are right for {them}", "kit: accepted": "confirmed that {my} devices work",
		"kit: returned": "took the devices of a kit back", "kit: cleaning": "began to clean a kit", "kit: cleaned": "put a kit back on the shelf", "kit: retired": "took a kit out of use",
		"ask device": "asked a device to do something", "withdraw command": "took back what a device was asked", "cancel command": "cancelled what a device was asked",
		"device problem new": "looked at a problem of a device again", "device problem seen": "took note of a problem of a device", "device problem snoozed": "put a problem of a device off",
	}
}

// alertWords tells what happens to an alert, by the kind of the entry in its log.
func alertWords() map[string]string {
	return map[string]string{
		"opened": "opened", "occurred": "added a reading to", "worsened": "raised the level of", "cleared": "saw the end of what had raised", "resumed": "saw the return of what had raised",
		"annotated": "added what came late to", "acknowledged": "took on", "resolved": "closed", "noted": "wrote a note to",
	}
}

// actWords tells what was done, by the action of the audit row; {my}, {them} and {they} are whose data it is.
func actWords() map[string]string {
	return map[string]string{
		string(account.SeePatients): "looked at {my} record", string(account.SeeReadings): "looked at {my} readings", string(account.SeeAlerts): "looked at {my} alerts",
		string(account.SeeDevices): "looked at {my} devices", string(account.SeeTeams): "looked at {my} care teams", string(account.SeeConsents): "looked at what {they} agreed to",
		string(account.SeeLooks): "looked at who had looked at {my} data", string(account.SeeSheet): "looked at {my} emergency sheet", string(account.ReviewAccess): "looked at who used {my} data",
		string(account.AddPatient): "began {my} record", string(account.ImportPeople): "took {my} data in from a file", "change patient": "changed {my} name, birth or number",
		"add identifier": "added a number by which others know {them}", "end identifier": "ended a number by which others knew {them}",
		string(account.HandleAlert): "handled an alert of {them}", string(account.SetLimits): "changed {my} limits ({detail})", string(account.SetSchedule): "changed when {they} measure what at home", "answer a doubt about a measurement": "answered whether a measurement of {them} was right",
		string(account.EnrolDevice): "added a device", "revoke device": "shut a device out", string(account.AssignDevice): "gave the device “{thing}” to {them}",
		string(account.ManageTeams): "changed {my} care team", string(account.ManageStaff): "changed somebody of the staff", string(account.ManageKeys): "changed the key of a program",
		"let oneself in": "joined a care team of {them}, and so opened {my} record to themselves", string(account.BreakGlass): "opened {my} record in an emergency, without being of {my} care team", "close the glass": "ended an emergency look at {my} data",
		"review broken glass": "checked an emergency look at {my} data", "break the glass of nobody": "tried to open a record in an emergency, by a number that nobody has",
		string(account.RecordConsent): "wrote down what {they} decided on a consent", string(account.WriteConsent): "changed the words of a consent",
		string(account.ManageCaregiver): "changed who is let in to {my} data", string(account.EndCare): "{step}",
		string(account.Protect): "changed what relatives are not shown",
		string(account.Refile):  "moved readings to the person whom they belong to", string(account.MergePatients): "joined two records of {them}",
		"merge failed": "could not finish joining two records of {them}", "undo merge": "began to part two records that had been joined", "merge done": "finished joining two records of {them}", "merge undone": "parted two records that had been joined",
		"two people":                 "said that {my} record and another are two people's",
		string(account.ExportRecord): "took a copy of {my} whole record", string(account.ShareRecord): "{detail} a link to {my} data",
		string(account.AskCorrection): "{asked} a correction", string(account.DecideCorrection): "{detail} a correction that was asked for",
		string(account.AskErasure): "asked that {my} data be erased", string(account.DecideErasure): "decided on a request to erase {my} data",
		"withdraw erasure": "took a request to erase {my} data back", "refuse erasure": "refused a request to erase {my} data", "confirm erasure": "confirmed a request to erase {my} data",
		"begin erasure": "began to erase {my} data", "erase": "erased {my} data", "finish erasure": "finished erasing {my} data", "replay erasure": "erased {my} data again after a backup was put back",
		"list erasures": "looked at the requests for erasure", "set retention": "changed how long data is kept", audit.BlankingAction: "took names out of the list of who did what",
		"sign out": "signed out", "end session": "signed a device out", "end sessions": "signed devices out", "refuse session of another device": "turned somebody away who came from another device",
		"refuse sign-in": "turned somebody away who signed in", "lock login": "closed a sign-in after wrong passwords", "unlock login": "opened a sign-in again", "change password": "changed a password",
		"turn second factor on": "turned the code from a phone on", "turn second factor off": "turned the code from a phone off", "reset second factor": "took the code from a phone away",
		"use recovery code": "signed in with a spare code", "set staff": "changed somebody of the staff", "disable staff": "shut somebody of the staff out",
		"invite staff": "invited somebody of the staff", "accept invitation": "joined the staff", "create organisation": "began the organisation", "list organisations": "looked at the list of organisations",
		string(account.ManageWebhooks): "changed where notices are sent", "make webhook": "let notices be sent to a program", "renew webhook secret": "changed the secret of a program that gets notices",
		"disable webhook": "ended the sending of notices to a program", "test webhook": "tried whether notices arrive", "webhook gone": "ended the sending of notices to a program that wants none",
		"make API key": "made a key for a program", "revoke API key": "ended the key of a program", "list API keys": "looked at the keys of programs", "list sessions": "looked at who is signed in",
		"set identifier system": "changed which numbers are kept", "check import": "looked through a file of people before it was taken in", "export audit": "took a copy of the list of who did what",
	}
}

// plain is the detail in words: metrics by their names, without the numbers of versions and the signs of a program.
func (l *Look) plain() string {
	if l.Action != string(account.SetLimits) {
		return l.Detail
	}
	for word := range strings.FieldsSeq(l.Detail) {
		if m, ok := vital.ParseMetric(strings.Trim(word, ":,")); ok {
			d, _ := vital.Define(m)
			return lower(d.Display)
		}
	}
	return "of a vital sign"
}

func (w Whose) them() string {
	if w == Yours {
		return "you"
	}
	return "them"
}

func (w Whose) they() string {
	if w == Yours {
		return "you"
	}
	return "they"
}

func (w Whose) own() string { return string(w) + "s" }

// saw names the thing of a look.
func (l *Look) saw(my string) string {
	kind, _, _ := strings.Cut(l.Object, " ")
	switch kind {
	case "worklist":
		return my + "open alerts, in the care team's list"
	case "alerts":
		return my + "alerts"
	case "alert":
		return "one of " + my + "alerts"
	case "limits":
		return my + "limits"
	case "looks":
		return "who had looked at " + my + "data"
	case "corrections":
		return my + "corrections"
	case "sheet":
		return my + "emergency sheet"
	case "share":
		return l.shared(my)
	case "shares":
		return my + "links"
	case "merges":
		return "which records were joined with " + my + "record"
	case "copy":
		return "the page for a copy of " + my + "record"
	case "device":
		_, name, _ := strings.Cut(l.Object, " ")
		return "what " + my + "device “" + name + "” sent that could not be used"
	case "consents":
		return "what was agreed to"
	case "caregivers":
		return "who is let in to " + my + "data"
	case "private":
		return "what relatives are not shown"
	case "end":
		return "how " + my + "care ends"
	case "identity":
		return my + "numbers and names"
	case "sessions":
		return "where " + my + "devices are signed in"
	case "refiles":
		return "which readings were moved"
	case "erasures":
		return my + "requests for erasure"
	case "schedule":
		return "when " + my + "measurements are due, and which were missed"
	case "technique":
		return my + "measurements that were in doubt"
	}
	if m, ok := vital.ParseMetric(l.Detail); ok {
		d, _ := vital.Define(m)
		return my + lower(d.Display)
	}
	switch l.Detail {
	case "":
		return my + "record"
	case "newest of each metric":
		return my + "newest readings"
	}
	for word := range strings.FieldsSeq(l.Detail) { // "alert blood_pressure": the chart of an alert
		if m, ok := vital.ParseMetric(word); ok {
			d, _ := vital.Define(m)
			return my + lower(d.Display) + " around an alert"
		}
	}
	return my + "record"
}

// shared tells what somebody with a link saw: the portion, and the address it was opened from.
func (l *Look) shared(my string) string {
	portion, from, _ := strings.Cut(l.Detail, ", opened from ")
	words := my + "record"
	switch Portion(portion) {
	case ShareSheet:
		words = my + "emergency sheet"
	case ShareMonth:
		words = my + "emergency sheet and what was measured in the last month"
	case ShareEverything:
		words = my + "emergency sheet and everything that was measured"
	}
	if from != "" {
		words += ", from the internet address " + from
	}
	return words
}

// step tells how far the end of care has come.
func (l *Look) step(whose Whose) string {
	my := string(whose) + " "
	switch consent.EndingKind(l.Detail) {
	case consent.StepStarted:
		return "began the end of " + my + "care, because the consent was taken back"
	case consent.StepTold:
		return "wrote down that " + whose.they() + " know that nobody watches any more"
	case consent.StepFinished:
		return "ended " + my + "care"
	case consent.StepUndone:
		return "let " + my + "care go on"
	case consent.StepReadmitted:
		return "took " + whose.them() + " into care again"
	}
	return "took a step in ending or resuming " + my + "care"
}

// lower writes a metric's name within a sentence: "blood pressure", but "FEV1".
func lower(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// list joins things as one says them: "a, b and c".
func list(things []string) string {
	if len(things) < 2 {
		return strings.Join(things, "")
	}
	last := len(things) - 1
	return strings.Join(things[:last], ", ") + " and " + things[last]
}
