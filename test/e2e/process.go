package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is what to run.
type command struct {
	name   string // of its log
	args   []string
	env    []string
	urgent bool // it comes before all else if hurry was called
	// pod runs it as the first process of a PID namespace of its own, so that all that it starts, as epmd, ends with it.
	pod bool
}

// process is a command that runs in a namespace.
type process struct {
	command
	cmd  *exec.Cmd
	file *os.File
	done chan struct{}
	err  error // once done is closed

	mu  sync.Mutex // protects out
	out bytes.Buffer
}

// births are what spawn has a thread of its own do. Processes inherit its priority: see hurry.
var births, urgentBirths = sync.OnceValue(newBirths), sync.OnceValue(newBirths)

func newBirths() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
}

// spawn starts a process. It is out of the terminal's reach: who presses Ctrl-C ends the runner, which ends the others,
// in order. They end as well if the runner is killed; to be exact, if the thread ends that started them, so that has to
// be one that lives as long as the runner.
func spawn(cmd *exec.Cmd, births chan<- func()) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	births <- func() { result <- cmd.Start() }
	return <-result
}

// inside gives the arguments by which ip(8) runs a command in a network namespace, and unshare(8) in new ones of other
// kinds. A pod's has a host name of its own.
func inside(namespace string, unshare, args []string) []string {
	hostname := filepath.Join(etcOf(namespace), "hostname")
	if _, err := os.Stat(hostname); err == nil {
		unshare = append([]string{"--uts"}, unshare...)
		args = append([]string{"sh", "-c", `hostname -F "$0" && export HOSTNAME="$(hostname)" && exec "$@"`, hostname}, args...)
	}
	if len(unshare) > 0 {
		args = slices.Concat([]string{"unshare"}, unshare, args)
	}
	return append([]string{"netns", "exec", namespace}, args...)
}

// start runs a command in a namespace; its output goes to a log in dir.
func start(namespace, dir string, c command) (*process, error) {
	file, err := os.Create(filepath.Join(dir, c.name+".log"))
	if err != nil {
		return nil, err
	}
	var unshare []string
	if c.pod {
		unshare = []string{"--pid", "--fork", "--kill-child", "--mount-proc"}
	}
	p := &process{command: c, file: file, done: make(chan struct{})}
	p.cmd = exec.Command("ip", inside(namespace, unshare, c.args)...) //nolint:gosec // what to run is ours
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.WaitDelay = 2 * time.Second
	from := births()
	if c.urgent {
		from = urgentBirths()
	}
	if err := spawn(p.cmd, from); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
		file.Close()
	}()
	return p, nil
}

// Write takes the output.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	return p.file.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// says tells whether the output has a match.
func (p *process) says(re *regexp.Regexp) error {
	if re.MatchString(p.output()) {
		return nil
	}
	if err := p.ended(); err != nil {
		return err
	}
	return fmt.Errorf("%s does not say %q", p.name, re)
}

// until waits until the output has a match, without any delay: time may be short.
func (p *process) until(ctx context.Context, patience time.Duration, re *regexp.Regexp) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := p.says(re)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return err
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", patience, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// last gives what follows a prefix in the last whole line that has it.
func (p *process) last(prefix string) (string, bool) {
	lines := strings.Split(p.output(), "\n")
	for i := len(lines) - 2; i >= 0; i-- {
		if rest, ok := strings.CutPrefix(lines[i], prefix); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// ended is an error if the process has.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%w): %s", p.name, errors.Join(p.err), tail(p.output()))
	default:
		return nil
	}
}

func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // it may be gone
}

// stop asks the process to end, and makes it end.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
			return
		case <-time.After(grace):
		}
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// outputTime is how long a command may take whose output is wanted.
const outputTime = 2 * time.Minute

// output runs a command to its end.
func output(ctx context.Context, namespace string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, outputTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", inside(namespace, nil, args)...) //nolint:gosec // what to run is ours
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := toEndOf(cmd)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, tail(out))
	}
	return out, nil
}

// toEndOf runs a command that is not urgent, and gives its output.
func toEndOf(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := spawn(cmd, births())
	if err == nil {
		err = cmd.Wait()
	}
	return out.String(), err
}

func tail(text string) string {
	const most = 2000
	if len(text) > most {
		return "…" + text[len(text)-most:]
	}
	return text
}
