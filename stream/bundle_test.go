package stream_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"hale/fault"
	"hale/stream"
	"hale/vital"
)

func TestABundleGivesEachPartitionItsEnvelope(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.MapOfN(rapid.IntRange(0, vital.Partitions-1), rapid.SliceOfN(rapid.Byte(), 1, 200), 1, vital.Partitions).Draw(t, "envelopes")
		b := stream.Bundle(in)
		for partition := range vital.Partitions {
			out, err := stream.OpenBundle(b, partition)
			if err != nil || !bytes.Equal(out, in[partition]) || (out == nil) != (in[partition] == nil) {
				t.Fatalf("partition %d has %x, want %x: %v", partition, out, in[partition], err)
			}
		}
	})
}

func TestADamagedBundleIsAnError(t *testing.T) {
	t.Parallel()
	envelopes := map[int][]byte{}
	for _, partition := range []int{0, 3, 7} {
		envelopes[partition] = stream.Encode(nil, vital.Partitions, []vital.Record{{Reading: sample(partition)}})
	}
	good := stream.Bundle(envelopes)
	broken := func(b []byte, partition int) error {
		envelope, err := stream.OpenBundle(b, partition)
		if err != nil {
			return err
		}
		if envelope == nil {
			return nil
		}
		_, err = stream.Decode(envelope)
		return err
	}
	for cut := range good {
		if err := broken(good[:cut], 7); !fault.Is(err, fault.Internal) {
			t.Fatalf("the first %d of %d bytes: %v", cut, len(good), err)
		}
	}
	if err := broken(append(slices.Clone(good), 0), 0); !fault.Is(err, fault.Internal) {
		t.Errorf("a byte too many: %v", err)
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 0x40
		if broken(b, 0) == nil && broken(b, 3) == nil && broken(b, 7) == nil {
			t.Errorf("byte %d of %d is another and nobody minds", i, len(good))
		}
	}
}

func FuzzOpenBundle(f *testing.F) {
	f.Add(stream.Bundle(map[int][]byte{1: {1, 2}, 6: {3}}), uint8(6))
	f.Fuzz(func(t *testing.T, b []byte, partition uint8) {
		for _, data := range [][]byte{b, stream.ResealBundle(b)} {
			envelope, err := stream.OpenBundle(data, int(partition))
			if err != nil && (envelope != nil || !fault.Is(err, fault.Internal)) {
				t.Fatalf("%d bytes and %v", len(envelope), err)
			}
			if !bytes.Contains(data, envelope) {
				t.Fatal("the envelope is not in the bundle")
			}
		}
	})
}

// bundles plays the stream: it notes who travelled together, and what it does takes a while.
type bundles struct {
	mu   sync.Mutex
	list [][]int
	err  error
}

func (b *bundles) send(_ context.Context, partitions []int) error {
	b.mu.Lock()
	b.list = append(b.list, partitions)
	b.mu.Unlock()
	<-time.After(time.Millisecond) // the bubble's clock
	return b.err
}

