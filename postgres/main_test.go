package postgres_test

import (
	"flag"
	"os"
	"testing"
)

// fewDraws keep the properties that draw whole stories of the record to seconds; `make check` draws more of them [J].
const fewDraws = "15"

func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", fewDraws); err != nil { // the command line comes later, and wins
		panic(err)
	}
	os.Exit(m.Run())
}
