package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"hale/account"
)

type gapsInput struct {
	UID  string `path:"uid" pattern:"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" example:"cuff-17"`
	Days int    `query:"days" minimum:"1" maximum:"92" default:"14"`
}

type gapBody struct {
	Missing int64     `json:"missing" doc:"How many numbers" example:"3"`
	After   int64     `json:"after" doc:"The number before the gap" example:"41"`
	Before  int64     `json:"before" doc:"The number after it" example:"45"`
	From    time.Time `json:"from" doc:"When the one before was measured, by the device's clock"`
	To      time.Time `json:"to"`
}

type repeatedBody struct {
	Number int64     `json:"number" example:"41"`
	SentAt time.Time `json:"sent_at" doc:"By the device's clock"`
}

type sequenceBody struct {
	Sensor   string         `json:"sensor" example:"cuff-17"`
	Metric   string         `json:"metric,omitempty" doc:"Left out when the sensor counts all its metrics together" example:"blood_pressure"`
	Missing  int64          `json:"missing" doc:"In all" example:"3"`
	Gaps     []gapBody      `json:"gaps" doc:"In the order of time"`
	Repeated []repeatedBody `json:"repeated" doc:"Numbers that were seen before under another time: the reading is stored, and one of the two is doubtful"`
	Restarts []time.Time    `json:"restarts" doc:"When the device began to count anew: where its number fell, or leapt further than it can have measured; nothing counts as missing there"`
}

type gapsOutput struct {
	Body struct {
		Sequences []sequenceBody `json:"sequences"`
	}
}

func (s *Server) addSequences() {
	gaps := op(http.MethodGet, "/v1/devices/{uid}/gaps", "get-gaps", tagDevices, "Which readings of a device that counts them are missing", http.StatusNotFound)
	gaps.Description = "A number is missing when neither a stored reading nor one that waits for an owner has it; what was refused counts as missing."
	add(s, gaps, func(ctx context.Context, actor account.Actor, in *gapsInput) (*gapsOutput, error) {
		found, err := s.Counts.Of(ctx, actor, in.UID, in.Days)
		if err != nil {
			return nil, err
		}
		out := &gapsOutput{}
		out.Body.Sequences = []sequenceBody{}
		for _, sensor := range slices.Sorted(maps.Keys(found)) {
			for _, one := range found[sensor] {
				b := sequenceBody{Sensor: sensor, Missing: one.Missing(), Gaps: []gapBody{}, Repeated: []repeatedBody{}, Restarts: []time.Time{}}
				if one.Metric != 0 {
					b.Metric = one.Metric.String()
				}
				for _, g := range one.Gaps {
					b.Gaps = append(b.Gaps, gapBody{Missing: g.Missing, After: g.After, Before: g.Before, From: g.From, To: g.To})
				}
				for _, r := range one.Repeated {
					b.Repeated = append(b.Repeated, repeatedBody{r.Number, r.SentAt})
				}
				b.Restarts = append(b.Restarts, one.Restarts...)
				out.Body.Sequences = append(out.Body.Sequences, b)
			}
		}
		return out, nil
	})
}
