package simulators

import (
	"math"
	"testing"
	"time"
)

func TestAnAcuteTroubleIsFeltByChance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind         TroubleKind
		hour, lasts  float64 // of the crisis
		frail        bool
		share, later float64 // felt within minutes; on waking
	}{
		"low glucose by day is felt mostly":              {Hypoglycaemia, 15, 0.2, false, 0.6, 0},
		"asleep it is mostly not felt":                   {Hypoglycaemia, 3, 0.2, false, 0.15, 0},
		"a frail person feels less":                      {Hypoglycaemia, 15, 0.2, true, 0.42, 0},
		"half of the pressure crises are felt":           {PressureCrisis, 15, 4, false, 0.5, 0},
		"who slept through a paroxysm may feel it later": {Paroxysm, 3, 12, false, 0.2, 0.4},
		"want of oxygen wakes some":                      {Desaturation, 3, 1, false, 0.3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			soon, later, all := 0.0, 0.0, 0.0
			for _, l := range everybody(cohort(t, "diabetes", 1500, 5)) {
				if l.Troubles = nil; c.frail {
					l.Conditions = append(l.Conditions, Frailty)
				}
				l.suffer(trouble(c.kind, l.clock(2, c.hour).Add(-30*time.Minute), 0.5, c.lasts, 0.4, 1))
				all++
				one := &l.Troubles[0]
				switch after := one.felt.Sub(one.Crisis); {
				case one.felt.IsZero():
				case after < time.Minute || !one.felt.Before(one.End):
					t.Fatalf("felt %s after the crisis", after)
				case after <= 15*time.Minute:
					soon++
				default:
					later++
				}
			}
			if math.Abs(soon/all-c.share) > 0.05 || math.Abs(later/all-c.later) > 0.06 {
				t.Errorf("%.2f felt it within minutes and %.2f later, want %.2f and %.2f", soon/all, later/all, c.share, c.later)
			}
		})
	}
}

func TestACrisisIsNotFoundByConstruction(t *testing.T) {
	t.Parallel()
	caught, happened, again := 0, 0, 0
	for seed := range uint64(6) {
		c := cohort(t, "diabetes", 60, seed)
		for _, l := range everybody(c) {
			sent := lived(c, l)
			for i := range l.Troubles {
				one := &l.Troubles[i]
				if one.Kind != Hypoglycaemia {
					continue
				}
				happened++
				within := 0
				for _, s := range sent {
					if s.Measured.Equal(one.Crisis) {
						t.Errorf("%s measured at the very second of the crisis", l.Number)
					}
					if s.Metric == "glucose" && !s.Again && !s.Measured.Before(one.Crisis) && s.Measured.Before(one.End.Add(time.Hour)) {
						within++
					}
				}
				if caught += min(1, within); within > 1 {
					again++
				}
			}
		}
	}
	// All lows of the scenario come in the small hours: some wake and measure, and measure again.
	if happened < 150 || caught*20 < happened || caught*3 > happened || again == 0 {
		t.Errorf("of %d lows at night %d were measured, %d more than once", happened, caught, again)
	}
}

func TestWhoDoesNotFeelATroubleDoesNotFeelUnwell(t *testing.T) {
	t.Parallel()
	l := cohort(t, "quiet", 1, 5).Life(0)
	l.suffer(trouble(Paroxysm, l.start.Add(50*time.Hour), 0.3, 9, 0.5, 1))
	one := &l.Troubles[0]
	one.felt = one.Crisis.Add(time.Hour)
	before, after := l.effects(one.felt.Add(-time.Second)), l.effects(one.felt)
	if before.unwell != 0 || after.unwell < 0.9 || before.pulse != after.pulse {
		t.Errorf("unwell %.2f before it is felt and %.2f after; the pulse is %.0f and %.0f higher", before.unwell, after.unwell, before.pulse, after.pulse)
	}
}
