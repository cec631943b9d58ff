package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

type partyBody struct {
	ID   vital.UID `json:"id" format:"uuid"`
	Name string    `json:"name"`
}

// partyOf leaves out who is not within the actor's reach.
func partyOf(p safe.Party) *partyBody {
	if p.UID == "" {
		return nil
	}
	return &partyBody{ID: p.UID, Name: p.Name}
}

type refileBody struct {
	ID        vital.UID  `json:"id" format:"uuid"`
	State     string     `json:"state" enum:"asked,running,done,failed"`
	Problem   string     `json:"problem,omitempty" doc:"Why it failed, or why it does not go on. A failed one that was never started has changed nothing; of one that was, some have moved"`
	Sensor    string     `json:"sensor" example:"bp-0017"`
	From      time.Time  `json:"from"`
	To        *time.Time `json:"to,omitempty" doc:"Until further notice when left out"`
	Owner     *partyBody `json:"owner,omitempty" doc:"Under whom the readings were filed; left out of one that you may not know of"`
	Parked    bool       `json:"parked" doc:"They were nobody's"`
	BelongsTo *partyBody `json:"belongs_to,omitempty" doc:"Whose they are; left out of one that you may not know of"`
	ToBeFound bool       `json:"to_be_found" doc:"Whose they are is not known: they are parked"`
	Reason    string     `json:"reason"`
	Total     int        `json:"total" doc:"Readings that there were to move when it began"`
	Moved     int        `json:"moved"`
	Alerts    int        `json:"alerts" doc:"Alerts of the owner whose log told of readings that were taken away; each says so"`
	UndoOf    vital.UID  `json:"undo_of,omitempty"`
	UndoneBy  vital.UID  `json:"undone_by,omitempty"`
	Merge     vital.UID  `json:"merge,omitempty" doc:"The merge that it is a part of"`
	AskedBy   string     `json:"asked_by"`
	AskedAt   time.Time  `json:"asked_at"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

func refileOf(r *safe.Refile) *refileBody {
	return &refileBody{
		ID: r.UID, State: string(r.State), Problem: r.Problem, Sensor: r.Sensor, From: r.From, To: at(r.To),
		Owner: partyOf(r.Owner), Parked: !r.Owned, BelongsTo: partyOf(r.BelongsTo), ToBeFound: !r.Claimed,
		Reason: r.Reason, Total: r.Total, Moved: r.Moved, Alerts: r.Alerts, UndoOf: r.UndoOf, UndoneBy: r.UndoneBy, Merge: r.Merge,
		AskedBy: r.AskedBy, AskedAt: r.AskedAt, StartedAt: at(r.StartedAt), EndedAt: at(r.EndedAt),
	}
}

type metricCountBody struct {
	Metric   string `json:"metric" example:"blood_pressure"`
	Readings int    `json:"readings"`
}

type previewBody struct {
	Readings   []metricCountBody `json:"readings" doc:"What would move, by metric"`
	Total      int               `json:"total"`
	OpenAlerts int               `json:"open_alerts" doc:"Open alerts of the owner that tell of such readings"`
	Alerts     []vital.UID       `json:"alerts,omitempty" doc:"These alerts, for who may see alerts"`
	Under      vital.UID         `json:"under_way,omitempty" doc:"A refile of the sensor that must end first"`
}

func previewOf(p *safe.Preview, sees bool) *previewBody {
	b := &previewBody{Readings: []metricCountBody{}, Total: p.Total(), OpenAlerts: len(p.Alerts), Under: p.Under}
	for _, m := range p.Readings {
		b.Readings = append(b.Readings, metricCountBody{m.Metric.String(), m.Readings})
	}
	if sees {
		b.Alerts = p.Alerts
	}
	return b
}

type refileInput struct {
	Body struct {
		Sensor    string     `json:"sensor" minLength:"1" maxLength:"64" doc:"The device, or the sensor of a gateway, that sent the readings" example:"bp-0017"`
		From      time.Time  `json:"from" doc:"Measured then or later"`
		To        *time.Time `json:"to,omitempty" doc:"Measured before; until further notice when left out"`
		Owner     string     `json:"owner,omitempty" format:"uuid" doc:"Under whom they are filed; left out: they wait as nobody's"`
		BelongsTo string     `json:"belongs_to,omitempty" format:"uuid" doc:"Whose they are; left out: nobody knows, they are to wait"`
		Reason    string     `json:"reason,omitempty" maxLength:"2000" doc:"How it is known; not needed for a dry run"`
		DryRun    bool       `json:"dry_run,omitempty" doc:"Change nothing, and say what would move"`
	}
}

type askedRefileOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		Preview *previewBody `json:"preview,omitempty" doc:"Of a dry run"`
		Refile  *refileBody  `json:"refile,omitempty"`
	}
}

type refileRef struct {
	ID string `path:"id" format:"uuid"`
}

type undoInput struct {
	ID   string `path:"id" format:"uuid"`
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
}

// commandOutput is a refile or a merge, which is carried out step by step, as it stands now.
type commandOutput[B any] struct {
	Location string `header:"Location"`
	Body     B
}

// getCommand answers how far one is.
func getCommand[T, B any](get func(context.Context, account.Actor, vital.UID) (T, error), body func(*T) *B) func(context.Context, account.Actor, *refileRef) (*commandOutput[B], error) {
	return func(ctx context.Context, actor account.Actor, in *refileRef) (*commandOutput[B], error) {
		c, err := get(ctx, actor, vital.UID(in.ID))
		if err != nil {
			return nil, err
		}
		return &commandOutput[B]{Body: *body(&c)}, nil
	}
}

// undoCommand answers that one is being undone, and where to see how far that is.
func undoCommand[T, B any](
	undo func(context.Context, account.Actor, vital.UID, string) (T, error), body func(*T) *B, where func(*T) string,
) func(context.Context, account.Actor, *undoInput) (*commandOutput[B], error) {
	return func(ctx context.Context, actor account.Actor, in *undoInput) (*commandOutput[B], error) {
		c, err := undo(ctx, actor, vital.UID(in.ID), in.Body.Reason)
		if err != nil {
			return nil, err
		}
		return &commandOutput[B]{Location: where(&c), Body: *body(&c)}, nil
	}
}

func refilePath(r *safe.Refile) string { return "/v1/refiles/" + string(r.UID) }

type refilesOutput struct {
	Body struct {
		Refiles []*refileBody `json:"refiles"`
	}
}

func (s *Server) addRefiles() {
	wrong := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}
	ask := op(http.MethodPost, "/v1/refiles", "ask-refile", tagPatients, "Say that readings are another person's", wrong...)
	ask.Description = "For a device that was given to the wrong person, and for readings that wait as nobody's. With `dry_run` nothing changes and the answer says what " +
		"would move. Otherwise it is carried out at once, step by step (202): what comes from now on is filed where it belongs, both people are judged anew, and both records say so."
	ask.DefaultStatus = http.StatusAccepted
	add(s, ask, s.askRefile)
	add(s, op(http.MethodGet, "/v1/refiles/{id}", "get-refile", tagPatients, "How far a refile is", http.StatusNotFound), getCommand(s.Refiles.Get, refileOf))
	undo := op(http.MethodPost, "/v1/refiles/{id}/undo", "undo-refile", tagPatients, "File readings back", wrong...)
	undo.Description = "It is a refile of its own, of exactly the periods that changed hands."
	undo.DefaultStatus = http.StatusAccepted
	add(s, undo, undoCommand(s.Refiles.Undo, refileOf, refilePath))
	add(s, op(http.MethodGet, "/v1/patients/{id}/refiles", "list-refiles", tagPatients, "What was filed anew of a patient, newest first", http.StatusNotFound), s.listRefiles)
}

func (s *Server) askRefile(ctx context.Context, actor account.Actor, in *refileInput) (*askedRefileOutput, error) {
	w := safe.Wish{Sensor: in.Body.Sensor, From: in.Body.From, Owner: vital.UID(in.Body.Owner), BelongsTo: vital.UID(in.Body.BelongsTo), Reason: in.Body.Reason}
	if in.Body.To != nil {
		w.To = *in.Body.To
	}
	out := &askedRefileOutput{Status: http.StatusAccepted}
	if in.Body.DryRun {
		p, err := s.Refiles.Preview(ctx, actor, w)
		if err != nil {
			return nil, err
		}
		out.Status, out.Body.Preview = http.StatusOK, previewOf(&p, may(actor, account.SeeAlerts, nil))
		return out, nil
	}
	r, err := s.Refiles.Ask(ctx, actor, w)
	if err != nil {
		return nil, err
	}
	out.Location, out.Body.Refile = refilePath(&r), refileOf(&r)
	return out, nil
}

func (s *Server) listRefiles(ctx context.Context, actor account.Actor, in *patientInput) (*refilesOutput, error) {
	list, err := s.Refiles.Of(ctx, actor, vital.UID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &refilesOutput{}
	out.Body.Refiles = make([]*refileBody, len(list))
	for i := range list {
		out.Body.Refiles[i] = refileOf(&list[i])
	}
	return out, nil
}
