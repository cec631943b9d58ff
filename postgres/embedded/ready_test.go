package embedded

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// said by the server, in its protocol
func say(kind byte, body string) string {
	return string(kind) + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	const letIn, password = "\x00\x00\x00\x00", "\x00\x00\x00\x0a"
	cases := map[string]struct {
		server  string
		ready   bool
		refused bool
	}{
		"ready for a query is ready":                               {server: say('R', letIn) + say('S', "TimeZone\x00UTC\x00") + say('K', "12345678") + say('Z', "I"), ready: true},
		"starting up is no refusal":                                {server: say('E', "SFATAL\x00C57P03\x00Mthe database system is starting up\x00\x00")},
		"a connection that breaks off is neither":                  {server: say('R', letIn)},
		"silence is neither":                                       {},
		"a missing database is a refusal":                          {server: say('R', letIn) + say('E', "SFATAL\x00C3D000\x00Mno such database\x00\x00"), refused: true},
		"a password is a refusal":                                  {server: say('R', password), refused: true},
		"a length that cannot be is neither":                       {server: "R\xff\xff\xff\xff"},
		"an empty answer to who we are is a refusal, and no crash": {server: say('R', ""), refused: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ready, err := greeting(bytes.NewReader([]byte(c.server)))
			if ready != c.ready || (err != nil) != c.refused {
				t.Errorf("ready %t, error %v", ready, err)
			}
		})
	}
}
