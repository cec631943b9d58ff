// Package browser gives a test a real browser: a headless Chromium of its own with a fresh profile, and tabs in it that
// share nothing. A missing Chromium fails the test with what to do; nothing is skipped.
package browser

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Mend is what a test says when there is no Chromium.
const Mend = "these tests need Chromium: run `make test`, which installs it, or install it (Debian: apt-get install chromium), or name it in HALE_CHROMIUM"

// Browser is a running Chromium.
type Browser struct{ ctx context.Context }

// Start starts a Chromium that ends with tb. It uses the program that HALE_CHROMIUM names, or the first that it finds. It
// believes servers with the given certificates, as one does whose owner has installed their authority.
func Start(tb testing.TB, believed ...*x509.Certificate) *Browser {
	tb.Helper()
	program := find(tb)
	// Not tb.TempDir: Chromium's children may still write while it is removed, and that would fail the test.
	profile, err := os.MkdirTemp("", "hale-browser-") //nolint:usetesting // see above
	if err != nil {
		tb.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute), // a busy machine takes its time
	)
	if len(believed) > 0 {
		var keys []string
		for _, c := range believed {
			sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
			keys = append(keys, base64.StdEncoding.EncodeToString(sum[:]))
		}
		options = append(options, chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(keys, ",")))
	}
	allocated, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endBrowser := chromedp.NewContext(allocated)
	tb.Cleanup(func() {
		closing, stop := context.WithTimeout(ctx, 10*time.Second)
		defer stop()
		if err := chromedp.Cancel(closing); err != nil {
			tb.Logf("Chromium did not end by itself: %v", err)
		}
		endBrowser()
		endAllocator()
		if err := os.RemoveAll(profile); err != nil {
			tb.Logf("the browser's profile is left: %v", err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		tb.Fatalf("start %s: %v", program, err)
	}
	return &Browser{ctx: ctx}
}

// find returns the path of a Chromium.
func find(tb testing.TB) string {
	tb.Helper()
	if named := os.Getenv("HALE_CHROMIUM"); named != "" {
		return named
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	tb.Fatal(Mend)
	return ""
}

// Tab is one page of a browser, with cookies and storage of its own.
type Tab struct {
	t   testing.TB
	Ctx context.Context // for chromedp.Run and Do; ends with the test, or after two minutes

	whole      context.Context // the same without the deadline
	mu         sync.Mutex
	complaints []string
	received   float64
}

// Tab opens a tab of the given size in CSS pixels. It ends with tb.
func (b *Browser) Tab(tb testing.TB, width, height int) *Tab {
	tb.Helper()
	return open(b.ctx, tb, width, height, chromedp.WithNewBrowserContext())
}

// Another opens a further tab of the same person: it shares cookies, storage and workers with this one.
func (tab *Tab) Another(width, height int) *Tab {
	tab.t.Helper()
	return open(tab.whole, tab.t, width, height)
}

func open(parent context.Context, tb testing.TB, width, height int, how ...chromedp.ContextOption) *Tab {
	tb.Helper()
	ctx, end := chromedp.NewContext(parent, how...)
	tb.Cleanup(end)
	tab := &Tab{t: tb, whole: ctx}
	// The tab lives as long as the context that opens it, so the deadline is put on afterwards.
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		tb.Fatalf("open a tab: %v", err)
	}
	limited, stop := context.WithTimeout(ctx, 2*time.Minute)
	tb.Cleanup(stop)
	tab.Ctx = limited
	command(tab, network.Enable, network.EnableParams{})
	command(tab, log.Enable, cdp.Empty{})
	tab.Do(chromedp.EmulateViewport(int64(width), int64(height)))
	return tab
}

// command sends a command of the DevTools protocol, and fails the test when it is refused.
func command[P, R any](tab *Tab, c cdp.Command[P, R], params P) {
	tab.t.Helper()
	if _, err := chromedp.Call(tab.Ctx, c, params); err != nil {
		tab.t.Fatalf("browser: %s: %v", c.Method, err)
	}
}

// hear keeps what the page complains of, and counts what it loads.
func (tab *Tab) hear(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += " " + e.ExceptionDetails.Exception.Description
		}
		tab.complaints = append(tab.complaints, said)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			said := "console:"
			for _, arg := range e.Args {
				said += " " + string(arg.Value) + arg.Description
			}
			if !abandoned(said) {
				tab.complaints = append(tab.complaints, said)
			}
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tab.complaints = append(tab.complaints, fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventLoadingFinished:
		tab.received += e.EncodedDataLength
	}
}

// abandoned reports whether the console only says that a request was dropped because somebody went to another page while it
// was under way. One that failed is told by other words (htmx:sendError, htmx:responseError).
func abandoned(said string) bool {
	return strings.HasPrefix(said, `console: "htmx:sendAbort`) || strings.HasPrefix(said, `console: "htmx:afterRequest`)
}

// Complaints returns the errors and warnings of the tab's console so far: scripts that threw, what the content security
// policy refused, requests that failed.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return append([]string(nil), tab.complaints...)
}

