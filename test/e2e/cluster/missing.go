package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// controllers are those that a kubelet and its containers need.
var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids"}

// commands come with the Debian packages that packages.sh installs.
var commands = []string{"containerd", "ctr", "runc", "nft", "iptables-restore", "ip", "nsenter", "unshare", "mount", "buildah", "mmdebstrap", "/usr/lib/cni/ptp", "/usr/lib/cni/host-local"}

// missing tells what this machine lacks to run a cluster.
func missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("only root can make namespaces"))
	}
	for _, name := range commands {
		if _, err := exec.LookPath(name); err != nil {
			errs = append(errs, fmt.Errorf("%w: see test/e2e/packages.sh", err))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	errs = append(errs, err)
	for _, name := range controllers {
		if _, at := mounted(string(mounts), name); at == "" {
			errs = append(errs, fmt.Errorf("the cgroup controller %s is not mounted as version 1, and version 2 is not supported", name))
		}
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	errs = append(errs, err)
	if !strings.Contains(string(filesystems), "\toverlay\n") {
		errs = append(errs, errors.New("the kernel has no overlay file system"))
	}
	return errors.Join(errs...)
}
