package push

import (
	"slices"
	"strings"
	"time"

	"hale/fault"
	"hale/vital"
)

// Channel is an address of a program of the organisation's own to which notices are handed: a gateway of pagers, SMS, voice or
// e-mail.
type Channel struct {
	UID  vital.UID
	Name string
	URL  string // it may hold a token of the receiver's: it is in no log

	Topics     []Topic    // topics, or whole groups of them ("alert.*"); empty: all
	Severities []string   // empty: all
	Audiences  []Audience // at least one

	CreatedAt   time.Time
	CreatedBy   string
	DisabledAt  time.Time // zero while notices are handed to it
	DisabledWhy string    // in words that people read
	OldUntil    time.Time // until when messages are signed with the secret before, too; zero: with one secret only

	Standing Standing
}

// Enabled reports whether notices are handed to the channel.
func (c *Channel) Enabled() bool { return c.DisabledAt.IsZero() }

// Standing is how a channel does.
type Standing struct {
	Waiting     int
	Oldest      time.Time // when the oldest of the waiting ones was written; zero: none waits
	DeliveredAt time.Time // the newest delivery; zero: none yet
	GivenUp     int       // within TroubleFor
	GivenUpAt   time.Time // the newest of them
}

const (
	// LateAfter is how long a notice may wait before its channel is said not to get through: a receiver that is started anew is
	// back by then.
	LateAfter = time.Minute
	// TroubleFor is how long people are shown that a notice was given up, unless one got through since.
	TroubleFor = 24 * time.Hour
)

// Gone is why a channel was disabled when its receiver answered 410.
const Gone = "gone"

// Trouble says in words what is wrong with the channel, and since when; "" when nothing is. That its receiver is gone is said for
// TroubleFor.
func (c *Channel) Trouble(now time.Time) (what string, since time.Time) {
	s := &c.Standing
	switch {
	case c.DisabledWhy == Gone && now.Sub(c.DisabledAt) < TroubleFor:
		return "the receiver answers that it is gone, and nothing is sent to it", c.DisabledAt
	case !c.Enabled():
		return "", time.Time{}
	case s.GivenUp > 0 && !s.DeliveredAt.After(s.GivenUpAt):
		return "notices were given up", s.GivenUpAt
	case s.Waiting > 0 && now.Sub(s.Oldest) > LateAfter:
		return "notices do not get through", s.Oldest
	}
	return "", time.Time{}
}

// Trouble is a channel to the care team that does not get through.
type Trouble struct {
	Name  string // of the channel
	What  string
	Since time.Time
}

// The bounds of a channel.
const (
	longestName  = 100  // characters
	longestURL   = 2000 // bytes
	MostChannels = 20   // that are enabled, of one organisation
)

// check says what is wrong with a channel that somebody wants: fault.Invalid.
func (c *Channel) check() error {
	if c.Name = strings.TrimSpace(c.Name); c.Name == "" || len([]rune(c.Name)) > longestName || !printable(c.Name) {
		return fault.New(fault.Invalid, "name: say in 1 to %d printable characters what receives the notices", longestName)
	}
	if len(c.URL) > longestURL {
		return fault.New(fault.Invalid, "url: at most %d characters", longestURL)
	}
	for _, t := range c.Topics {
		if !slices.Contains(Topics(), t) && !slices.Contains(Groups(), t) {
			return fault.New(fault.Invalid, "topics: there is no topic %q; name topics such as alert.opened, or whole groups such as alert.*", string(t))
		}
	}
	for _, s := range c.Severities {
		if !slices.Contains(Severities(), s) {
			return fault.New(fault.Invalid, "severities: there is no severity %q; there are %s", s, strings.Join(Severities(), ", "))
		}
	}
	for _, a := range c.Audiences {
		if !slices.Contains(Audiences(), a) {
			return fault.New(fault.Invalid, "audiences: there is no audience %q", string(a))
		}
	}
	if len(c.Audiences) == 0 {
		c.Audiences = []Audience{ToTeam}
	}
	c.Topics, c.Severities, c.Audiences = once(c.Topics), once(c.Severities), once(c.Audiences)
	return nil
}

// once returns the list in order and each item once.
func once[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) < 0
}

// Topics returns every topic.
func Topics() []Topic {
	return []Topic{
		AlertOpened, AlertWorsened, ContactNow, UnverifiedOpened, UnverifiedWorsened, UnverifiedOverdue,
		CareEnding, CareStopped, CareEnded, CareResumed, ConsentDue, GuardianAsks, CodeMade, DeviceLetIn,
		AccessGiven, GlassBroken, LetOneselfIn, TeamUnattended, CorrectionAsked, ScheduleChanged, ReadingWithdrawn,
		ErasureAsked, ErasureDecided, ErasureConfirmed, ErasureWithdrawn,
	}
}

// anyOf ends the name of a group of topics.
const anyOf = ".*"

// Groups returns the groups of topics, as a channel names them: "alert.*" is every topic that begins with "alert.", also one that
// a later version of Hale knows.
func Groups() []Topic {
	var all []Topic
	for _, t := range Topics() {
		if g := t.group(); !slices.Contains(all, g) {
			all = append(all, g)
		}
	}
	return all
}

func (t Topic) group() Topic {
	first, _, _ := strings.Cut(string(t), ".")
	return Topic(first + anyOf)
}

// The severities of a notice, the most urgent first.
const (
	severityExtreme = "extreme"
	severityRed     = "red"
	severityUrgent  = "urgent" // what tells of no reading, and should be looked at today
	severityYellow  = "yellow"
)

// Severities returns the severities, the most urgent first.
func Severities() []string {
	return []string{severityExtreme, severityRed, severityUrgent, severityYellow, SeverityNone}
}

// Audiences returns for whom a notice can be.
func Audiences() []Audience { return []Audience{ToTeam, ToPatient, ToCaregiver, ToOfficer, ToManagers} }
