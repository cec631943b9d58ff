package embedded

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	d := t.TempDir()
	os.Chmod(d, 0755)
	os.Chmod(d+"/..", 0755)
	cfg := Config{Dir: d + "/x", PathEnv: os.Getenv("PATH"), Out: func(l string) { t.Log(l) }}
	for range 3 {
		b := time.Now()
		s, err := Start(context.Background(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("start", time.Since(b), s.URL("hale_app"))
		b = time.Now()
		if err := s.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		t.Log("stop", time.Since(b))
	}
	x, _ := os.ReadFile(d + "/x/postgres.log")
	t.Log(string(x))
	for _, f := range Check(cfg) {
		t.Logf("%+v", f)
	}
}
