package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// glucose is a value of the record's meter that was refused.
func (r *record) glucose(minutes int, mgdl int64) vital.Record {
	return r.refusedValue(minutes, vital.ReasonClock, fmt.Sprint(minutes, mgdl), vital.Glucose, 0, vital.Quantity{Mantissa: mgdl, Unit: vital.MgPerDL})
}

// beyondMeter is what the record's meter could not measure.
func (r *record) beyondMeter(minutes int, side vital.Beyond) vital.Record {
	return r.refusedValue(minutes, vital.ReasonNotANumber, fmt.Sprint(minutes, "beyond", side), vital.Glucose, side)
}

func (r *record) closeAsNotReal(t *testing.T, u alerts.Unverified) {
	t.Helper()
	w := alerts.Watchlist{Book: r.app, Looks: &account.Looks{Log: r.app, Now: time.Now}}
	if _, err := w.Close(t.Context(), r.nurse, u.UID, u.Version, alerts.ClosedAsNotReal, "the strip was wet"); err != nil {
		t.Fatal(err)
	}
}

func TestTooLowIsNotHiddenByTooHigh(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.beyondMeter(1, vital.Above))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Beyond != vital.Above {
		t.Fatalf("%+v", list)
	}
	r.closeAsNotReal(t, list[0])
	if res := r.advance(t, r.beyondMeter(2, vital.Above)); len(res.Events) != 0 || len(r.unverified(t, r.nurse)) != 0 {
		t.Error("the same again was called not real a moment ago")
	}
	res := r.advance(t, r.beyondMeter(3, vital.Below))
	list = r.unverified(t, r.nurse)
	if len(res.Events) != 1 || len(list) != 1 || list[0].Beyond != vital.Below || list[0].Times != 1 {
		t.Fatalf("a LO after a HI that was not real: %+v, %+v", res.Events, list)
	}
	if res := r.advance(t, r.beyondMeter(4, vital.Below)); len(res.Events) != 0 {
		t.Error("the same LO again calls again")
	}
	res = r.advance(t, r.glucose(5, 38))
	list = r.unverified(t, r.nurse)
	if len(res.Events) != 1 || len(list) != 1 || list[0].Version != 2 || list[0].Ground != alerts.GroundExtreme || list[0].Values[0] != 38 || list[0].Beyond != vital.Below {
		t.Fatalf("a number after a LO calls again: %+v, %+v", res.Events, list)
	}
	for i, again := range []vital.Record{r.beyondMeter(6, vital.Below), r.glucose(7, 45), r.beyondMeter(8, vital.Below), r.glucose(9, 30)} {
		if res := r.advance(t, again); len(res.Events) != 0 {
			t.Errorf("%d: what turns to and fro calls each time", i)
		}
	}
	if list = r.unverified(t, r.nurse); list[0].Values[0] != 30 || list[0].Times != 7 {
		t.Errorf("the worst number is kept: %+v", list)
	}
	r.advance(t, r.glucose(10, 600))
	if list = r.unverified(t, r.nurse); len(list) != 2 {
		t.Errorf("too high beside too low has a row of its own: %+v", list)
	}
}

func TestAfterNotRealWhatIsBetterKnownCalls(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.beyondMeter(1, vital.Below))
	r.closeAsNotReal(t, r.unverified(t, r.nurse)[0])
	r.advance(t, r.glucose(2, 50))
	list := r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Values[0] != 50 {
		t.Fatalf("a number after a LO that was not real: %+v", list)
	}
	r.closeAsNotReal(t, list[0])
	r.advance(t, r.glucose(3, 52))
	if list = r.unverified(t, r.nurse); len(list) != 0 {
		t.Fatalf("a better number than one that was not real: %+v", list)
	}
	r.advance(t, r.beyondMeter(4, vital.Below))
	if list = r.unverified(t, r.nurse); len(list) != 0 {
		t.Fatalf("a LO that was called not real as well: %+v", list)
	}
	r.advance(t, r.glucose(5, 30))
	list = r.unverified(t, r.nurse)
	if len(list) != 1 || list[0].Values[0] != 30 {
		t.Fatalf("a worse number: %+v", list)
	}
}

func TestADateOfTodayIsNotOfThePast(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	sure, unsure := r.saturation(1-24*60, 72, 0), r.saturation(-24*60, 74, 0)
	for _, one := range []vital.Record{sure, unsure} {
		one.Reading.ReceivedAt = since().Add(2 * time.Hour)
	}
	unsure.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockZone, Uncertainty: 24 * time.Hour}}
	also := r.saturation(-24*60, 75, 0)
	also.Reading.ReceivedAt, also.Reading.More = unsure.Reading.ReceivedAt, unsure.Reading.More
	r.advance(t, sure, unsure, also)
	list := r.unverified(t, r.nurse)
	if len(list) != 2 || list[0].Historic || list[0].Values[0] != 74 || !list[1].Historic {
		t.Fatalf("%+v", list)
	}
	// Nor is it when another of that date was claimed.
	r.exec(t, `UPDATE inbox SET state = 'claimed' WHERE mantissa = 74`)
	w := alerts.Watchlist{Book: r.app, Looks: &account.Looks{Log: r.app, Now: time.Now}}
	if _, err := w.Claim(t.Context(), r.nurse, list[0].UID, list[0].Version, r.patient.UID, "she says so"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.work.RaiseOverdue(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if list = r.unverified(t, r.nurse); len(list) != 2 || list[0].Historic || list[0].Values[0] != 75 {
		t.Errorf("what was not claimed: %+v", list)
	}
}
