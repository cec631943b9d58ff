package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/stream"
	"hale/vital"
)

func TestReaderHandsOutItsLaneOnlyAndInOrder(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	publish(t, p, 1, vital.Live, 1, 2)
	publish(t, p, 2, vital.Live, 100)
	publish(t, p, 1, vital.Late, 200)
	publish(t, p, 1, vital.Live, 3)
	ns, last := numbers(t, reader(t, h.stream, 1, vital.Live, 0), 3)
	if diff := cmp.Diff(count(1, 3), ns); diff != "" || last != 5 {
		t.Errorf("read up to %d (-want +got):\n%s", last, diff)
	}
	if ns, _ := numbers(t, reader(t, h.stream, 1, vital.Live, 2), 1); ns[0] != 3 {
		t.Errorf("behind the second message came %v, want 3", ns)
	}
}

func TestNextTakesWhatIsThereUpToAboutItsLimit(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	three := []vital.Record{{Reading: sample(1)}, {Reading: sample(2)}, {Reading: sample(3)}}
	for range 4 {
		if err := p.Publish(soon(t), 0, vital.Live, three); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, h.stream, 0, vital.Live, 0)
	eventually(t, "reading ahead", func() bool { return stream.Queued(r) == 4 })
	var got []int
	for _, most := range []int{1, 7, 100} {
		if !r.Ready() {
			t.Fatal("not ready with envelopes in the queue")
		}
		envelopes, err := r.Next(soon(t), most)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, len(envelopes))
	}
	if diff := cmp.Diff([]int{1, 2, 1}, got); diff != "" {
		t.Errorf("envelopes for 1, 7 and 100 records (-want +got):\n%s", diff)
	}
	if r.Ready() {
		t.Error("ready with nothing left")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ended, 1); !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("Next with an ended context: %v", err)
	}
}

func TestReaderGoesOnWhenTheServerRestarts(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	r := reader(t, h.stream, 4, vital.Live, 0)
	const envelopes = 200
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; n <= envelopes; n++ {
			if err := p.Publish(soon(t), 4, vital.Live, []vital.Record{{Reading: sample(n)}}); err != nil {
				t.Errorf("envelope %d: %v", n, err)
				return
			}
		}
	})
	var got []int
	take := func(upTo int) {
		for len(got) < upTo {
			ns, _ := numbers(t, r, 1)
			got = append(got, ns...)
		}
	}
	for _, at := range []int{20, 80, 140} {
		take(at)
		stream.ForgetRestart(h.server)
		if err := h.server.Restart(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	for len(got) == 0 || got[len(got)-1] < envelopes {
		take(len(got) + 1)
	}
	wg.Wait()
	// An envelope whose acknowledgement was lost with the server is there twice; the record knows it by its key. What
	// must not be is a gap, or one that comes back later than the next.
	previous := 0
	for i, n := range got {
		if n != previous && n != previous+1 {
			t.Fatalf("envelope %d came after %d (place %d)", n, previous, i)
		}
		previous = n
	}
}

func TestReaderStartsAgainWhereItsCursorStands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, stream.ServerConfig{Dir: dir})
	first := ensure(t, connect(t, s), 64<<20)
	publish(t, first.Publisher(stream.PublisherConfig{}), 6, vital.Live, count(1, 10)...)
	r := reader(t, first, 6, vital.Live, 0)
	ns, cursor := numbers(t, r, 1)
	r.Close()
	if err := s.Shutdown(soon(t)); err != nil {
		t.Fatal(err)
	}
	again := ensure(t, connect(t, startServer(t, stream.ServerConfig{Dir: dir})), 64<<20)
	more, _ := numbers(t, reader(t, again, 6, vital.Live, cursor), 10-len(ns))
	if diff := cmp.Diff(count(1, 10), append(ns, more...)); diff != "" {
		t.Errorf("over the restart (-want +got):\n%s", diff)
	}
}

