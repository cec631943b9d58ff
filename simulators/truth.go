package simulators

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// TruthClass groups what the simulator knows to have happened.
type TruthClass string

// The classes of truth.
const (
	Clinical  TruthClass = "clinical"  // something went wrong in the person
	Artefact  TruthClass = "artefact"  // the instrument was wrong, and may have said so
	Technique TruthClass = "technique" // the person measured wrongly
	Missing   TruthClass = "missing"   // nothing was measured
	Line      TruthClass = "line"      // measured, but sent late or twice
)

// Truth is one thing that the simulator made happen. Times are the patient's, as the readings have them.
type Truth struct {
	Patient string     `json:"patient"` // number
	Class   TruthClass `json:"class"`
	Kind    string     `json:"kind"`
	Device  string     `json:"device,omitempty"`
	From    time.Time  `json:"from"`
	Crisis  *time.Time `json:"crisis,omitempty"` // clinical: somebody should have come by then
	Felt    *time.Time `json:"felt,omitempty"`   // clinical and acute: when the person noticed; left out when never
	To      *time.Time `json:"to,omitempty"`
	Metrics []string   `json:"metrics,omitempty"` // that it moves, so that their alerts tell of it; or whose reading is wrong
}

func (l *Life) note(at time.Time, class TruthClass, kind string, metrics ...string) {
	l.truths = append(l.truths, Truth{Patient: l.Number, Class: class, Kind: kind, From: at.UTC(), Metrics: metrics})
}

func (l *Life) noteSpan(from, to time.Time, class TruthClass, kind, device string) {
	to = to.UTC()
	l.truths = append(l.truths, Truth{Patient: l.Number, Class: class, Kind: kind, Device: device, From: from.UTC(), To: &to})
}

// Truths returns what happened in the person's life so far, up to a time, in order.
func (l *Life) Truths(until time.Time) []Truth {
	var all []Truth
	for i := range l.Troubles {
		t := &l.Troubles[i]
		if answers := t.Answers(); answers != nil && t.Onset.Before(until) {
			crisis, end := t.Crisis.UTC(), t.End.UTC()
			truth := Truth{Patient: l.Number, Class: Clinical, Kind: string(t.Kind), From: t.Onset.UTC(), Crisis: &crisis, To: &end, Metrics: answers}
			if !t.felt.IsZero() {
				felt := t.felt.UTC()
				truth.Felt = &felt
			}
			all = append(all, truth)
		}
	}
	for _, t := range l.truths {
		if t.From.Before(until) {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b Truth) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return strings.Compare(a.Kind+a.Device, b.Kind+b.Device)
	})
	return all
}

// WriteTruth writes one JSON object per line for everything that happened in these lives up to a time.
func WriteTruth(w io.Writer, lives []*Life, until time.Time) error {
	out := json.NewEncoder(w)
	for _, l := range lives {
		for _, t := range l.Truths(until) {
			if err := out.Encode(t); err != nil {
				return fmt.Errorf("write the truth: %w", err)
			}
		}
	}
	return nil
}
