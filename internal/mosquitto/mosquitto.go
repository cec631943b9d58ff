// Package mosquitto runs a real Mosquitto for a test: a child process on loopback with a configuration of the test's own,
// that can be killed and started again on the same address with what it kept on disk. A missing Mosquitto fails the test
// with what to do; nothing is skipped.
package mosquitto

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Config says how a broker is to behave.
type Config struct {
	// Above stand above the test's own listener: what holds for all, and other listeners.
	Above []string
	// Lines are added to the configuration: persistence, limits, who may do what.
	Lines []string
	// Users makes the broker ask for user name and password.
	Users map[string]string
	// Guarded is set when a plugin of Lines asks for user name and password.
	Guarded bool
}

// Broker is a Mosquitto that belongs to a test.
type Broker struct {
	Addr string // host and port
	Dir  string // where it keeps its data

	tb     testing.TB
	binary string
	file   string

	mu    sync.Mutex
	cmd   *exec.Cmd
	said  *bytes.Buffer
	ended chan struct{}
}

// binary returns where Mosquitto is installed; Debian puts it where only root's PATH looks.
func binary(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	tb.Fatal("this test needs a real Mosquitto (run `make test`, which installs it, or apt-get install mosquitto)")
	return ""
}

// FreeAddress returns a host and port of loopback on which nobody listens.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// New starts a broker, which ends with the test.
func New(tb testing.TB, c Config) *Broker {
	tb.Helper()
	b := &Broker{tb: tb, binary: binary(tb), Dir: tb.TempDir()}
	b.Addr = FreeAddress(tb)
	_, port, _ := strings.Cut(b.Addr, ":")
	lines := append(slices.Clone(c.Above), "listener "+port+" 127.0.0.1", "persistence_location "+b.Dir+"/", "set_tcp_nodelay true", "log_type error", "log_type warning", "log_type notice")
	if os.Geteuid() == 0 {
		lines = append(lines, "user root") // or it could not read the folder of the test
	}
	lines = append(lines, b.passwords(c)...)
	b.file = filepath.Join(b.Dir, "mosquitto.conf")
	if err := os.WriteFile(b.file, []byte(strings.Join(append(lines, c.Lines...), "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	b.Start()
	tb.Cleanup(b.Kill)
	return b
}

// passwords makes the file of users; without users everybody may come.
func (b *Broker) passwords(c Config) []string {
	b.tb.Helper()
	if c.Guarded {
		return []string{"allow_anonymous false"}
	}
	if len(c.Users) == 0 {
		return []string{"allow_anonymous true"}
	}
	file := filepath.Join(b.Dir, "passwords")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		b.tb.Fatal(err)
	}
	for user, password := range c.Users {
		cmd := exec.CommandContext(b.tb.Context(), "mosquitto_passwd", "-b", file, user, password) //nolint:gosec // the test's own words
		if out, err := cmd.CombinedOutput(); err != nil {
			b.tb.Fatalf("mosquitto_passwd: %v: %s", err, out)
		}
	}
	return []string{"allow_anonymous false", "password_file " + file}
}

// Start starts it, again after Kill, and waits until it answers.
func (b *Broker) Start() {
	b.tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said, b.ended = &bytes.Buffer{}, make(chan struct{})
	b.cmd = exec.CommandContext(context.WithoutCancel(b.tb.Context()), b.binary, "-c", b.file) //nolint:gosec // the broker and the test's own file
	b.cmd.Stdout, b.cmd.Stderr = b.said, b.said
	if err := b.cmd.Start(); err != nil {
		b.tb.Fatal(err)
	}
	cmd, ended := b.cmd, b.ended
	go func() {
		_ = cmd.Wait() // how it ended is the test's own doing
		close(ended)
	}()
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(b.tb.Context(), "tcp", b.Addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			b.tb.Fatalf("mosquitto ended: %s", b.said)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.tb.Fatalf("mosquitto does not answer: %v", err)
		}
	}
}

// Kill ends it without a word, as a power cut would.
func (b *Broker) Kill() { b.end(syscall.SIGKILL) }

// Save makes it write what it keeps to disk now, as it does every autosave_interval, and waits until that has changed
// the file.
func (b *Broker) Save() {
	b.tb.Helper()
	file := filepath.Join(b.Dir, "mosquitto.db")
	before, _ := os.Stat(file) // it may not be there yet
	b.mu.Lock()
	err := b.cmd.Process.Signal(syscall.SIGUSR1)
	b.mu.Unlock()
	if err != nil {
		b.tb.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		after, err := os.Stat(file)
		if err == nil && (before == nil || !os.SameFile(before, after) || after.ModTime().After(before.ModTime())) {
			return
		}
		if time.Now().After(deadline) {
			b.tb.Fatal("mosquitto has not saved")
		}
		<-time.After(5 * time.Millisecond)
	}
}

// Reload makes it read its files of users and accesses again. It does so soon; it does not say when.
func (b *Broker) Reload() {
	b.tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.tb.Fatal(err)
	}
}

