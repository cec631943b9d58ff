package push_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"hale/push"
)

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func TestWhatBecomesOfADelivery(t *testing.T) {
	t.Parallel()
	const minute = time.Minute
	for name, c := range map[string]struct {
		try, refusals int
		age           time.Duration
		answer        push.Answer
		want          push.Outcome
	}{
		"it is delivered":                         {1, 0, 0, push.Answer{Status: 202}, push.Outcome{State: push.Delivered, Status: 202}},
		"the receiver is broken":                  {1, 0, 0, push.Answer{Status: 500}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 500, NextAt: noon().Add(time.Second)}},
		"it is broken again":                      {4, 0, 0, push.Answer{Status: 500}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 500, NextAt: noon().Add(8 * time.Second)}},
		"it is broken for long":                   {90, 0, 0, push.Answer{Status: 500}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 500, NextAt: noon().Add(5 * minute)}},
		"it does not answer":                      {1, 0, 0, push.Answer{Reason: push.TimedOut}, push.Outcome{State: push.Waiting, Reason: push.TimedOut, NextAt: noon().Add(time.Second)}},
		"its certificate is not good":             {1, 0, 0, push.Answer{Reason: push.NotTrusted}, push.Outcome{State: push.Waiting, Reason: push.NotTrusted, NextAt: noon().Add(time.Second)}},
		"it refuses":                              {1, 0, 0, push.Answer{Status: 400}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 400, Refused: true, NextAt: noon().Add(10 * time.Second)}},
		"it refuses the fourth time":              {9, 3, 0, push.Answer{Status: 400}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 400, Refused: true, NextAt: noon().Add(15 * minute)}},
		"it refuses the fifth time":               {9, 4, 0, push.Answer{Status: 400}, push.Outcome{State: push.GivenUp, Reason: push.BadStatus, Status: 400, Refused: true}},
		"it sends us elsewhere":                   {1, 0, 0, push.Answer{Status: 308, Reason: push.Redirects}, push.Outcome{State: push.Waiting, Reason: push.Redirects, Status: 308, Refused: true, NextAt: noon().Add(10 * time.Second)}},
		"its name leads into the house":           {1, 4, 0, push.Answer{Reason: push.BadAddress}, push.Outcome{State: push.GivenUp, Reason: push.BadAddress, Refused: true}},
		"it is gone":                              {1, 0, 0, push.Answer{Status: 410}, push.Outcome{State: push.GivenUp, Reason: push.GoneForGood, Status: 410, Disable: true}},
		"it has too much to do":                   {1, 0, 0, push.Answer{Status: 429}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 429, NextAt: noon().Add(time.Second)}},
		"it asks for a minute":                    {1, 0, 0, push.Answer{Status: 503, Wait: minute}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 503, NextAt: noon().Add(minute), Hold: noon().Add(minute)}},
		"it asks for a week":                      {1, 0, 0, push.Answer{Status: 429, Wait: 168 * time.Hour}, push.Outcome{State: push.Waiting, Reason: push.BadStatus, Status: 429, NextAt: noon().Add(time.Hour), Hold: noon().Add(time.Hour)}},
		"the notice is a day old":                 {300, 0, 24 * time.Hour, push.Answer{Status: 500}, push.Outcome{State: push.GivenUp, Reason: push.TooOld, Status: 500}},
		"a day old, it is delivered all the same": {300, 0, 24 * time.Hour, push.Answer{Status: 200}, push.Outcome{State: push.Delivered, Status: 200}},
	} {
		p := &push.Parcel{Claim: c.try, Refusals: c.refusals, CreatedAt: noon().Add(-c.age)}
		if got := push.Decide(p, c.answer, noon(), 0.5); got != c.want {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, c.want)
		}
	}
}

func TestWaitsAreSpread(t *testing.T) {
	t.Parallel()
	at := func(jitter float64) time.Duration {
		return push.Decide(&push.Parcel{Claim: 5, CreatedAt: noon()}, push.Answer{Reason: push.TimedOut}, noon(), jitter).NextAt.Sub(noon())
	}
	if low, high := at(0), at(1); low != 12800*time.Millisecond || high != 19200*time.Millisecond {
		t.Errorf("between %s and %s, want 16 s and a fifth up or down", low, high)
	}
}

// TestEveryTopicCanBeAskedFor: a topic that is not in the list could be in no channel but those that get everything.
func TestEveryTopicCanBeAskedFor(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("push.go")
	if err != nil {
		t.Fatal(err)
	}
	_, source, _ = bytes.Cut(source, []byte("// The topics."))
	all := regexp.MustCompile(`Topic += "([a-z_.]+)"`).FindAllSubmatch(source, -1)
	if len(all) < 20 {
		t.Fatalf("only %d topics stand in the source", len(all))
	}
	for _, m := range all {
		if topic := push.Topic(m[1]); topic != push.ChannelTested && !slices.Contains(push.Topics(), topic) {
			t.Errorf("%s is not in Topics", topic)
		}
	}
}