func TestConcurrentPublishersKeepTheOrderOfTheirLanes(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	// An acknowledgement that a loaded machine gives too late would be asked for again, and the envelope be there twice.
	p := h.stream.Publisher(stream.PublisherConfig{AckWithin: patience})
	const each = 60
	var wg sync.WaitGroup
	for partition := range vital.Partitions {
		for _, lane := range []vital.Lane{vital.Live, vital.Late} {
			wg.Go(func() {
				for n := 1; n <= each; n++ {
					if err := p.Publish(soon(t), partition, lane, []vital.Record{{Reading: sample(n)}}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	for partition := range vital.Partitions {
		for _, lane := range []vital.Lane{vital.Live, vital.Late} {
			r := reader(t, h.stream, partition, lane, 0)
			wg.Go(func() {
				if ns, _ := numbers(t, r, each); !cmp.Equal(ns, count(1, each)) {
					t.Errorf("partition %d %s came as %v", partition, lane, ns)
				}
			})
		}
	}
	wg.Wait()
}

func TestLostMessagesEndTheReader(t *testing.T) {
	t.Parallel()
	setup := func(t *testing.T) house {
		t.Helper()
		h := open(t, 64<<20)
		publish(t, h.stream.Publisher(stream.PublisherConfig{}), 2, vital.Live, count(1, 10)...)
		return h
	}
	opening := func(t *testing.T, h house, after uint64) error {
		t.Helper()
		r, err := h.stream.OpenReader(soon(t), 2, vital.Live, after)
		if err == nil {
			r.Close()
		}
		return err
	}
	t.Run("a purge beyond the position is gone", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		stream.PurgeTo(t, h.stream, 6)
		if err := opening(t, h, 5); !fault.Is(err, fault.Gone) || !strings.Contains(err.Error(), "5") {
			t.Errorf("got %v, want gone", err)
		}
	})
	t.Run("a purge up to the position loses nothing", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		stream.PurgeTo(t, h.stream, 6)
		if ns, _ := numbers(t, reader(t, h.stream, 2, vital.Live, 6), 4); !cmp.Equal(ns, count(7, 10)) {
			t.Errorf("read %v", ns)
		}
	})
	t.Run("a position behind the end is gone", func(t *testing.T) {
		t.Parallel()
		if err := opening(t, setup(t), 11); !fault.Is(err, fault.Gone) {
			t.Errorf("got %v, want gone", err)
		}
	})
	t.Run("a subject that was purged leaves holes and is gone", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		publish(t, h.stream.Publisher(stream.PublisherConfig{}), 3, vital.Live, 1)
		publish(t, h.stream.Publisher(stream.PublisherConfig{}), 2, vital.Live, 11, 12)
		stream.PurgeSubject(t, h.stream, "hale.live.3") // message 11 of the stream
		if err := opening(t, h, 10); !fault.Is(err, fault.Gone) {
			t.Errorf("got %v, want gone", err)
		}
		if err := opening(t, h, 11); err != nil {
			t.Errorf("behind the hole: %v", err)
		}
	})
	t.Run("a purge while the reader has no room is seen, whatever another reader saw before", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		p := h.stream.Publisher(stream.PublisherConfig{})
		raw := make([]byte, 340<<10)
		for n := range 40 {
			refused := &vital.Refused{Org: 1, Device: 1, Topic: "t", Reason: vital.ReasonConflict, Detail: fmt.Sprint(n), Raw: raw, Length: int64(len(raw))}
			if err := p.Publish(soon(t), 6, vital.Live, []vital.Record{{Refused: refused}}); err != nil {
				t.Fatal(err)
			}
		}
		_, last, _ := stream.Bounds(t, h.stream)
		r := reader(t, h.stream, 6, vital.Live, last-40)
		eventually(t, "the reader has no more room", func() bool { return stream.QueuedBytes(r) >= 4<<20 })
		settled := -1
		eventually(t, "it reads no further", func() bool { was := settled; settled = stream.Queued(r); return was == settled })
		stream.SeenByAnother(t, h.stream)
		stream.PurgeTo(t, h.stream, last-1)
		for {
			_, err := r.Next(soon(t), 1)
			if fault.Is(err, fault.Gone) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if stream.Position(r) == last {
				t.Fatal("it read on behind the gap")
			}
		}
	})
	t.Run("a purge while the reader waits is seen with the next message", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		stream.LookAlways(h.stream)
		r := reader(t, h.stream, 2, vital.Live, 0)
		numbers(t, r, 10)
		p := h.stream.Publisher(stream.PublisherConfig{})
		publish(t, p, 5, vital.Live, 1, 2, 3)
		stream.PurgeTo(t, h.stream, 12) // nobody has passed 11 and 12
		publish(t, p, 2, vital.Live, 11)
		_, err := r.Next(soon(t), 10)
		if !fault.Is(err, fault.Gone) {
			t.Errorf("got %v, want gone", err)
		}
		if !r.Ready() {
			t.Error("a reader that has ended is not ready to say so")
		}
		if _, err := r.Idle(soon(t)); !fault.Is(err, fault.Gone) {
			t.Errorf("Idle of a reader that has ended: %v, want gone", err)
		}
	})
}

func TestDamagedEnvelopeStopsTheReaderAndIsNamed(t *testing.T) {
	t.Parallel()
	good := stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(2)}})
	torn := append([]byte{}, good...)
	torn[len(torn)-1]++
	cases := map[string]struct {
		data []byte
		want string
	}{
		"bytes that are no envelope":               {[]byte("hello"), "shorter"},
		"an envelope with a flipped bit":           {torn, "checksum"},
		"an envelope of another number of parts":   {stream.Encode(nil, 4, []vital.Record{{Reading: sample(2)}}), "4 partitions"},
		"an envelope whose writer is ahead of us":  {append([]byte("HALE\x09"), good[5:]...), "version 9"},
		"an envelope without any bytes whatsoever": {nil, "0 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, 64<<20)
			p := h.stream.Publisher(stream.PublisherConfig{})
			publish(t, p, 0, vital.Live, 1)
			stream.PublishRaw(t, h.stream, "hale.live.0", c.data)
			publish(t, p, 0, vital.Live, 3)
			r := reader(t, h.stream, 0, vital.Live, 0)
			if ns, _ := numbers(t, r, 1); !cmp.Equal(ns, []int{1}) {
				t.Fatalf("before the damage came %v", ns)
			}
			_, err := r.Next(soon(t), 10)
			if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "message 2") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an internal error on message 2 about %q", err, c.want)
			}
		})
	}
}

