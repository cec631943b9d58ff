package edge

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// bus carries words between edges as NATS does, or worse: a test says what becomes of each.
type bus struct {
	mu    sync.Mutex
	edges []*house
	// carry, when set, is given every word; what it returns is delivered at once.
	carry func(from *house, text []byte) [][]byte
	line  chan func()
}

func newBus(t *testing.T) *bus {
	t.Helper()
	b := &bus{line: make(chan func(), 1<<16)}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case f := <-b.line:
				f()
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done) })
	return b
}

func (b *bus) join(h *house) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.edges = append(b.edges, h)
}

func (b *bus) tell(from *house, text []byte) {
	b.mu.Lock()
	list := [][]byte{text}
	if b.carry != nil {
		list = b.carry(from, text)
	}
	b.mu.Unlock()
	for _, text := range list {
		b.deliver(text)
	}
}

// deliver hands a word to everybody, as NATS does: also to who has told it.
func (b *bus) deliver(text []byte) {
	b.mu.Lock()
	edges := append([]*house{}, b.edges...)
	b.mu.Unlock()
	b.line <- func() {
		for _, h := range edges {
			h.Hear(text)
		}
	}
}

// session returns the device's session.
func (h *house) session(device string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[device]
}

// told lets another edge say that it has a newer connection of the device.
func (h *house) told(t *testing.T, device string) {
	t.Helper()
	text, err := json.Marshal(word{From: "another", To: h.rivals.id, Kind: wordVerdict, Claim: []presence{{device, h.session(device).epoch.Load()}}})
	if err != nil {
		t.Fatal(err)
	}
	h.Hear(text)
}

// meddler does to words what networks do: it drops, repeats, delays and reorders them.
func meddler(seed uint64) func(*house, []byte) [][]byte {
	random := rand.New(rand.NewPCG(seed, 0))
	var late [][]byte
	return func(_ *house, text []byte) [][]byte {
		switch random.IntN(4) {
		case 0:
			return nil
		case 1:
			late = append(late, text)
			return nil
		case 2:
			random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			now := append(late, text, text)
			late = nil
			return now
		}
		return [][]byte{text}
	}
}

// alive returns on which of the edges the device has a session that has not ended.
func alive(device string, edges ...*house) (at []int) {
	for i, h := range edges {
		h.mu.Lock()
		one := h.sessions[device]
		h.mu.Unlock()
		if one == nil {
			continue
		}
		one.mu.Lock()
		if one.ended == "" {
			at = append(at, i)
		}
		one.mu.Unlock()
	}
	return at
}

func TestTheNewestConnectionStaysWhateverTheClocksSay(t *testing.T) {
	t.Parallel()
	cases := map[string][2]time.Duration{
		"the clocks agree":                         {0, 0},
		"the clock of the first is hours ahead":    {5 * time.Hour, 0},
		"the clock of the second is hours ahead":   {0, 5 * time.Hour},
		"the first lives in another century":       {100 * 365 * 24 * time.Hour, 0},
		"the second has forgotten the time wholly": {0, -50 * 365 * 24 * time.Hour},
	}
	for name, wrong := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := newBus(t)
			first := openOn(t, on, wrong[0], Limits{}, &recorder{always: accepted})
			second := openOn(t, on, wrong[1], Limits{}, &recorder{always: accepted})
			epoch := int64(0)
			for turn := range 6 {
				here, there := first, second
				if turn%2 == 1 {
					here, there = second, first
				}
				here.connect(t, "d1", withWill)
				eventually(t, "the older connection is over", func() bool { return there.session("d1") == nil })
				var now int64
				eventually(t, "the epoch of the newest is the highest", func() bool {
					now = here.session("d1").epoch.Load()
					return now > epoch
				})
				epoch = now
			}
			for _, h := range []*house{first, second} {
				if h.core.count() != 0 {
					t.Error("the will of an older connection was told")
				}
			}
		})
	}
}

func withWill(p *packets.ConnectPacket) {
	p.WillFlag, p.WillQos, p.WillTopic, p.WillMessage = true, 1, "hale/v1/d1/status", []byte(`{"online":false}`)
}

func TestTheNewestConnectionStaysOnALineThatLosesAndMixesWords(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			on := newBus(t)
			on.carry = meddler(seed)
			limits := Limits{RollCallEvery: 20 * time.Millisecond}
			edges := []*house{
				openOn(t, on, 3*time.Hour, limits, &recorder{always: accepted}),
				openOn(t, on, -3*time.Hour, limits, &recorder{always: accepted}),
				openOn(t, on, 0, limits, &recorder{always: accepted}),
			}
			random := rand.New(rand.NewPCG(seed, 1))
			last := 0
			for range 8 {
				last = random.IntN(len(edges))
				edges[last].connect(t, "d1")
				since := time.Now()
				// Two connections that come within an answer of each other may be taken for each other; a device cannot tell.
				eventually(t, "another moment", func() bool { return time.Since(since) > 30*time.Millisecond })
			}
			eventually(t, "only the newest lives", func() bool {
				at := alive("d1", edges...)
				return len(at) == 1 && at[0] == last
			})
		})
	}
}

