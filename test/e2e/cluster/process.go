package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/longnames/longnames/test/e2e/build"
)

// Process is one that runs on a machine.
type Process struct {
	name string
	log  string // the file with its output
	cmd  *exec.Cmd
	part atomic.Bool // it is to run until it is stopped
	done chan struct{}
	err  error // once it has ended
}

// newProcess starts one, whose output goes to a file.
func newProcess(name, log string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{name: name, log: log, cmd: cmd, done: make(chan struct{})}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := build.Start(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// spawn starts a process of a machine.
func (m *machine) spawn(name string, env, args []string) (*Process, error) {
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // what to run is ours
	cmd.Env = append(os.Environ(), env...)
	p, err := newProcess(m.name+"/"+name, filepath.Join(m.dir, name+".log"), cmd)
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.processes = append(m.processes, p)
	}
	return p, err
}

// Output returns all that processes of this name have printed so far.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Says waits until processes of this name have printed what matches a pattern, after so many bytes, and returns that.
func (p *Process) Says(t testing.TB, pattern string, after int) (said string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	Eventually(t, startTime, p.name+" says "+pattern, func() error {
		ended := p.Ended()
		if said = re.FindString(p.Output()[after:]); said != "" {
			return nil
		}
		if ended != nil {
			return final{ended}
		}
		return errors.New("it does not")
	})
	return said
}

// tail returns the last lines of that.
func (p *Process) tail() string {
	lines := strings.Split(strings.TrimRight(p.Output(), "\n"), "\n")
	end := lines[max(0, len(lines)-10):]
	if at := slices.IndexFunc(lines, Crash.MatchString); at >= 0 {
		end = slices.Concat(lines[at:min(at+20, len(lines))], end)
	}
	return strings.Join(end, "\n")
}

// Crash matches the first line of a panic, whether the process ends with it or not.
var Crash = regexp.MustCompile(`(?m)^(panic|fatal error|runtime): .*|.*Recovered from panic.*`)

// Ended returns an error once the process has ended.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%w): %s", p.name, errors.Join(p.err), p.tail())
	default:
		return nil
	}
}

// Pid returns the ID of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// EndsWithin waits for the end of the process, and reports whether it has come in time.
func (p *Process) EndsWithin(patience time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(patience):
		return false
	}
}

// Err returns how the process has ended: nil, or what exec.Cmd.Wait says. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the process and to its children, unless it has ended.
func (p *Process) Signal(s syscall.Signal) {
	if p.Ended() == nil {
		_ = syscall.Kill(-p.Pid(), s)
	}
}

// Stop asks the process to end, if it has any time for that, and then makes it end.
func (p *Process) Stop(grace time.Duration) {
	p.part.Store(false)
	if grace > 0 {
		p.Signal(syscall.SIGTERM)
		if p.EndsWithin(grace) {
			return
		}
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	// What nsenter has started in a PID namespace may be there, with its ports, for longer than nsenter itself.
	_ = poll(10*time.Second, func() error {
		if syscall.Kill(-p.Pid(), 0) == nil {
			return errors.New("not all of them have ended")
		}
		return nil
	})
}

// final is an error for which nobody needs to wait any longer.
type final struct{ error }

// poll retries a check until it returns nil, and otherwise returns its last error.
func poll(patience time.Duration, check func() error) error {
	deadline := time.Now().Add(patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := check()
		if err == nil || errors.As(err, new(final)) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// Poll polls until a check finds nothing wrong, and else returns what was wrong at last.
func Poll(patience time.Duration, what string, check func() error) error {
	if err := poll(patience, check); err != nil {
		return fmt.Errorf("not within %s: %s: %w", patience, what, err)
	}
	return nil
}

// Eventually does that for a test that cannot go on without.
func Eventually(t testing.TB, patience time.Duration, what string, check func() error) {
	t.Helper()
	require.NoError(t, Poll(patience, what, check))
}

// Many does something for each number from one to before another, for some at once.
func Many(t testing.TB, from, to int, do func(i int)) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for i := from; i < to; i++ {
		g.Go(func() error { do(i); return nil })
	}
	if _ = g.Wait(); t.Failed() {
		t.FailNow()
	}
}
