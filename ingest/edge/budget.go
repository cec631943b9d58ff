package edge

import (
	"container/list"
	"sync"
)

// budget bounds bytes. Who finds it used up stands in line, first come first served, and is told when its turn has come:
// so a connection goes on answering while its messages wait.
type budget struct {
	size int

	mu   sync.Mutex
	used int
	line list.List // of *claim
}

// claim is what somebody wants of a budget.
type claim struct {
	bytes   int
	granted func() // called once, with no lock of the budget held; never when take has granted the claim
	place   *list.Element
}

// try takes bytes that are there, unless somebody waits for them.
func (b *budget) try(bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line.Len() > 0 || b.used+bytes > b.size {
		return false
	}
	b.used += bytes
	return true
}

// take grants a claim at once and returns true, or puts it into the line.
func (b *budget) take(c *claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line.Len() == 0 && b.used+c.bytes <= b.size {
		b.used += c.bytes
		return true
	}
	c.place = b.line.PushBack(c)
	return false
}

// leave takes a claim out of the line. It returns false when the claim has been granted, or is about to be told so.
func (b *budget) leave(c *claim) bool {
	b.mu.Lock()
	if c.place == nil {
		b.mu.Unlock()
		return false
	}
	b.line.Remove(c.place)
	c.place = nil
	granted := b.admit() // those behind may be smaller
	b.mu.Unlock()
	tell(granted)
	return true
}

// give gives bytes back and tells those whose turn has come. The caller of leave and give holds no lock that a granted
// function takes.
func (b *budget) give(bytes int) {
	if bytes == 0 {
		return
	}
	b.mu.Lock()
	b.used -= bytes
	granted := b.admit()
	b.mu.Unlock()
	tell(granted)
}

// admit grants, with mu held, what the line's head wants as long as there is room.
func (b *budget) admit() (granted []*claim) {
	for head := b.line.Front(); head != nil; head = b.line.Front() {
		c, ok := head.Value.(*claim)
		if !ok || b.used+c.bytes > b.size {
			break
		}
		b.line.Remove(head)
		c.place = nil
		b.used += c.bytes
		granted = append(granted, c)
	}
	return granted
}

func tell(granted []*claim) {
	for _, c := range granted {
		c.granted()
	}
}

func (b *budget) inUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
