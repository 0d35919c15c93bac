// Package build makes what the end-to-end tests run: binaries and container images.
package build

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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

// Start starts a command that ends when this process does. A terminal's Ctrl-C does not reach it.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.WaitDelay = cmp.Or(cmd.WaitDelay, 5*time.Second)
	result := make(chan error)
	births() <- func() { result <- cmd.Start() }
	return <-result
}

// Output runs a command to its end, and returns what it prints, which an error has, too.
func Output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Minute // on a busy machine; what has ended has said all that it says
	err := Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", cmd.Args[0], err, &out)
	}
	return out.String(), err
}

// GoCommand is the Go that make uses, or else that of the path.
func GoCommand() string { return cmp.Or(os.Getenv("GO"), "go") }

// Go compiles with the flags of the Makefile, so that what make has compiled is not compiled again.
func Go(ctx context.Context, dir, to, pkg string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}, more...)
	cmd := exec.CommandContext(ctx, GoCommand(), append(args, "-o", to, pkg)...) //nolint:gosec // what to run is ours
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if _, err := Output(cmd); err != nil {
		return fmt.Errorf("%s in %s: %w", pkg, dir, err)
	}
	return nil
}

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)$`)

// ControlPlane returns the path of the binary with all of Kubernetes, whose source is in dir, and its version. As it is
// built from modules, it has to be told that.
func ControlPlane(ctx context.Context, dir string) (path, version string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if found := kubernetesVersion.FindSubmatch(text); found != nil {
		version = string(found[1])
	}
	if err == nil {
		const variable = "k8s.io/component-base/version.gitVersion"
		path, err = fromModule(ctx, dir, "controlplane", ".", "-s -w -X "+variable+"="+version)
	}
	return path, version, err
}

// Helm returns the path of helm, for which dir has a module that names it.
func Helm(ctx context.Context, dir string) (string, error) {
	return fromModule(ctx, dir, "helm", "helm.sh/helm/v3/cmd/helm", "-s -w")
}

// fromModule returns the path of a command that takes minutes to build.
func fromModule(ctx context.Context, dir, name, pkg, ldflags string) (string, error) {
	return Cached(name, dir, []any{runtime.Version(), runtime.GOARCH, ldflags}, func(to string) error {
		fmt.Printf("Building %s, which takes some minutes.\n", name)
		return Go(ctx, dir, to, pkg, "-ldflags", ldflags)
	})
}

// Cached returns the path of a file that takes long to make, of the files in a directory, if there is one, and more. It is
// kept in the user's cache directory, and made anew if any of that has changed.
func Cached(name, dir string, more []any, make func(to string) error) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, more...)
	if dir != "" {
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path) //nolint:gosec // nobody else writes there
			fmt.Fprintf(sum, "%s %d\n%s", d.Name(), len(text), text)
			return err
		}); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "longnames-e2e", fmt.Sprintf("%s-%x", name, sum.Sum(nil)[:8]))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	// One builds it, and others wait: they share a compiler's cache only of what is compiled already. The lock ends with
	// this process.
	lock, err := os.Create(path + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	half, err := os.MkdirTemp(filepath.Dir(path), "building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := make(filepath.Join(half, name)); err != nil {
		return "", err
	}
	return path, os.Rename(filepath.Join(half, name), path)
}
