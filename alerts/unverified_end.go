package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hale/vital"
)

// UnverifiedValue is one of the values that an unverified red stands for, where it is parked, and what became of it.
type UnverifiedValue struct {
	ID         int64
	Place      Place
	Why        string // the reason in that place
	Level      Level
	Ground     Ground
	Values     []float64 // as of Unverified; none of GroundBeyond
	Unitless   bool
	Badness    float64 // Screened.Badness
	Findings   vital.Finding
	Reading    int64     // 0: it is none
	MeasuredAt time.Time // zero: not known
	Vague      vital.Vague
	ReceivedAt time.Time
	Times      int
	Became     Closing // "": nothing yet. It ends it at EndedAt; ClosedAsDismissed without LeftAt: put aside by somebody who may not end it
	By, Note   string  // who did that, and why
	LeftAt     time.Time
	EndedAt    time.Time
	// Settled says of one that has left and not ended that somebody has it now: who it was claimed for has been judged by it, or it was
	// put aside or taken back.
	Settled bool
	Patient vital.PatientID // for whom it was claimed; 0: for nobody
	Claim   Claim           // of one that stands as somebody's and is read with what it stands for
}

// number reports whether the device could measure it at all.
func (v *UnverifiedValue) number() bool { return v.Ground != GroundBeyond }

// worseThan reports whether it is the worse: a number before one that the device could not measure.
func (v *UnverifiedValue) worseThan(o *UnverifiedValue) bool {
	return v.number() && !o.number() || v.number() == o.number() && v.Badness > o.Badness
}

// UnverifiedEntry is one line of the log of an unverified red.
type UnverifiedEntry struct {
	Kind   string // opened, worsened, overdue, acknowledged, claimed, unclaimed, closed, dismissed, brought_back, taken_back, read_again
	At     time.Time
	By     string // empty: Hale
	Values []float64
	Note   string
}

// Shown is the value that an unverified red shows of those that have not ended, the worst: a number before one that the device could not
// measure, and of those that are as bad the first. nil: there is none.
func Shown(values []UnverifiedValue) *UnverifiedValue {
	var worst *UnverifiedValue
	for i := range values {
		v := &values[i]
		switch {
		case !v.EndedAt.IsZero():
		case worst == nil, v.worseThan(worst):
			worst = v
		}
	}
	return worst
}

// Ended is what is to be written of an unverified red of whose values some have left the place where they were parked.
type Ended struct {
	Values  []*UnverifiedValue // that end with it, told in the log by Acts
	Closing Closing            // the red itself ends so; "": it still shows one that waits
	By      string
	Note    string
	Rest    bool // others still wait: they are opened anew
}

// EndOf decides what ends of an unverified red: it by itself when the value that it shows has an owner who was judged by it, was put aside, or
// was taken back. What else it stood for is not lost with it.
func EndOf(values []UnverifiedValue) Ended {
	var e Ended
	shown := Shown(values)
	for i := range values {
		if v := &values[i]; v.EndedAt.IsZero() && v.Settled {
			e.Values = append(e.Values, v)
		}
	}
	if shown == nil || !shown.Settled {
		return e
	}
	e.Closing, e.By, e.Note = shown.Became, shown.By, shown.Note
	var besides []string
	for _, what := range []Closing{ClosedAsClaimed, ClosedAsDismissed, ClosedAsTakenBack, ClosedAsReadAgain} {
		n := 0
		for _, v := range e.Values {
			if v.Became == what && (v.Became != e.Closing || v.By != e.By) {
				n++
			}
		}
		if n > 0 {
			besides = append(besides, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(what), "_", " ")))
		}
	}
	if len(besides) > 0 {
		e.Note = strings.TrimSpace(e.Note + " (besides: " + strings.Join(besides, ", ") + ")")
	}
	e.Rest = slices.ContainsFunc(values, func(v UnverifiedValue) bool { return v.EndedAt.IsZero() && !v.Settled })
	return e
}

// Claimed are the ids of the values that were claimed, each with whose it is.
func (e *Ended) Claimed() (values, patients []int64) {
	for _, v := range e.Values {
		if v.Patient != 0 {
			values, patients = append(values, v.ID), append(patients, int64(v.Patient))
		}
	}
	return values, patients
}
