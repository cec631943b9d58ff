package push

import (
	"net/http"
	"strings"
	"time"

	"hale/vital"
)

// State is where a delivery stands: the way of one notice to one channel.
type State string

// The states. The last three are final.
const (
	Waiting   State = "waiting"
	Delivered State = "delivered"
	GivenUp   State = "given_up"
	Cancelled State = "cancelled"
)

// Reason says why a delivery was not made, at the last try or for good.
type Reason string

// The reasons.
const (
	BadStatus   Reason = "status"      // the receiver answered with another status than 2xx
	TimedOut    Reason = "timeout"     // it did not answer in time
	Unreachable Reason = "unreachable" // no connection, or it broke
	NotTrusted  Reason = "tls"         // its certificate is not good
	BadAddress  Reason = "address"     // its name leads to an address that notices may not be sent to
	Redirects   Reason = "redirect"    // it wants to be asked elsewhere, which is not followed
	GoneForGood Reason = "gone"        // it answered 410: it wants nothing any more, and its channel is disabled
	NoKey       Reason = "no_key"      // this process cannot open the secret: our fault
	TooOld      Reason = "expired"     // it did not get through within GiveUpAfter

	NoticeCancelled Reason = "notice_cancelled" // what it told of must not be told any more
	ChannelOff      Reason = "channel_disabled"
	CareOver        Reason = "care_ended"
	ConsentOver     Reason = "consent_ended"
)

// Delivery is one notice on its way to one channel, as people are shown it.
type Delivery struct {
	UID       vital.UID // the id that the receiver sees, the same at every try
	Topic     Topic
	Severity  string
	Audience  Audience
	CreatedAt time.Time // of the notice
	State     State
	Tries     int
	Reason    Reason    // of the last try that failed, or of the end
	Status    int       // of HTTP, of the last try; 0: there was no answer
	NextAt    time.Time // of the next try; zero when it is settled
	SettledAt time.Time
}

// Parcel is a delivery that is due, with all that is needed to hand it over.
type Parcel struct {
	Org       vital.OrgID
	ID        int64
	UID       vital.UID
	Claim     int // which try this is, from 1; it fences a try that took longer than its lease
	Refusals  int // tries before that the receiver refused
	Channel   Address
	Topic     Topic
	Severity  string
	Audience  Audience
	CreatedAt time.Time // of the notice
	Patient   vital.UID // empty of what is about no patient

	Facts Facts
}

// Address is where a parcel goes.
type Address struct {
	ID      int64
	UID     vital.UID
	URL     string
	Secrets [][]byte // sealed; the newest first, and beside it the one before for as long as that signs too
}

// Facts are what decides, when a notice is about to be sent, whether it still may be.
type Facts struct {
	Cancelled  bool // the notice was
	Disabled   bool // the channel is
	CareEnded  bool // of the patient: nobody watches any more
	NoConsent  bool // the consent under which the notice is sent does not stand
	ToRelative bool // the notice is for a relative
}

// mayNot says why a notice must not be sent any more; "" when it may be.
func (p *Parcel) mayNot() Reason {
	f := p.Facts
	switch {
	case f.Cancelled:
		return NoticeCancelled
	case f.Disabled:
		return ChannelOff
	case f.NoConsent:
		return ConsentOver
	case f.CareEnded && (f.ToRelative || p.Topic.ofTheWatch()):
		return CareOver
	}
	return ""
}

// ofTheWatch reports whether a topic asks people to do something for the patient's health, which ends with care.
func (t Topic) ofTheWatch() bool {
	return strings.HasPrefix(string(t), "alert.") || t == ScheduleChanged
}

// Answer is what became of one try.
type Answer struct {
	Status int           // of HTTP; 0: there was none
	Reason Reason        // why it failed; "" and a status outside 2xx is BadStatus
	Wait   time.Duration // that the receiver asks for (Retry-After); 0: it asks for none
}

// Outcome is what a try changes.
type Outcome struct {
	State   State
	Reason  Reason
	Status  int
	NextAt  time.Time // of the next try, while it waits
	Refused bool      // the receiver refused it: counted, since that does not get better by itself
	Hold    time.Time // nothing is handed to the channel until then; zero: at any time
	Disable bool      // the channel is disabled
}

const (
	// GiveUpAfter is how old a notice may become before it is given up: a day later nobody acts on it without looking first.
	GiveUpAfter = 24 * time.Hour
	// KeptFor is how long after its end it is known what became of a delivery [J].
	KeptFor     = 90 * 24 * time.Hour
	firstWait   = time.Second     // before the second try: a receiver that is started anew loses little time
	longestWait = 5 * time.Minute // between two tries
	mostWait    = time.Hour       // that a receiver can ask for
	jitterShare = 0.2             // of a wait, up or down, so that many do not come at once
)

// refusalWaits are the waits after each refusal (4xx, a redirect, an address that is not public). There are few, for that does not
// mend itself; but a receiver may be in the middle of a change of its own. After the last refusal the notice is given up.
func refusalWaits() []time.Duration {
	return []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}
}

// Decide says what becomes of a delivery after a try at now. jitter is between 0 and 1, drawn anew for each.
func Decide(p *Parcel, a Answer, now time.Time, jitter float64) Outcome {
	o := Outcome{State: Waiting, Reason: a.Reason, Status: a.Status}
	if o.Reason == "" {
		if a.Status >= 200 && a.Status < 300 {
			o.State = Delivered
			return o
		}
		o.Reason = BadStatus
	}
	if a.Status == http.StatusGone {
		return Outcome{State: GivenUp, Reason: GoneForGood, Status: a.Status, Disable: true}
	}
	o.Refused = refusal(a)
	wait := spread(backOff(p.Claim), jitter)
	if o.Refused {
		waits := refusalWaits()
		if p.Refusals >= len(waits) {
			o.State = GivenUp
			return o
		}
		wait = spread(waits[p.Refusals], jitter)
	}
	if a.Wait > 0 {
		o.Hold = now.Add(min(a.Wait, mostWait))
	}
	o.NextAt = now.Add(wait)
	if o.Hold.After(o.NextAt) {
		o.NextAt = o.Hold
	}
	if o.NextAt.Sub(p.CreatedAt) > GiveUpAfter {
		return Outcome{State: GivenUp, Reason: TooOld, Status: a.Status, Hold: o.Hold}
	}
	return o
}

// refusal reports whether the answer says that this message, or this address, is wrong: trying again hardly helps.
func refusal(a Answer) bool {
	switch a.Reason {
	case Redirects, BadAddress:
		return true
	case "", BadStatus:
		switch a.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return a.Status < 500
	case TimedOut, Unreachable, NotTrusted, GoneForGood, NoKey, TooOld, NoticeCancelled, ChannelOff, CareOver, ConsentOver:
		return false
	}
	return false
}

// backOff doubles the wait with each try.
func backOff(tries int) time.Duration {
	wait := firstWait
	for range min(tries-1, 20) {
		wait *= 2
	}
	return min(wait, longestWait)
}

func spread(wait time.Duration, jitter float64) time.Duration {
	return time.Duration(float64(wait) * (1 - jitterShare + 2*jitterShare*jitter))
}
