package ingest

import (
	"cmp"
	"fmt"
	"slices"

	"hale/vital"
)

// mostSeen is how many measurements of one refusal are screened. They travel in one envelope, or what a batch finds new would not be all
// of them; in 256 KiB, which a message holds at most, hardly any list has more.
const mostSeen = 2000

// Such a refusal has room in the largest envelope, with texts of 16 KiB.
const _ = uint(maxEnvelope - rawKept - refusedCost - 16<<10 - (mostSeen+1)*(readingCost+moreCost+1))

// settleSeen gives each refusal the measurements that were read of it, each once, and no more than an envelope holds: of more than that the
// outermost, and the refusal says so.
func (d *decoder) settleSeen() {
	for i := range d.refused {
		r := &d.refused[i]
		if len(r.Also) == 0 {
			continue
		}
		all := distinct(r.All())
		if n := len(all); n > mostSeen {
			all = outermost(all)
			d.tellMore(r, fmt.Sprintf(" (%d numbers were read of it, and the %d outermost are looked at for emergencies)", n, mostSeen))
		}
		for i := range all { // what was said beside the numbers stands in the raw bytes
			if more := all[i].Read.More; more != nil {
				all[i].Read.More = &vital.More{Clock: more.Clock}
			}
		}
		r.Read, r.Beyond, r.Also = &all[0].Read, all[0].Beyond, all[1:]
	}
}

// tellMore says more of why a part was refused, in what is kept of it and to its sender.
func (d *decoder) tellMore(r *vital.Refused, words string) {
	for i := range d.told {
		if t := &d.told[i]; t.Reason == r.Reason && t.Detail == r.Detail {
			t.Detail += words
			break
		}
	}
	r.Detail += words
}

// distinct leaves out what was read before with the same sensor, numbers and time: it is the same measurement. Of what stands beside the
// numbers, how well the time is known alone matters to whoever screens them.
func distinct(all []vital.Seen) []vital.Seen {
	type one struct {
		sensor   vital.SensorID
		patient  vital.PatientID
		metric   vital.Metric
		sent     [3]vital.Quantity
		n        uint8
		at       int64
		findings vital.Finding
		beyond   vital.Beyond
	}
	before := make(map[one]bool, len(all))
	return slices.DeleteFunc(all, func(s vital.Seen) bool {
		r := &s.Read
		k := one{r.Sensor, r.Patient, r.Metric, r.Sent, r.N, r.MeasuredAt.UnixMicro(), r.Findings, s.Beyond}
		again := before[k]
		before[k] = true
		return again
	})
}

// sort is what measurements have to have in common to be compared by one of their numbers. What cannot be a person's is compared among
// itself, and so is what is of the past: a fault code is no emergency, and what is of the past calls nobody, so neither may stand for
// others.
type sort struct {
	sensor    vital.SensorID
	metric    vital.Metric
	component int
	unit      vital.Unit
	beyond    vital.Beyond
	possible  bool
	historic  bool
}

// outermost returns mostSeen of the measurements: those that have a number among the lowest or the highest of its kind, taken from outside.
func outermost(all []vital.Seen) []vital.Seen {
	kinds := map[sort][]int{}
	for i := range all {
		r := &all[i].Read
		def, _ := vital.Define(r.Metric)
		_, _, possible := def.Check(r.Sent[:r.N])
		for c, q := range r.Sent[:max(r.N, 1)] {
			if q != (vital.Quantity{}) || r.N == 0 {
				k := sort{r.Sensor, r.Metric, c, q.Unit, all[i].Beyond, possible, r.Findings&vital.Historic != 0}
				kinds[k] = append(kinds[k], i)
			}
		}
	}
	depth := make([]int, len(all)) // how far from the outside of a kind it lies at the least
	for i := range depth {
		depth[i] = len(all)
	}
	for k, members := range kinds {
		slices.SortStableFunc(members, func(a, b int) int {
			return cmp.Compare(all[a].Read.Sent[k.component].Float(), all[b].Read.Sent[k.component].Float())
		})
		for at, i := range members {
			depth[i] = min(depth[i], at, len(members)-1-at)
		}
	}
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(depth[a], depth[b]) })
	kept := order[:mostSeen]
	slices.Sort(kept)
	few := make([]vital.Seen, len(kept))
	for i, at := range kept {
		few[i] = all[at]
	}
	return few
}
