package alerts

import (
	"fmt"
	"strings"

	"hale/vital"
)

// EndedAct is what one did with values of an unverified red in one way, for one person: a line of its log, however many values it ended.
type EndedAct struct {
	Became  Closing
	By      string
	Patient vital.PatientID // for whom they were claimed; 0: for nobody
	Values  []float64       // of the worst of them
	Count   int
	why     string
	worst   *UnverifiedValue
}

// Note is why, and of how many values it was said.
func (a *EndedAct) Note() string {
	if a.Count == 1 {
		return a.why
	}
	return strings.TrimSpace(fmt.Sprintf("%s (%d values, the worst is shown)", a.why, a.Count))
}

// Detail is what the trail tells of it, which says nothing of what was measured or written.
func (a *EndedAct) Detail() string {
	if a.Count == 1 {
		return string(a.Became)
	}
	return fmt.Sprintf("%s: %d values", a.Became, a.Count)
}

// Acts are those that ended the values, in the order of the first value of each.
func (e *Ended) Acts() []*EndedAct {
	type key struct {
		became  Closing
		by, why string
		patient vital.PatientID
	}
	var list []*EndedAct
	found := map[key]*EndedAct{}
	for _, v := range e.Values {
		k := key{v.Became, v.By, v.Note, v.Patient}
		a := found[k]
		if a == nil {
			a = &EndedAct{Became: v.Became, By: v.By, Patient: v.Patient, why: v.Note}
			found[k], list = a, append(list, a)
		}
		a.Count++
		if a.worst == nil || v.worseThan(a.worst) {
			a.worst, a.Values = v, v.Values
		}
	}
	return list
}
