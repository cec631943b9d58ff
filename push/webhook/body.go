package webhook

import (
	"encoding/json"
	"time"

	"hale/push"
	"hale/vital"
)

// Message is the body of a webhook. It names things by id only: no name and nothing that was measured leaves the house with it.
type Message struct {
	Type      push.Topic `json:"type"`      // "alert.opened"
	Timestamp time.Time  `json:"timestamp"` // when the notice was written; the same at every try
	Data      Data       `json:"data"`
}

// Data is what a message says of its notice.
type Data struct {
	Severity string        `json:"severity"`          // "extreme", "red", "urgent", "yellow" or "none"
	Audience push.Audience `json:"audience"`          // for whom the notice is
	Patient  vital.UID     `json:"patient,omitempty"` // whom it concerns; left out of what is about nobody known
}

func bodyOf(p *push.Parcel) ([]byte, error) {
	return json.Marshal(Message{
		Type: p.Topic, Timestamp: p.CreatedAt.UTC(), Data: Data{Severity: p.Severity, Audience: p.Audience, Patient: p.Patient},
	})
}
