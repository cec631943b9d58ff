package safe

import (
	"slices"
	"strings"
	"time"

	"hale/account"
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
	switch account.Action(l.Action) { //nolint:exhaustive // what needs no words of its own is said as it is named
	case account.AddPatient:
		return "began " + my + "record"
	case account.SetLimits:
		return "changed " + my + "limits (" + l.Detail + ")"
	case account.AssignDevice:
		return "gave a device to " + whose.them() + " (" + l.Object + ")"
	case account.InvitePatient:
		if l.Detail != "" { // names the caregiver
			return "made a code with which a person whom " + whose.they() + " let in can sign in"
		}
		return "made a code with which " + whose.they() + " can sign in"
	case account.BreakGlass:
		return "broke the glass to see " + my + "data in an emergency"
	case account.ExportRecord:
		return "took a copy of " + my + "whole record"
	case account.ShareRecord:
		return l.Detail + " a link to " + my + "data"
	case account.AskCorrection:
		return l.Detail + " a correction"
	case account.DecideCorrection:
		return l.Detail + " a correction that was asked for"
	}
	switch l.Action {
	case "sign in":
		if l.By != "" {
			return "signed in on a new device, with a code of " + l.By
		}
		return "signed in"
	case "sign out":
		return "signed out"
	}
	if act, ok := strings.CutPrefix(l.Action, "alert "); ok {
		return act + " an alert of " + whose.own()
	}
	return "did this: " + l.Action
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
		return my + "open alerts, in the list of everybody's"
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
		return l.Detail
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
	return my + "record (" + l.Detail + ")"
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
