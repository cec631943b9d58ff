package alerts

import "hale/vital"

// cache keeps the states of the patients that were judged most recently: a ring of entries in the order of their use,
// and an index into it.
type cache struct {
	limit int
	byID  map[vital.PatientID]*cached
	ring  cached // ring.newer is the entry used longest ago, ring.older the one used last
}

type cached struct {
	id           vital.PatientID
	state        *patient
	older, newer *cached
}

func newCache(limit int) *cache {
	c := &cache{limit: limit}
	c.clear()
	return c
}

func (c *cache) clear() {
	c.byID = make(map[vital.PatientID]*cached)
	c.ring.older, c.ring.newer = &c.ring, &c.ring
}

func (c *cache) get(id vital.PatientID) (*patient, bool) {
	e, ok := c.byID[id]
	if !ok {
		return nil, false
	}
	e.unlink()
	c.use(e)
	return e.state, true
}

func (c *cache) put(id vital.PatientID, p *patient) {
	c.drop(id)
	e := &cached{id: id, state: p}
	c.byID[id] = e
	c.use(e)
	if len(c.byID) > c.limit {
		c.drop(c.ring.newer.id)
	}
}

func (c *cache) drop(id vital.PatientID) {
	if e, ok := c.byID[id]; ok {
		e.unlink()
		delete(c.byID, id)
	}
}

// use puts an entry in the place of the one used last.
func (c *cache) use(e *cached) {
	e.older, e.newer = c.ring.older, &c.ring
	e.older.newer, e.newer.older = e, e
}

func (e *cached) unlink() { e.older.newer, e.newer.older = e.newer, e.older }