func TestIdleTellsHowFarALaneIsDone(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	stream.LookAlways(h.stream)
	quiet := reader(t, h.stream, 7, vital.Late, 0)
	want := func(what string, r *stream.Reader, seq uint64) {
		t.Helper()
		if got, err := r.Idle(soon(t)); err != nil || got != seq {
			t.Errorf("%s: Idle = %d, %v; want %d", what, got, err, seq)
		}
	}
	want("an empty stream", quiet, 0)
	publish(t, p, 1, vital.Live, 1, 2, 3) // 1 to 3
	want("a lane in which nothing came", quiet, 3)
	publish(t, p, 7, vital.Late, 1)       // 4
	publish(t, p, 1, vital.Live, 4, 5, 6) // 5 to 7
	eventually(t, "reading ahead", quiet.Ready)
	want("a lane with something that was not handed out", quiet, 3)
	numbers(t, quiet, 1)
	want("a lane of which all was handed out", quiet, 7)

	// Its cursor is now ahead of its last message; the janitor purges behind it, and nothing is lost by that.
	stream.PurgeTo(t, h.stream, 7)
	publish(t, p, 7, vital.Late, 2) // 8
	if ns, last := numbers(t, quiet, 1); !cmp.Equal(ns, []int{2}) || last != 8 {
		t.Errorf("after the purge came %v up to %d", ns, last)
	}
	want("a lane at the end of the stream", quiet, 8)
}

