package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// TestAnAlertSaysWhichOfItsReadingsWereTakenBack: the number that people were shown stays, and is never shown as if it stood.
func TestAnAlertSaysWhichOfItsReadingsWereTakenBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.named(r.pressure(30, 192, 110), "obs-1", vital.Final), r.named(r.pressure(20, 188, 104), "obs-2", vital.Final))
	r.advance(t, r.inError(30, "obs-1"))
	r.withdrawAll(t)
	a := r.only(t)
	gone := a.Retraction(a.Last)
	if gone == nil || gone.How != alerts.InError || gone.By != "" || gone.At.IsZero() || len(gone.Values) == 0 || gone.Values[0] != 192 {
		t.Fatalf("before anybody is judged anew: %+v of %+v", gone, a.Episode)
	}
	// What is left is told of.
	r.judgeAll(t, r.patient)
	if a = r.only(t); a.LastValues[0] != 188 || a.Retraction(a.Last) != nil || !a.Holds || len(a.Retracted) != 1 {
		t.Errorf("%+v", a.Episode)
	}
	w := &safe.Withdrawals{People: r.app, Book: r.app}
	other := r.pressure(20, 188, 104).Reading
	if err := w.Withdraw(t.Context(), r.nurse, r.patient.UID, other.ID(), other.MeasuredAt, "The cuff lay on the table."); err != nil {
		t.Fatal(err)
	}
	r.judgeAll(t, r.patient)
	a = r.only(t)
	gone = a.Retraction(a.Last)
	if gone == nil || gone.By != r.nurse.Name || gone.Values[0] != 188 || a.Holds || a.Ended != alerts.CauseWithdrawn || a.State != alerts.Open {
		t.Errorf("after the last was taken back by a person: %+v of %+v", gone, a.Episode)
	}
	copied, err := r.app.AlertsOf(t.Context(), r.self(), r.patient.ID, 0, 10)
	if err != nil || len(copied) != 1 || copied[0].Stands() != "that reading was taken back by "+r.nurse.Name || !copied[0].RetractedAt.Equal(gone.At) {
		t.Errorf("the copy of the record says %+v, %v", copied, err)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alerts.FoldLog(a.Episode, log), a.Episode); diff != "" {
		t.Errorf("it is not what its log says (-log +alert):\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM timeline WHERE retracts IS NOT NULL AND cause = 'taken back'`); n != 2 {
		t.Errorf("%d entries say it", n)
	}
}

// TestAnAlertSaysWhatAnAmendedReadingWas beside what it is.
func TestAnAlertSaysWhatAnAmendedReadingWas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		systolic int64
		stands   bool // the amended reading is beyond the limits too
	}{"to a value within the limits": {129, false}, "to another beyond them": {186, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			r.advance(t, r.named(r.pressure(10, 212, 118), "obs-1", vital.Final))
			amended := r.named(r.pressure(10, c.systolic, 100), "obs-1", vital.Amended)
			if !c.stands {
				amended = r.named(r.pressure(10, c.systolic, 80), "obs-1", vital.Amended)
			}
			amended.Reading.ReceivedAt = amended.Reading.ReceivedAt.Add(time.Hour)
			r.advance(t, amended)
			r.withdrawAll(t)
			r.judgeAll(t, r.patient)
			a := r.only(t)
			gone, was := a.Retraction(a.Last), a.Was(a.Last)
			if c.stands && (gone != nil || was == nil || was.Values[0] != 212 || a.LastValues[0] != 186 || a.WorstValues[0] != 186) {
				t.Errorf("last %v worst %v, taken back: %+v, was: %+v", a.LastValues, a.WorstValues, gone, was)
			}
			if !c.stands && (gone == nil || gone.How != alerts.Amended || gone.Instead == nil || gone.Instead.Values[0] != 129 || a.LastValues[0] != 212) {
				t.Errorf("last %v, taken back: %+v", a.LastValues, gone)
			}
		})
	}
}

// TestAnAlertSaysThatItsReadingIsSomebodyElses, and that it is not when that is undone.
func TestAnAlertSaysThatItsReadingIsSomebodyElses(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100), r.pressure(20, 191, 100), r.pressure(30, 192, 110))
	w := r.wish(r.patient.UID, "", 10, 40)
	made := r.ask(t, w)
	r.carryOut(t, 2) // the last of them in another step than the first
	r.judgeAll(t, r.patient)
	a := r.only(t)
	gone := a.Retraction(a.Last)
	if gone == nil || gone.How != alerts.NotHere || gone.By != r.nurse.Name || gone.Values[0] != 192 || a.State != alerts.Open {
		t.Fatalf("%+v of %+v", gone, a.Episode)
	}
	log, err := r.app.Log(t.Context(), r.nurse, a.UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alerts.FoldLog(a.Episode, log), a.Episode); diff != "" {
		t.Errorf("it is not what its log says (-log +alert):\n%s", diff)
	}
	if _, err := r.refiles().Undo(t.Context(), r.nurse, made.UID, ""); err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 100)
	r.judgeAll(t, r.patient)
	a = r.only(t)
	if log, err = r.app.Log(t.Context(), r.nurse, a.UID); err != nil || a.Retraction(a.Last) != nil || !strings.Contains(log[len(log)-2].Note+log[len(log)-1].Note+log[len(log)-3].Note, "after all") {
		t.Errorf("it is theirs after all: %+v, %+v, %v", a.Episode, log, err)
	}
}
