package stream

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog takes what the embedded server says into slog, and remembers why it could not start: the server's own
// habit on a fatal error is to end the process.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal string
}

// Noticef logs the ordinary course of the server; it is of interest only when one looks for something.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats server", "text", fmt.Sprintf(format, v...))
}

// Warnf logs what the server is worried about.
func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("nats server", "text", fmt.Sprintf(format, v...))
}

// Errorf logs what failed in the server.
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("nats server", "text", fmt.Sprintf(format, v...))
}

// Fatalf logs and remembers what keeps the server from starting.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.mu.Lock()
	l.fatal = text
	l.mu.Unlock()
	l.log.Error("nats server", "text", text)
}

// Debugf drops the server's debugging text.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef drops the server's protocol trace, which would hold readings.
func (l *serverLog) Tracef(string, ...any) {}

// reason returns the last fatal error, or "".
func (l *serverLog) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
