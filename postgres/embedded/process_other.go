//go:build !linux

package embedded

import "syscall"

const (
	// endsWithUs says that nothing ends our children when we are killed: the next start adopts them.
	endsWithUs = false
	// socketPathLimit is the length of a Unix socket's path on the BSDs and macOS: 104 bytes less the closing zero.
	socketPathLimit = 103
	// bulkSync says that initdb has to sync file by file.
	bulkSync = false
)

// attributes puts a program into a session of its own, so that Ctrl-C in a terminal reaches Hale alone.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// syncAll is never called here.
func syncAll(string) error { return nil }

// serverOf cannot tell whose process it is.
func serverOf(int, string) (yes, known bool) { return false, false }

// stragglers cannot tell either: the server itself refuses to start while there are any.
func stragglers(string) []int { return nil }
