package web

import (
	"time"

	"hale/alerts"
	"hale/vital"
)

// clockWords tells how the time of a single reading was arrived at, when it was not taken as it was sent.
func clockWords(b alerts.Bucket) string {
	if b.Clock == (vital.Clock{}) {
		return ""
	}
	within := ", within " + span(b.Clock.Uncertainty)
	if b.Clock.Uncertainty < time.Minute {
		within = ", to the minute"
	}
	if b.Clock.Method == vital.ClockZone && b.Clock.Uncertainty >= 24*time.Hour && b.SentAt.Equal(b.SentAt.Truncate(24*time.Hour)) {
		return "only a date was sent, read as the patient's own"
	}
	if b.Clock.Method == vital.ClockZone {
		return "sent as " + b.SentAt.UTC().Format("15:04") + " without a zone, read as the patient's own" + within
	}
	how := "it said what its clock showed"
	if b.Clock.Method == vital.ClockGateway {
		how = "its gateway compared the clocks"
	}
	sent := "sent as " + b.SentAt.UTC().Format("15:04") + " by its own clock, "
	switch {
	case b.Clock.Offset > 0:
		return sent + span(b.Clock.Offset) + " added (" + how + ")" + within
	case b.Clock.Offset < 0:
		return sent + span(-b.Clock.Offset) + " taken off (" + how + ")" + within
	}
	return "the device's clock was changed about then" + within
}
