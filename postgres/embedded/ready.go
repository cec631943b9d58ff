package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// What the readiness check speaks of PostgreSQL's protocol, version 3.0 (documentation, "Message Formats").
const (
	protocol3      = 3 << 16
	cannotConnect  = "57P03" // cannot_connect_now: it starts, recovers or stops
	pingTimeout    = 2 * time.Second
	longestMessage = 64 << 10
)

// ping connects to a server as Hale's superuser and reports whether it is ready for a query. A server that is not there
// yet, or says that it is not ready yet, is no error; one that refuses us is.
func ping(ctx context.Context, path string) (ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return false, nil // not there yet: whoever polls knows whether the process lives
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return false, err
	}
	if _, err := conn.Write(startup()); err != nil {
		return false, nil // it closed the door on us, which it does when it stops
	}
	ready, err = greeting(conn)
	if ready {
		_, err = conn.Write([]byte{'X', 0, 0, 0, 4}) // Terminate, so that the log has no broken connection
	}
	return ready, err
}

// listens reports whether anybody takes connections on a socket.
func listens(ctx context.Context, s socket) bool {
	conn, err := (&net.Dialer{Timeout: pingTimeout}).DialContext(ctx, "unix", s.path())
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// startup is the message with which a client begins.
func startup() []byte {
	var body []byte
	body = binary.BigEndian.AppendUint32(body, protocol3)
	for _, word := range []string{"user", superuser, "database", database, "application_name", "hale start"} {
		body = append(append(body, word...), 0)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

// greeting reads until the server is ready for a query or says why not.
func greeting(conn io.Reader) (ready bool, err error) {
	for {
		kind, body, err := message(conn)
		switch {
		case err != nil:
			return false, nil //nolint:nilerr // the connection broke: it starts or stops
		case kind == 'Z':
			return true, nil
		case kind == 'R' && (len(body) < 4 || binary.BigEndian.Uint32(body) != 0):
			return false, errors.New("the server asks for a password")
		case kind == 'E':
			return false, refusal(body)
		}
	}
}

// message reads one message: a byte that says of what kind, the length including itself, the body.
func message(conn io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > longestMessage {
		return 0, nil, fmt.Errorf("a message of %d bytes", length)
	}
	body = make([]byte, length-4)
	_, err = io.ReadFull(conn, body)
	return head[0], body, err
}

// refusal reads an ErrorResponse: fields that begin with a letter and end with a zero. Not ready yet is nil.
func refusal(body []byte) error {
	var code, text string
	for field := range strings.SplitSeq(string(body), "\x00") {
		switch {
		case strings.HasPrefix(field, "C"):
			code = field[1:]
		case strings.HasPrefix(field, "M"):
			text = field[1:]
		}
	}
	if code == cannotConnect {
		return nil
	}
	return fmt.Errorf("%s (SQLSTATE %s)", text, code)
}
