package stream_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"hale/stream"
	"hale/vital"
)

// onDisk reports whether any file below dir holds the bytes.
func onDisk(t *testing.T, dir string, what []byte) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAnErasedPersonIsNotOnTheStreamsDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := ensure(t, connect(t, startServer(t, stream.ServerConfig{Dir: dir})), 64<<20)
	p := s.Publisher(stream.PublisherConfig{})
	say := func(device vital.DeviceID, raw string) {
		t.Helper()
		if err := p.Publish(soon(t), 3, vital.Live, []vital.Record{{Refused: &vital.Refused{Org: 1, Device: device, Raw: []byte(raw)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		say(7, "the words of the erased")
		say(8, "the words of another")
	}
	end, err := s.End(soon(t))
	if err != nil || end == 0 {
		t.Fatal(end, err)
	}
	say(8, "what came later")
	if !onDisk(t, dir, []byte("the words of the erased")) {
		t.Fatal("the words were never on disk: the test sees nothing")
	}
	for range 2 { // again is a success
		if err := s.Erase(soon(t), end, stream.Traces{Devices: []vital.DeviceID{7}}); err != nil {
			t.Fatal(err)
		}
	}
	if onDisk(t, dir, []byte("the words of the erased")) {
		t.Error("the words are still on disk")
	}
	if first, last, _ := stream.Bounds(t, s); first != end+1 || last != end+1 {
		t.Errorf("the stream is from %d to %d, want only %d, which was not committed", first, last, end+1)
	}
	if !onDisk(t, dir, []byte("what came later")) {
		t.Error("what was not committed is gone")
	}
}
