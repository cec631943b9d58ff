package api

import (
	"context"
	"net/http"
	"time"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

type twinBody struct {
	ID          vital.UID   `json:"id" format:"uuid"`
	Name        string      `json:"name"`
	Number      string      `json:"number"`
	BirthDate   string      `json:"birth_date" doc:"As far as it is known"`
	Sex         string      `json:"sex"`
	Identifiers []knownBody `json:"identifiers"`
	Sensors     int         `json:"sensors" doc:"That were ever the patient's"`
	OpenAlerts  int         `json:"open_alerts"`
}

type knownBody struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

func twinOf(t *safe.Twin) twinBody {
	p := &t.Patient
	b := twinBody{ID: p.UID, Name: p.Name, Number: p.Number, BirthDate: string(p.BirthDate), Sex: p.Sex, Identifiers: []knownBody{}, Sensors: t.Sensors, OpenAlerts: t.OpenAlerts}
	for _, k := range t.Identifiers {
		b.Identifiers = append(b.Identifiers, knownBody{k.System, k.Value})
	}
	return b
}

type comparisonBody struct {
	Patient twinBody `json:"patient"`
	Into    twinBody `json:"into"`
	Alike   []string `json:"alike" doc:"What speaks for one person; a name does not"`
	Differ  []string `json:"differ" doc:"What speaks against it, and asks for an override"`
	Confirm string   `json:"confirm" doc:"To be given with the merge: it says that you have seen this"`
}

type mergeBody struct {
	ID         vital.UID     `json:"id" format:"uuid"`
	State      string        `json:"state" enum:"running,done,undoing,undone"`
	Patient    *partyBody    `json:"patient,omitempty"`
	Into       *partyBody    `json:"into,omitempty"`
	Reason     string        `json:"reason"`
	Override   string        `json:"override,omitempty"`
	AskedBy    string        `json:"asked_by"`
	AskedAt    time.Time     `json:"asked_at"`
	EndedAt    *time.Time    `json:"ended_at,omitempty"`
	UndoReason string        `json:"undo_reason,omitempty"`
	UndoBy     string        `json:"undo_by,omitempty"`
	UndoAt     *time.Time    `json:"undo_at,omitempty"`
	Total      int           `json:"total" doc:"Readings that there were to move"`
	Moved      int           `json:"moved"`
	Troubles   []*refileBody `json:"troubles,omitempty" doc:"The refiles of it that stand still or have failed, and why: a part that failed is moved by undoing the merge and merging again"`
}

func mergeOf(m *safe.Merge) *mergeBody {
	b := &mergeBody{
		ID: m.UID, State: string(m.State), Patient: partyOf(m.From), Into: partyOf(m.Into), Reason: m.Reason, Override: m.Override,
		AskedBy: m.AskedBy, AskedAt: m.AskedAt, EndedAt: at(m.EndedAt), UndoReason: m.UndoReason, UndoBy: m.UndoBy, UndoAt: at(m.UndoAt), Total: m.Total, Moved: m.Moved,
	}
	for i := range m.Troubles {
		b.Troubles = append(b.Troubles, refileOf(&m.Troubles[i]))
	}
	return b
}

type mergeInput struct {
	Body struct {
		Patient  string `json:"patient" format:"uuid" doc:"Who is not to be known under this record any more"`
		Into     string `json:"into" format:"uuid" doc:"The record that stays"`
		Reason   string `json:"reason,omitempty" maxLength:"2000" doc:"How it is known; not needed for a dry run"`
		Confirm  string `json:"confirm,omitempty" maxLength:"64" doc:"The value that the dry run returned"`
		Override string `json:"override,omitempty" maxLength:"2000" doc:"Why it is one person although something speaks against it, or nothing but the name for it"`
		DryRun   bool   `json:"dry_run,omitempty" doc:"Change nothing, and set the two records side by side"`
	}
}

type askedMergeOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		Comparison *comparisonBody `json:"comparison,omitempty" doc:"Of a dry run"`
		Merge      *mergeBody      `json:"merge,omitempty"`
	}
}

func mergePath(m *safe.Merge) string { return "/v1/merges/" + string(m.UID) }

func (s *Server) addMerges() {
	wrong := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}
	ask := op(http.MethodPost, "/v1/merges", "ask-merge", tagPatients, "Say that two records are one person's", wrong...)
	ask.Description = "Never by a name alone: with `dry_run` the answer sets both side by side, and the merge needs the `confirm` value that stands there. Where something speaks against " +
		"it, or nothing but the name for it, `override` must say why it is one person all the same. What belongs to the first is filed under the second, who is judged anew by their own limits."
	ask.DefaultStatus = http.StatusAccepted
	add(s, ask, s.askMerge)
	add(s, op(http.MethodGet, "/v1/merges/{id}", "get-merge", tagPatients, "How far a merge is", http.StatusNotFound), getCommand(s.Merges.Get, mergeOf))
	undo := op(http.MethodPost, "/v1/merges/{id}/undo", "undo-merge", tagPatients, "Make two records of them again", wrong...)
	undo.Description = "What was measured since by sensors that were the first one's goes with them; what is the second one's own stays."
	undo.DefaultStatus = http.StatusAccepted
	add(s, undo, undoCommand(s.Merges.Undo, mergeOf, mergePath))
}

func (s *Server) askMerge(ctx context.Context, actor account.Actor, in *mergeInput) (*askedMergeOutput, error) {
	out := &askedMergeOutput{Status: http.StatusAccepted}
	if in.Body.DryRun {
		c, err := s.Merges.Compare(ctx, actor, vital.UID(in.Body.Patient), vital.UID(in.Body.Into))
		if err != nil {
			return nil, err
		}
		out.Status = http.StatusOK
		out.Body.Comparison = &comparisonBody{twinOf(&c.From), twinOf(&c.Into), orEmpty(c.Alike), orEmpty(c.Differ), c.Confirm}
		return out, nil
	}
	m, err := s.Merges.Ask(ctx, actor, safe.MergeWish{
		Patient: vital.UID(in.Body.Patient), Into: vital.UID(in.Body.Into), Reason: in.Body.Reason, Confirm: in.Body.Confirm, Override: in.Body.Override,
	})
	if err != nil {
		return nil, err
	}
	out.Location, out.Body.Merge = mergePath(&m), mergeOf(&m)
	return out, nil
}

// movedOn answers for a patient who is known under another record now; nil for everybody else.
func (s *Server) movedOn(ctx context.Context, actor account.Actor, p *account.Patient) error {
	if p.State != account.Merged || s.Merges == nil {
		return nil
	}
	now, err := s.Merges.Successor(ctx, actor, p.UID)
	if err != nil {
		return err
	}
	return now.Moved()
}
