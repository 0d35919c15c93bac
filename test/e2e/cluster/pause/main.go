// Command pause does nothing until it is told to end. It is what holds the namespaces of a pod, and those of a machine of
// package cluster: as their first process it inherits the children of others, and waits for them when they end.
// With a command, it takes away the /proc of other processes than its own, and becomes that command.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		path, err := exec.LookPath(os.Args[1])
		err = errors.Join(err, syscall.Unmount("/proc", syscall.MNT_DETACH)) // umount(8) needs a /proc to work
		if err == nil {
			err = syscall.Exec(path, os.Args[1:], os.Environ()) //nolint:gosec // it is told what to become
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}
