package kubetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Log is a kubeapi.Logger that keeps its messages.
type Log struct {
	mu    sync.Mutex
	lines []string
}

func (l *Log) add(level, format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level+" "+fmt.Sprintf(format, v...))
}

// Debugf implements kubeapi.Logger.
func (l *Log) Debugf(format string, v ...any) { l.add("DEBUG", format, v...) }

// Infof implements kubeapi.Logger.
func (l *Log) Infof(format string, v ...any) { l.add("INFO", format, v...) }

// Warningf implements kubeapi.Logger.
func (l *Log) Warningf(format string, v ...any) { l.add("WARNING", format, v...) }

// Errorf implements kubeapi.Logger.
func (l *Log) Errorf(format string, v ...any) { l.add("ERROR", format, v...) }

// Lines returns all messages, as "LEVEL text".
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// Logged returns the messages for the operator: all but debugging.
func (l *Log) Logged() []string {
	return slices.DeleteFunc(l.Lines(), func(line string) bool { return strings.HasPrefix(line, "DEBUG ") })
}

// Reset forgets all messages.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = nil
}

// Want compares the messages for the operator, by Match.
func (l *Log) Want(t *testing.T, wants ...string) {
	t.Helper()
	if got := l.Logged(); !Match(got, wants) {
		t.Errorf("log:\nwant %q\n got %q", wants, got)
	}
}

// Eventually waits for just these messages for the operator.
func (l *Log) Eventually(t *testing.T, wants ...string) {
	t.Helper()
	Eventually(t, func() (bool, string) {
		got := l.Logged()
		return Match(got, wants), fmt.Sprintf("log:\nwant %q\n got %q", wants, got)
	})
}

// Match reports whether the lines are as many as wants, and each has all words of its
// want, which are separated by |.
func Match(lines, wants []string) bool {
	return slices.EqualFunc(lines, wants, func(line, want string) bool {
		for word := range strings.SplitSeq(want, "|") {
			if !strings.Contains(line, word) {
				return false
			}
		}
		return true
	})
}
