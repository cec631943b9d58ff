package vital

import "time"

// Canary is one beat of an edge's own synthetic patient, of which there is one per partition: it travels the whole way
// of a reading and proves that the way is open. It is nobody's reading and is never stored as one.
type Canary struct {
	Edge      string // names the edge process that beats
	Partition int    // that it was meant for
	Number    int64  // counts the beats of the edge, from 1
	SentAt    time.Time
	Value     Quantity // a heart rate: CanaryInside or CanaryBeyond, by Number
}

// What a canary measures, in beats per minute: the one lies inside the canary's fixed limits, the other beyond them.
const (
	CanaryInside = 72
	CanaryBeyond = 168
)

// Beyond reports whether the beat is one whose value must be judged as beyond the limits: every other one is.
func (c *Canary) Beyond() bool { return c.Number%2 != 0 }

// CanaryValue returns what the beat of that number measures.
func CanaryValue(number int64) int64 {
	if (&Canary{Number: number}).Beyond() {
		return CanaryBeyond
	}
	return CanaryInside
}
