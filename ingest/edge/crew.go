package edge

import (
	"sync"
	"sync/atomic"
)

// crewRests is how many goroutines of a crew wait for work instead of ending.
const crewRests = 64

// crew does short pieces of work beside the readers: handing over and writing. Its goroutines are used again, because a
// new one grows its stack on its way through the core each time, and that would cost more than the way itself. There are
// as many as are needed: who is held up by a device that does not read holds up nobody else.
type crew struct {
	workers   *sync.WaitGroup
	tasks     chan func()
	resting   atomic.Int32
	dismissed chan struct{} // closed: nobody waits for work any more
}

func newCrew(workers *sync.WaitGroup) *crew {
	return &crew{workers: workers, tasks: make(chan func()), dismissed: make(chan struct{})}
}

// do has the work done by somebody, and does not wait.
func (c *crew) do(work func()) {
	select {
	case c.tasks <- work: // somebody is resting
	default:
		c.workers.Go(func() { c.serve(work) })
	}
}

func (c *crew) serve(work func()) {
	for {
		work()
		if c.resting.Add(1) > crewRests {
			c.resting.Add(-1)
			return
		}
		select {
		case work = <-c.tasks:
			c.resting.Add(-1)
		case <-c.dismissed:
			c.resting.Add(-1)
			return
		}
	}
}
