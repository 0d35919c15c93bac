package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
)

// Shell runs a script in a directory as an administrator would, with kubectl and helm, and returns what it prints.
func (c *Cluster) Shell(t testing.TB, dir, script string) string {
	t.Helper()
	helm, err := build.Helm(t.Context(), output, filepath.Join(root, "helm"))
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(c.run.dir, "bin")
	if err := errors.Join(
		os.MkdirAll(bin, 0o755),
		os.WriteFile(filepath.Join(bin, "kubectl"), fmt.Appendf(nil, "#!/bin/sh\nexec %s kubectl \"$@\"\n", c.binary), 0o700), //nolint:gosec // it is to be run
		os.WriteFile(filepath.Join(bin, "helm"), fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\"\n", helm), 0o700),                //nolint:gosec // likewise
	); err != nil {
		t.Fatal(err)
	}
	args := append(c.plane.nsenter("--net"), "sh", "-euc", script)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...) //nolint:gosec // what to run is ours
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig("admin"), "HOME="+c.run.dir, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := output(cmd)
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	return out
}
