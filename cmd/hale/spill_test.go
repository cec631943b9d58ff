package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// spills is the watch over the logs of this whole test run: what no line of any of them may hold.
var spills = sync.OnceValue(func() *spill { return &spill{words: map[string]string{}} })

// spill knows what was planted, and keeps what was logged.
type spill struct {
	mu    sync.Mutex
	words map[string]string // what must not be logged -> what it is
	logs  []logged
}

// logged is one log with who wrote it.
type logged struct{ of, text string }

// plant names something that no log may hold: a secret, a person's name, a value. What is short is found by chance, and so
// is not watched for.
func (s *spill) plant(what, secret string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(secret) >= 5 {
		s.words[secret] = what
	}
	return secret
}

// keep takes what was logged.
func (s *spill) keep(of, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = append(s.logs, logged{of, text})
}

// forms are the ways in which a secret can stand in a line.
func forms(secret string) []string {
	quoted := fmt.Sprintf("%q", secret)
	list := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1], hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// found returns every line that holds what was planted, with who wrote it and what it holds.
func (s *spill) found() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for secret, what := range s.words {
		for _, form := range forms(secret) {
			for _, l := range s.logs {
				if !strings.Contains(l.text, form) {
					continue
				}
				for line := range strings.Lines(l.text) {
					if strings.Contains(line, form) {
						list = append(list, fmt.Sprintf("%s logged %s: %s", l.of, what, strings.TrimSpace(line)))
					}
				}
			}
		}
	}
	return list
}
