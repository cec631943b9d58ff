package bridge

import (
	"testing"
	"time"
)

// publication is a message as paho hands it over.
type publication struct {
	topic, payload string
	id             uint16
	qos            byte
	again          bool
}

func (p publication) Duplicate() bool   { return p.again }
func (p publication) Qos() byte         { return p.qos }
func (p publication) Retained() bool    { return false }
func (p publication) Topic() string     { return p.topic }
func (p publication) MessageID() uint16 { return p.id }
func (p publication) Payload() []byte   { return []byte(p.payload) }
func (p publication) Ack()              {}

func TestAMessageThatComesAgainCameWhenItCameFirst(t *testing.T) {
	t.Parallel()
	var a arrivals
	begin := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	at := func(n int) time.Time { return begin.Add(time.Duration(n) * time.Second) }
	one, twin := publication{"v/a", "61", 1, 1, false}, publication{"v/a", "61", 2, 1, false}
	a.of(one, at(1))
	a.of(twin, at(2)) // the same words, measured later
	// Every other packet id that there is: as many as can be in flight.
	for id := 3; id <= 65535; id++ {
		a.of(publication{"v/b", "62", uint16(id), 1, false}, at(3))
	}
	one.again, twin.again = true, true
	for range 2 {
		if got := a.of(one, at(4)); !got.Equal(at(1)) {
			t.Errorf("the first came at %s", got)
		}
		if got := a.of(twin, at(4)); !got.Equal(at(2)) {
			t.Errorf("its twin came at %s", got)
		}
	}
	if got := a.of(publication{"v/b", "62", 65535, 1, true}, at(4)); !got.Equal(at(3)) {
		t.Errorf("the last came at %s", got)
	}
	for name, p := range map[string]publication{
		"another payload under the id":          {"v/a", "63", 3, 1, true},
		"another topic under the id":            {"v/c", "62", 4, 1, true},
		"the same words, acknowledged long ago": {"v/b", "62", 5, 1, false},
		"one without a promise":                 {"v/b", "62", 0, 0, true},
	} {
		if got := a.of(p, at(5)); !got.Equal(at(5)) {
			t.Errorf("%s: it came at %s", name, got)
		}
	}
	if len(a.at) != 65535 {
		t.Errorf("%d are remembered", len(a.at))
	}
}