func (b *Broker) end(s os.Signal) {
	b.tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.cmd.Process.Signal(s); err != nil {
		select {
		case <-b.ended: // it has ended before
			return
		default:
			b.tb.Errorf("end mosquitto: %v", err)
		}
	}
	select {
	case <-b.ended:
	case <-time.After(10 * time.Second):
		b.tb.Errorf("mosquitto does not end")
	}
}

// Publish sends one message with QoS 1 by Debian's client and waits until the broker has acknowledged it.
func (b *Broker) Publish(topic, payload string, more ...string) error {
	host, port, _ := strings.Cut(b.Addr, ":")
	args := append([]string{"-h", host, "-p", port, "-V", "311", "-q", "1", "-t", topic, "-s"}, more...)
	cmd := exec.CommandContext(b.tb.Context(), "mosquitto_pub", args...) //nolint:gosec // the test's own words
	cmd.Stdin = strings.NewReader(payload)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mosquitto_pub: %w: %s", err, out)
	}
	return nil
}

// The user of a guarded broker.
const (
	GuardedUser     = "hale"
	GuardedPassword = "a-long-secret"
)

// Guarded is a broker that answers 0x80 to every subscription but those to the given filters. Mosquitto's own acl_file
// cannot do that: it grants every subscription and then delivers nothing; its dynamic security plugin can.
func Guarded(tb testing.TB, filters ...string) Config {
	tb.Helper()
	dir := tb.TempDir()
	plugin := ""
	for _, pattern := range []string{"/usr/lib/*/mosquitto_dynamic_security.so", "/usr/lib/mosquitto_dynamic_security.so", "/opt/homebrew/lib/mosquitto_dynamic_security.so"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			plugin = found[0]
		}
	}
	if plugin == "" {
		tb.Fatal("this test needs mosquitto_dynamic_security.so, which Debian's mosquitto package holds")
	}
	var acls []map[string]any
	for _, f := range filters {
		acls = append(acls, map[string]any{"acltype": "subscribePattern", "topic": f, "allow": true})
	}
	salt, iterations := []byte("0123456789ab"), 101
	hash, err := pbkdf2.Key(sha512.New, GuardedPassword, salt, iterations, 64)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"defaultACLAccess": map[string]bool{"publishClientSend": true, "publishClientReceive": true, "subscribe": false, "unsubscribe": true},
		"clients": []map[string]any{{
			"username": GuardedUser, "password": base64.StdEncoding.EncodeToString(hash), "salt": base64.StdEncoding.EncodeToString(salt), "iterations": iterations,
			"roles": []map[string]any{{"rolename": "reader"}},
		}},
		"roles": []map[string]any{{"rolename": "reader", "acls": acls}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(dir, "security.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		tb.Fatal(err)
	}
	return Config{Guarded: true, Lines: []string{"plugin " + plugin, "plugin_opt_config_file " + file}}
}
