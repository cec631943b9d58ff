package edge

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"
)

func noArm() error { return nil }

// TestMemoryFollowsWhatArrives is not parallel: it looks at the memory of the whole process.
func TestMemoryFollowsWhatArrives(t *testing.T) {
	f := newInflow(bytes.NewReader(make([]byte, 100)), noArm)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := f.body(256 << 20)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.EOF) {
		t.Fatalf("error %v, want EOF", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated for 100 that came", used)
	}
}

func TestInflowGivesBackWhatCame(t *testing.T) {
	t.Parallel()
	sent := make([]byte, 300_000)
	for i := range sent {
		sent[i] = byte(i * 7 / 3)
	}
	readers := map[string]io.Reader{
		"as fast as it is asked": bytes.NewReader(sent),
		"byte by byte":           iotest.OneByteReader(bytes.NewReader(sent)),
		"by halves":              iotest.HalfReader(bytes.NewReader(sent)),
		"with the end at once":   iotest.DataErrReader(bytes.NewReader(sent)),
	}
	for name, r := range readers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newInflow(r, noArm)
			var got []byte
			take := func(b []byte, err error) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b...)
			}
			for i := 0; len(got) < len(sent); i++ {
				left := len(sent) - len(got)
				switch i % 4 {
				case 0:
					b, err := f.ReadByte()
					take([]byte{b}, err)
				case 1:
					take(f.body(min(left, 1+i*977%40_000)))
				case 2:
					n := min(left, 1+i*31%inflowWait*40)
					take(f.peek(n))
					f.discard(n)
				case 3:
					take(f.some(min(left, 5_000)))
				}
			}
			if !bytes.Equal(got, sent) {
				t.Error("what was read differs from what was sent")
			}
			if _, err := f.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("error %v at the end, want EOF", err)
			}
			if f.total != int64(len(sent)) {
				t.Errorf("counted %d bytes of %d", f.total, len(sent))
			}
		})
	}
}
