package edge

import (
	"io"
	"slices"
)

// Sizes of a connection's reading buffer: most devices are idle most of the time, and a gateway that empties its
// store is not.
const (
	inflowIdle  = 2 << 10 // holds the longest head of a PUBLISH
	inflowBusy  = 16 << 10
	inflowCalms = 64 // reads in a row that the idle size would have held, after which a busy buffer is given back
)

// inflow is what a connection sends, behind a small buffer. It never allocates by what a length field claims, only by
// what has arrived.
type inflow struct {
	source io.Reader
	// arm is called before each wait for bytes; it sets how long that may take.
	arm   func() error
	buf   []byte
	r, w  int // what lies in buf unread
	calm  int
	total int64 // bytes that have arrived
}

func newInflow(source io.Reader, arm func() error) *inflow {
	return &inflow{source: source, arm: arm, buf: make([]byte, inflowIdle)}
}

// ReadByte returns the next byte.
func (f *inflow) ReadByte() (byte, error) {
	b, err := f.peek(1)
	if err != nil {
		return 0, err
	}
	f.r++
	return b[0], nil
}

// peek returns the next n bytes without taking them, n being at most inflowIdle. They stand until the next read.
func (f *inflow) peek(n int) ([]byte, error) {
	for f.w-f.r < n {
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
	return f.buf[f.r : f.r+n], nil
}

// discard takes n bytes that peek has shown.
func (f *inflow) discard(n int) { f.r += n }

// some takes up to n of the next bytes. They stand until the next read.
func (f *inflow) some(n int) ([]byte, error) {
	if f.r == f.w {
		if err := f.fill(); err != nil {
			return nil, err
		}
	}
	b := f.buf[f.r:min(f.w, f.r+n)]
	f.r += len(b)
	return b, nil
}

// body takes the next n bytes into memory of their own, which grows as they arrive.
func (f *inflow) body(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, 0, min(n, inflowBusy))
	for len(b) < n {
		if f.r < f.w {
			taken, err := f.some(n - len(b))
			if err != nil {
				return nil, err
			}
			b = append(b, taken...)
			continue
		}
		if err := f.arm(); err != nil {
			return nil, err
		}
		chunk := min(n-len(b), inflowBusy)
		b = slices.Grow(b, chunk)
		got, err := f.source.Read(b[len(b) : len(b)+chunk])
		b = b[:len(b)+got]
		f.total += int64(got)
		if err != nil && len(b) < n {
			return nil, err
		}
	}
	return b, nil
}

// fill waits for bytes and puts what comes into the buffer, which has room for it.
func (f *inflow) fill() error {
	copy(f.buf, f.buf[f.r:f.w])
	f.r, f.w = 0, f.w-f.r
	if err := f.arm(); err != nil {
		return err
	}
	n, err := f.source.Read(f.buf[f.w:])
	f.w += n
	f.total += int64(n)
	f.fit(n)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// fit grows the buffer when a read filled it and shrinks it after a calm time.
func (f *inflow) fit(n int) {
	if n >= inflowIdle {
		f.calm = 0
	} else {
		f.calm++
	}
	size := len(f.buf)
	switch {
	case f.w == size && size < inflowBusy:
		size = inflowBusy
	case f.calm >= inflowCalms && size > inflowIdle && f.w <= inflowIdle:
		size = inflowIdle
	default:
		return
	}
	buf := make([]byte, size)
	copy(buf, f.buf[:f.w])
	f.buf = buf
}
