package alerts

import (
	"container/list"

	"hale/vital"
)

// cache keeps the states of the patients that were judged most recently.
type cache struct {
	limit int
	order *list.List // of cached, the most recent first
	byID  map[vital.PatientID]*list.Element
}

type cached struct {
	id    vital.PatientID
	state *patient
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), byID: make(map[vital.PatientID]*list.Element)}
}

func (c *cache) get(id vital.PatientID) (*patient, bool) {
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached).state, true
}

func (c *cache) put(id vital.PatientID, p *patient) {
	if e, ok := c.byID[id]; ok {
		e.Value.(*cached).state = p
		c.order.MoveToFront(e)
		return
	}
	c.byID[id] = c.order.PushFront(&cached{id, p})
	for c.order.Len() > c.limit {
		oldest := c.order.Back()
		c.order.Remove(oldest)
		delete(c.byID, oldest.Value.(*cached).id)
	}
}

func (c *cache) drop(id vital.PatientID) {
	if e, ok := c.byID[id]; ok {
		c.order.Remove(e)
		delete(c.byID, id)
	}
}

func (c *cache) clear() {
	c.order.Init()
	clear(c.byID)
}