func TestIdleNeverPassesAMessageThatIsStillToCome(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	r := reader(t, h.stream, 0, vital.Live, 0)
	const each = 150
	var wg sync.WaitGroup
	for partition := range 2 {
		wg.Go(func() {
			for n := 1; n <= each; n++ {
				if err := p.Publish(soon(t), partition, vital.Live, []vital.Record{{Reading: sample(n)}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var passed uint64
	var got []int
	for len(got) < each {
		idle, err := r.Idle(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		passed = max(passed, idle)
		if !r.Ready() {
			continue
		}
		envelopes, err := r.Next(soon(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range envelopes {
			if e.Seq <= passed {
				t.Fatalf("message %d came after Idle had said that all up to %d was handed out", e.Seq, passed)
			}
			got = append(got, int(e.Records[0].Reading.Tie))
		}
	}
	wg.Wait()
	if diff := cmp.Diff(count(1, each), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReaderTakesOnlyTheMessageThatComesNext(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	r := reader(t, h.stream, 0, vital.Live, 0)
	data := stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(1)}})
	steps := []struct {
		what           string
		consumer, seq  uint64
		expected, want uint64 // want: envelopes in the queue afterwards
	}{
		{"the first one is taken", 1, 4, 1, 1},
		{"one that skips a delivery is not", 3, 6, 2, 1},
		{"one that was delivered before is not", 1, 4, 2, 1},
		{"one that lies before the position is not", 2, 3, 2, 1},
		{"the next one is taken", 2, 5, 2, 2},
	}
	for _, step := range steps {
		before := stream.Queued(r)
		err := stream.Accept(r, step.consumer, step.seq, step.expected, data)
		taken := stream.Queued(r) > before
		if uint64(stream.Queued(r)) != step.want || taken != (err == nil) || (err != nil && !fault.Is(err, fault.Unavailable)) {
			t.Errorf("%s: %v, %d in the queue", step.what, err, stream.Queued(r))
		}
	}
}

func TestReaderReadsAheadWithinBounds(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{})
	const envelopes = 24
	for n := 1; n <= envelopes; n++ { // about 400 kB each, more than twice of what is read ahead
		big := []vital.Record{{Reading: sample(n)}, {Refused: &vital.Refused{Raw: make([]byte, 400<<10)}}}
		if err := p.Publish(soon(t), 0, vital.Live, big); err != nil {
			t.Fatal(err)
		}
	}
	r := reader(t, h.stream, 0, vital.Live, 0)
	eventually(t, "a full queue", func() bool { return stream.QueuedBytes(r) >= 4<<20 })
	for n := 1; n <= envelopes; n++ {
		if b := stream.QueuedBytes(r); b > 6<<20+512<<10 {
			t.Fatalf("%d bytes were read ahead", b)
		}
		got, err := r.Next(soon(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || int(got[0].Records[0].Reading.Tie) != n {
			t.Fatalf("envelope %d did not come in its turn", n)
		}
	}
}

func TestClosingLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	r := reader(t, h.stream, 0, vital.Live, 0)
	eventually(t, "a consumer", func() bool { return stream.Consumers(t, h.stream) == 1 })
	r.Close()
	r.Close() // twice does no harm
	if n := stream.Consumers(t, h.stream); n != 0 {
		t.Errorf("%d consumers are left on the server", n)
	}
	if _, err := r.Next(soon(t), 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed reader said %v, want unavailable", err)
	}
	for _, partition := range []int{-1, vital.Partitions} {
		if _, err := h.stream.OpenReader(soon(t), partition, vital.Live, 0); !fault.Is(err, fault.Invalid) {
			t.Errorf("partition %d: %v, want invalid", partition, err)
		}
	}
	if _, err := h.stream.OpenReader(soon(t), 0, "fast", 0); !fault.Is(err, fault.Invalid) {
		t.Errorf("a lane that is none: %v, want invalid", err)
	}
}

func TestReaderEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	r := reader(t, h.stream, 0, vital.Live, 0)
	h.conn.Close()
	if _, err := r.Next(soon(t), 1); !fault.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want unavailable at once", err)
	}
	if err := h.stream.Publisher(stream.PublisherConfig{}).Publish(soon(t), 0, vital.Live, []vital.Record{{Reading: sample(1)}}); !fault.Is(err, fault.Unavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publishing: %v, want unavailable at once", err)
	}
}
