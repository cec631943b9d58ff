package feed

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/fault"
)

func TestWhoLagsBehindIsClosedAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	slow, err := hub.subscribe(account.Actor{Org: 1})
	if err != nil {
		t.Fatal(err)
	}
	quick, err := hub.subscribe(account.Actor{Org: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for id := int64(1); id <= queueLength+1; id++ {
		hub.hand(1, event(1, id))
		batch, open := quick.take()
		if !open || len(batch) != 1 {
			t.Fatalf("the quick one took %v, open %v", batch, open)
		}
		got = append(got, batch[0].event.ID)
	}
	if want := int64(queueLength + 1); got[len(got)-1] != want || !slices.IsSorted(got) {
		t.Errorf("the quick one heard up to %d", got[len(got)-1])
	}
	if lagged, open := slow.take(); len(lagged) != queueLength || open || hub.Count() != 1 {
		t.Errorf("the slow one was told %d, open %v; %d connections are left", len(lagged), open, hub.Count())
	}
	hub.leave(slow)
	hub.Close()
	if _, open := quick.take(); open || hub.Count() != 0 {
		t.Error("closing the hub left a connection")
	}
	if _, err := hub.subscribe(account.Actor{Org: 1}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed hub takes connections: %v", err)
	}
}

func TestRunCatchesUpByItselfAndClosesAtItsEnd(t *testing.T) {
	t.Parallel()
	record := &ledger{}
	record.write(event(1, 7))
	hub := NewHub(&air{ready: make(chan struct{})}, record, slog.New(slog.DiscardHandler))
	place, err := hub.subscribe(account.Actor{Org: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	<-place.wake
	if batch, _ := place.take(); len(batch) != 1 || batch[0].event.ID != 7 {
		t.Errorf("heard %+v", batch)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, open := place.take(); open {
		t.Error("the end of the hub left a connection")
	}
}

func TestAnAnnouncementThatContradictsItselfReachesNobody(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	place, err := hub.subscribe(account.Actor{Org: 1})
	if err != nil {
		t.Fatal(err)
	}
	hub.hand(1, event(2, 8))
	hub.hand(2, event(1, 9))
	if batch, _ := place.take(); len(batch) != 0 {
		t.Errorf("heard %+v", batch)
	}
}

func TestARoomRemembersSoMuch(t *testing.T) {
	t.Parallel()
	r := &room{told: map[int64]struct{}{}}
	for id := int64(1); id <= rememberedIDs+100; id++ {
		if !r.remember(id) {
			t.Fatalf("%d is not new", id)
		}
	}
	want := map[int64]bool{1: true, 101: false, rememberedIDs + 100: false}
	got := map[int64]bool{}
	for _, id := range []int64{rememberedIDs + 100, 101, 1} {
		got[id] = r.remember(id)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(r.told) != rememberedIDs || r.last != rememberedIDs+100 {
		t.Errorf("%s, %d remembered, last %d", diff, len(r.told), r.last)
	}
}