func TestEdgesThatDidNotHearEachOtherSettleItWhenTheyDo(t *testing.T) {
	t.Parallel()
	on := newBus(t)
	on.carry = func(*house, []byte) [][]byte { return nil } // NATS is away
	stale := openOn(t, on, 0, Limits{}, &recorder{always: accepted})
	fresh := openOn(t, on, -7*time.Hour, Limits{}, &recorder{always: accepted})
	// The stale edge goes on giving epochs, which are far ahead of the other's.
	old := stale.connect(t, "d1", withWill)
	since := time.Now()
	eventually(t, "another moment", func() bool { return time.Since(since) > 20*time.Millisecond })
	now := fresh.connect(t, "d1")
	old.ping()
	now.ping()
	was := stale.session("d1").epoch.Load()
	if was <= fresh.session("d1").epoch.Load() {
		t.Fatal("the older connection does not have the higher epoch, so this shows nothing")
	}
	on.mu.Lock()
	on.carry = nil // it is back
	on.mu.Unlock()
	stale.RollCall()
	old.closed()
	now.ping()
	eventually(t, "the newest has the highest epoch", func() bool {
		return fresh.session("d1").epoch.Load() > was
	})
	if stale.core.count() != 0 {
		t.Error("the will of the older connection was told")
	}
}

func TestOldWordsChangeNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var kept [][]byte
	on := newBus(t)
	on.carry = func(_ *house, text []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, text)
		return [][]byte{text}
	}
	limits := Limits{AnswerWithin: time.Second}
	a, b := openOn(t, on, 0, limits, &recorder{always: accepted}), openOn(t, on, 0, limits, &recorder{always: accepted})
	for range 3 {
		a.connect(t, "d1")
		eventually(t, "the device has left b", func() bool { return b.session("d1") == nil })
		b.connect(t, "d1")
		eventually(t, "the device has left a", func() bool { return a.session("d1") == nil })
	}
	d := a.connect(t, "d1")
	eventually(t, "the device has left b", func() bool { return b.session("d1") == nil })
	mu.Lock()
	all := kept
	mu.Unlock()
	for _, text := range slices.Backward(all) {
		on.deliver(text)
	}
	on.deliver([]byte("no word"))
	on.deliver([]byte(`{"from":"x","kind":"claim","claim":[{"device":"d1","epoch":9223372036854775807}]}`))
	on.deliver([]byte(`{"from":"x","kind":"answer","number":1,"claim":[{"device":"d1","epoch":1}]}`))
	on.deliver([]byte(`{"from":"x","kind":"verdict","claim":[{"device":"d1","epoch":1}]}`))
	settled := make(chan struct{})
	on.line <- func() { close(settled) }
	<-settled
	d.ping()
	e := a.connect(t, "d1") // epochs still grow
	d.closed()
	e.ping()
	eventually(t, "no question stays open", func() bool {
		a.rivals.mu.Lock()
		defer a.rivals.mu.Unlock()
		return len(a.rivals.questions) == 0
	})
}

func TestAnAnswerThatComesTooLateDecidesNothing(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{AnswerWithin: time.Minute, WatchEvery: time.Hour}, &recorder{})
	d := h.connect(t, "d1")
	one := h.session("d1")
	h.ask("another", presence{"d1", 1})
	answer := func(number uint64, age time.Duration) {
		text, err := json.Marshal(word{From: "another", Kind: wordAnswer, Number: number, AgeNanos: int64(age), Claim: []presence{{"d1", 1 << 60}}})
		if err != nil {
			t.Fatal(err)
		}
		h.Hear(text)
	}
	h.clock.Store(int64(2 * time.Minute)) // the answer takes longer than it is good for
	answer(1, 0)
	d.ping()
	h.ask("another", presence{"d1", 1})
	answer(3, 0) // to no question of ours
	d.ping()
	if one.ended != "" {
		t.Fatal("the connection has ended")
	}
	answer(2, 0) // their connection is younger
	d.closed()
}

func TestAnAnswerAboutAConnectionThatIsGoneDecidesNothingAboutTheNext(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{AnswerWithin: time.Hour, WatchEvery: time.Hour}, &recorder{})
	before := h.connect(t, "d1")
	h.ask("another", presence{"d1", 1})
	now := h.connect(t, "d1")
	before.closed()
	text, err := json.Marshal(word{From: "another", Kind: wordAnswer, Number: 1, Claim: []presence{{"d1", 1 << 62}}})
	if err != nil {
		t.Fatal(err)
	}
	h.Hear(text) // theirs is younger than the one that we had
	now.ping()
}

func TestWhichConnectionIsOlder(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const ms = time.Millisecond
	cases := map[string]struct {
		ours, theirs, took time.Duration
		higher             bool // our epoch
		older              bool
	}{
		"ours is older for certain":                           {100 * ms, 10 * ms, 20 * ms, true, true},
		"ours is younger for certain":                         {5 * ms, 10 * ms, 20 * ms, false, false},
		"open, and our epoch is lower":                        {15 * ms, 10 * ms, 20 * ms, false, true},
		"open, and our epoch is higher":                       {15 * ms, 10 * ms, 20 * ms, true, false},
		"just open at the far end, and our epoch is higher":   {30 * ms, 10 * ms, 20 * ms, true, false},
		"certain just behind the far end":                     {30*ms + 1, 10 * ms, 20 * ms, true, true},
		"accepted this moment, against one of this moment":    {0, 0, 0, true, false},
		"a connection of weeks against one of a second ago":   {500 * time.Hour, time.Second, 50 * ms, true, true},
		"a connection of a second against one of weeks":       {time.Second, 500 * time.Hour, 50 * ms, false, false},
		"an answer in no time leaves nothing open but a tie":  {10 * ms, 10 * ms, 0, false, true},
		"theirs began while they answered, ours before it":    {21 * ms, 0, 20 * ms, true, true},
		"theirs began while they answered, ours at that time": {20 * ms, 0, 20 * ms, true, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			epoch := int64(1)
			if c.higher {
				epoch = 3
			}
			if got := older(now.Add(-c.ours), epoch, now, 2, c.theirs, c.took); got != c.older {
				t.Errorf("older is %v", got)
			}
		})
	}
}
