package edge

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
)

// Sizes of what a connection is read with.
const (
	inflowBusy = 16 << 10 // the buffer that is there while bytes are, and the chunk by which a body grows
	// inflowWait is what is waited with where the socket cannot be waited on without a buffer, which is under TLS.
	inflowWait = 64
)

// inflow is what a connection sends, behind a buffer that it has only while bytes are there: most devices are idle most of
// the time, and there are many. It never allocates by what a length field claims, only by what has arrived.
type inflow struct {
	source io.Reader
	raw    syscall.RawConn // the socket below source; nil: it can only be read
	// arm is called before each wait for bytes; it sets how long that may take.
	arm    func() error
	pool   *sync.Pool // of *[inflowBusy]byte; nil: memory of its own
	whole  *[inflowBusy]byte
	wait   []byte
	buf    []byte // whole, or wait, or nil
	r, w   int    // what lies in buf unread
	parked []byte // what lay unread in a buffer that was given back
	full   bool   // the last read filled what it was given, so that more is there, likely
	total  int64  // bytes that have arrived

	try  func(fd uintptr) bool // attempt, as a function made once
	into []byte                // of an attempt: where to read to; nil: the buffer
	got  int
	err  error
}

func newInflow(source io.Reader, arm func() error) *inflow {
	f := &inflow{source: source, arm: arm}
	if conn, ok := source.(*net.TCPConn); ok {
		if raw, err := conn.SyscallConn(); err == nil {
			f.raw, f.try = raw, f.attempt
		}
	}
	return f
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

// peek returns the next n bytes without taking them, n being at most inflowBusy. They stand until the next read.
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

// here returns how many bytes lie in the buffer.
func (f *inflow) here() int { return f.w - f.r }

// between says that a packet has ended: what was full a moment ago need not be followed by anything for hours.
func (f *inflow) between() {
	if f.r == f.w {
		f.full = false
	}
}

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
	b := make([]byte, 0, min(n, max(f.here(), inflowBusy)))
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
		got, err := f.receive(b[len(b) : len(b)+chunk])
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
	if f.parked != nil {
		f.open()
		return nil
	}
	if err := f.arm(); err != nil {
		return err
	}
	var n int
	var err error
	switch {
	case f.raw != nil:
		n, err = f.receive(nil)
	case f.r == f.w && !f.full:
		n, err = f.receiveFew()
	default:
		f.open()
		n, err = f.source.Read(f.buf[f.w:])
		f.full = n == len(f.buf)-f.w
	}
	f.w += n
	f.total += int64(n)
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// receive reads into b; with nil, which needs a socket, behind what lies in the buffer.
func (f *inflow) receive(b []byte) (int, error) {
	if f.raw == nil {
		n, err := f.source.Read(b)
		f.full = n == len(b)
		return n, err
	}
	f.into, f.got, f.err = b, 0, nil
	err := f.raw.Read(f.try)
	f.into = nil
	if err != nil {
		return 0, err
	}
	return f.got, f.err
}

// attempt reads what has come on the socket and reports false when nothing has; the buffer is given back then.
func (f *inflow) attempt(fd uintptr) bool {
	b := f.into
	if b == nil {
		f.open()
		b = f.buf[f.w:]
	}
	n, err := syscall.Read(int(fd), b)
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), b)
	}
	switch {
	case errors.Is(err, syscall.EAGAIN):
		if f.here() <= inflowBusy/4 { // more is not copied again and again while it creeps in
			f.park()
		}
		return false
	case err != nil:
		f.err = err
	case n == 0:
		f.err = io.EOF
	default:
		f.got = n
	}
	return true
}

// receiveFew waits with a few bytes of room, after giving the buffer back.
func (f *inflow) receiveFew() (int, error) {
	f.park()
	if f.wait == nil {
		f.wait = make([]byte, inflowWait)
	}
	f.buf, f.r, f.w = f.wait, 0, 0
	n, err := f.source.Read(f.buf)
	f.full = n == len(f.buf)
	return n, err
}

// open makes room behind what lies unread.
func (f *inflow) open() {
	if f.whole == nil {
		unread := f.parked
		if unread == nil {
			unread = f.buf[f.r:f.w]
		}
		if f.pool != nil {
			f.whole, _ = f.pool.Get().(*[inflowBusy]byte)
		}
		if f.whole == nil {
			f.whole = new([inflowBusy]byte)
		}
		f.buf, f.r, f.w, f.parked = f.whole[:], 0, copy(f.whole[:], unread), nil
		return
	}
	copy(f.buf, f.buf[f.r:f.w])
	f.r, f.w = 0, f.w-f.r
}

// park gives the buffer back, and keeps what lies in it unread.
func (f *inflow) park() {
	if f.whole == nil {
		return
	}
	if f.r < f.w {
		f.parked = slices.Clone(f.buf[f.r:f.w])
	}
	if f.pool != nil {
		f.pool.Put(f.whole)
	}
	f.whole, f.buf, f.r, f.w = nil, nil, 0, 0
}

// close gives the buffer back for good.
func (f *inflow) close() {
	f.park()
	f.buf, f.parked, f.wait, f.r, f.w = nil, nil, nil, 0, 0
}