func TestWhoComesMeanwhileTravelsTogether(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		meanwhile []int // the partitions of what comes while the first, of partition 0, is under way
		want      [][]int
	}{
		"who comes alone goes at once":                    {nil, [][]int{{0}}},
		"all that wait go in one bundle":                  {[]int{1, 2, 5}, [][]int{{0}, {1, 2, 5}}},
		"of each partition one, the second with the next": {[]int{1, 2, 1}, [][]int{{0}, {1, 2}, {1}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &bundles{}
				company := stream.NewCompany(b.send)
				var all sync.WaitGroup
				for _, partition := range append([]int{0}, c.meanwhile...) {
					all.Go(func() {
						if err := company.Travel(t.Context(), partition); err != nil {
							t.Errorf("partition %d: %v", partition, err)
						}
					})
					synctest.Wait()
				}
				all.Wait()
				if diff := cmp.Diff(c.want, b.list); diff != "" {
					t.Errorf("bundles (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestWhoStopsWaitingIsLeftBehindAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hour := make(chan struct{})
		var list [][]int
		company := stream.NewCompany(func(_ context.Context, partitions []int) error {
			list = append(list, partitions)
			<-hour
			return nil
		})
		var all sync.WaitGroup
		all.Go(func() { _ = company.Travel(t.Context(), 0) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := company.Travel(ctx, 1); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		all.Go(func() { _ = company.Travel(t.Context(), 2) })
		synctest.Wait()
		close(hour)
		all.Wait()
		if diff := cmp.Diff([][]int{{0}, {2}}, list); diff != "" {
			t.Errorf("bundles (-want +got):\n%s", diff)
		}
	})
}

func TestTheFirstOfManyWaitsAMomentForAsManyAsLastTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bundles{}
		company := stream.NewCompany(b.send)
		var all sync.WaitGroup
		come := func(apart time.Duration) {
			for partition := range 4 {
				all.Go(func() {
					<-time.After(time.Duration(partition) * apart)
					_ = company.Travel(t.Context(), partition)
				})
			}
			all.Wait()
		}
		come(100 * time.Microsecond) // the first alone, the others together
		come(100 * time.Microsecond) // three are waited for, and the fourth comes too late
		<-time.After(time.Second)
		come(100 * time.Microsecond) // long ago: nobody is waited for
		want := []int{1, 3, 3, 1, 1, 3}
		got := []int{}
		for _, partitions := range b.list {
			got = append(got, len(partitions))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sizes of the bundles (-want +got):\n%s", diff)
		}
	})
}

func TestABundleIsSentForAsLongAsAnybodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("nobody waits")
		company := stream.NewCompany(func(ctx context.Context, partitions []int) error {
			if len(partitions) == 1 {
				<-time.After(time.Millisecond)
				return nil
			}
			<-ctx.Done()
			return gone
		})
		var all sync.WaitGroup
		all.Go(func() { _ = company.Travel(t.Context(), 0) })
		synctest.Wait()
		began := time.Now()
		for i, patience := range []time.Duration{time.Second, time.Minute} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := company.Travel(ctx, 1+i); !errors.Is(err, gone) || time.Since(began) != time.Minute {
					t.Errorf("partition %d after %s: %v", 1+i, time.Since(began), err)
				}
			})
		}
		all.Wait()
	})
}

func TestPartitionsThatShareABundleEachReadTheirOwn(t *testing.T) {
	t.Parallel()
	h := open(t, 64<<20)
	p := h.stream.Publisher(stream.PublisherConfig{AckWithin: patience})
	const rounds = 20
	var all sync.WaitGroup
	for partition := range vital.Partitions - 1 { // the last one has nothing
		all.Go(func() {
			for n := 1; n <= rounds; n++ {
				if err := p.Publish(soon(t), partition, vital.Live, []vital.Record{{Reading: sample(100*partition + n)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	_, last, _ := stream.Bounds(t, h.stream)
	if last >= rounds*(vital.Partitions-1) {
		t.Errorf("%d envelopes took %d messages: none shared one", rounds*(vital.Partitions-1), last)
	}
	for partition := range vital.Partitions - 1 {
		r := reader(t, h.stream, partition, vital.Live, 0)
		ns, _ := numbers(t, r, rounds)
		if diff := cmp.Diff(count(100*partition+1, 100*partition+rounds), ns); diff != "" {
			t.Errorf("partition %d (-want +got):\n%s", partition, diff)
		}
	}
	idle := reader(t, h.stream, vital.Partitions-1, vital.Live, 0)
	eventually(t, "the partition without envelopes has passed the bundles", func() bool {
		seq, err := idle.Idle(soon(t))
		return err == nil && seq == last
	})
	if idle.Ready() {
		t.Error("the partition without envelopes has something to read")
	}
}