// Received returns how many bytes came over the wire so far, headers included, as compressed as they came.
func (tab *Tab) Received() int {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return int(tab.received)
}

// Do does the actions, and fails the test when one fails. One that found an element which the page has just put another in
// the place of has done nothing yet, and is done again.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	for _, action := range actions {
		err := chromedp.Do(tab.Ctx, action)
		for tries := 1; replaced(err) && tries < 20 && tab.Ctx.Err() == nil; tries++ {
			<-time.After(50 * time.Millisecond)
			err = chromedp.Do(tab.Ctx, action)
		}
		if err != nil {
			tab.t.Fatalf("browser: %v; the console says: %s", err, strings.Join(tab.Complaints(), "; "))
		}
	}
}

// replaced reports whether the browser no longer knows the element that was looked up.
func replaced(err error) bool {
	var refused *cdproto.Error
	return errors.As(err, &refused) && refused.Code == -32000 &&
		(strings.HasPrefix(refused.Message, "Could not find node") || strings.HasPrefix(refused.Message, "No node with given id"))
}

// Open goes to an address and waits until the page is loaded.
func (tab *Tab) Open(address string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(address))
}

// Dark makes the tab prefer a dark or a light page, and in both cases one that does not move.
func (tab *Tab) Dark(dark bool) {
	tab.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	command(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// Scripts switches the tab's scripts on or off for the pages that it opens from now on.
func (tab *Tab) Scripts(on bool) {
	tab.t.Helper()
	command(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// Eval returns what a JavaScript expression is, waiting for it when it is a promise.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	value, err := chromedp.Run(tab.Ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("browser: %s: %v; the console says: %s", expression, err, strings.Join(tab.Complaints(), "; "))
	}
	return value
}

// Until waits for a JavaScript expression to be true, whatever page the tab shows meanwhile. It fails the test with what
// it waited for when that is not so within half a minute.
func (tab *Tab) Until(what, expression string) {
	tab.t.Helper()
	within, stop := context.WithTimeout(tab.Ctx, 30*time.Second)
	defer stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		ok, err := chromedp.Run(within, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if ok {
			return
		}
		if err != nil && within.Err() == nil {
			last = err // the page may just be changing
		}
		select {
		case <-again.C:
		case <-within.Done():
			tab.t.Fatalf("waited in vain until %s (%v); the console says: %s", what, last, strings.Join(tab.Complaints(), "; "))
		}
	}
}

// Keep saves a picture of the whole page for whoever wants to look: in the directory that HALE_SCREENS names, if it names one.
func (tab *Tab) Keep(name string) {
	tab.t.Helper()
	if dir := os.Getenv("HALE_SCREENS"); dir != "" {
		tab.Shot(filepath.Join(dir, name+".png"))
	}
}

// Shot saves a picture of the whole page.
func (tab *Tab) Shot(file string) {
	tab.t.Helper()
	png, err := chromedp.Run(tab.Ctx, chromedp.FullScreenshot(100))
	for tries := 1; err != nil && tries < 20 && tab.Ctx.Err() == nil; tries++ { // a page that is just changing has no width
		<-time.After(100 * time.Millisecond)
		png, err = chromedp.Run(tab.Ctx, chromedp.FullScreenshot(100))
	}
	if err != nil {
		tab.t.Fatalf("browser: take a picture: %v", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // pictures are to be looked at
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil { //nolint:gosec // pictures are to be looked at
		tab.t.Fatal(err)
	}
}

// Axe runs axe-core (its source is given) on the page and returns what it holds against it, one line per element.
func (tab *Tab) Axe(source string) []string {
	tab.t.Helper()
	tab.Do(chromedp.Evaluate[chromedp.Void](source))
	report := Eval[string](tab, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`)
	var violations []struct {
		ID, Help string
		Nodes    []struct {
			HTML           string
			FailureSummary string
		}
	}
	if err := json.Unmarshal([]byte(report), &violations); err != nil {
		tab.t.Fatalf("axe: %v in %s", err, report)
	}
	var lines []string
	for _, v := range violations {
		for _, n := range v.Nodes {
			lines = append(lines, fmt.Sprintf("%s (%s): %s: %s", v.ID, v.Help, n.HTML, n.FailureSummary))
		}
	}
	return lines
}
