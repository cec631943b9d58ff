package postgres_test

import (
	"context"
	"testing"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// halted is a record whose batch stops before it stores what was decided, with all that it holds.
type halted struct {
	identity.ImportBook
	there chan struct{} // closed when the batch has come so far
	goOn  chan struct{}
}

func (b *halted) AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(identity.Import) identity.ImportQuestion, decide func(identity.ImportFacts) []identity.Decided) (identity.Import, []identity.ImportLine, error) {
	return b.ImportBook.AdvanceImport(ctx, actor, uid, ask, func(f identity.ImportFacts) []identity.Decided {
		close(b.there)
		<-b.goOn
		return decide(f)
	})
}

// TestOthersAreMeasuredWhileAnErasureWaitsForAFile erases somebody in the middle of a batch that changes their record: no
// partition waits for the file, and neither of the two gives way to the other.
func TestOthersAreMeasuredWhileAnErasureWaitsForAFile(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	_, lines := r.bring(t, identity.ImportOptions{Zone: "UTC"}, columns+"Ana Kovač,1941-03-02,,,A-1,,7\n")
	ana, err := r.app.Patient(t.Context(), r.nurse, lines[0].Patient)
	if err != nil {
		t.Fatal(err)
	}
	m := r.imports()
	i, _, err := m.Check(t.Context(), r.nurse, identity.ImportPatients, identity.ImportOptions{Zone: "UTC"}, []byte(columns+"Ana Kovač,1941-03-02,female,,A-1,,7\n"))
	if err != nil {
		t.Fatal(err)
	}
	r.request(t, ana, atOnce(), safe.ErasureDecision{})
	b := &halted{ImportBook: r.app, there: make(chan struct{}), goOn: make(chan struct{})}
	m.Book = b
	batch := make(chan error, 1)
	go func() {
		_, _, err := m.Advance(t.Context(), r.nurse, i.UID, time.Minute, nil)
		batch <- err
	}()
	<-b.there
	erased := r.begun(t, func() error { return r.eraser(&still{end: 40}).RunOnce(t.Context(), r.now(t)) })
	if n := r.count(t, `SELECT count(*) FROM (SELECT 1 FROM stream_cursor FOR UPDATE SKIP LOCKED) f`); n != vital.Partitions {
		t.Errorf("%d partitions go on, want %d", n, vital.Partitions)
	}
	close(b.goOn)
	// The batch was before: it is done as a whole, or finds its file forgotten at the next one.
	if err := <-batch; err != nil && !fault.Is(err, fault.Gone) {
		t.Errorf("the batch: %v", err)
	}
	if err := <-erased; err != nil {
		t.Errorf("the erasure: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM import WHERE content IS NOT NULL`); n != 0 {
		t.Errorf("%d files are kept", n)
	}
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT state FROM erasure`); got != "done" {
		t.Errorf("the request is %s", got)
	}
}
