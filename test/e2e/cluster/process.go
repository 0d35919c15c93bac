package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// spawn starts a process, whose output goes to a file.
func (m *machine) spawn(name string, env, args []string) (*Process, error) {
	p := &Process{name: m.name + "/" + name, log: filepath.Join(m.dir, name+".log"), done: make(chan struct{})}
	file, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.cmd = exec.Command(args[0], args[1:]...) //nolint:gosec // what to run is ours
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = file, file
	if err := spawn(p.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	m.mu.Lock()
	m.processes = append(m.processes, p)
	m.mu.Unlock()
	return p, nil
}

// Output returns all that processes of this name have printed so far.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Ended returns an error once the process has ended.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%w): %s", p.name, errors.Join(p.err), tail(p.log, 10))
	default:
		return nil
	}
}

// Pid returns the ID of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process has ended: nil, or what exec.Cmd.Wait says. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the process and to its children, unless it has ended.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// Stop asks the process to end, if it has any time for that, and then makes it end.
func (p *Process) Stop(grace time.Duration) {
	p.part.Store(false)
	if grace > 0 {
		p.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
			return
		case <-time.After(grace):
		}
	}
	p.Signal(syscall.SIGKILL)
	<-p.done
	// What nsenter has started in a PID namespace may be there, with its ports, for longer than nsenter itself.
	_ = poll(10*time.Second, func() error {
		if syscall.Kill(-p.cmd.Process.Pid, 0) == nil {
			return errors.New("not all of them have ended")
		}
		return nil
	})
}

// births is a thread that starts processes, and never ends: by Pdeathsig, a process ends with the thread that started it.
var births = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		// If this process has real-time priority, what it starts does not inherit that.
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0)
		for call := range calls {
			call()
		}
	}()
	return calls
})

// spawn starts a process that ends when this one does. A terminal's Ctrl-C does not reach it.
func spawn(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.WaitDelay = 5 * time.Second
	result := make(chan error)
	births() <- func() { result <- cmd.Start() }
	return <-result
}

// output runs a command to its end, and returns what it prints.
func output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := spawn(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

// tail returns the last lines of a file.
func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
