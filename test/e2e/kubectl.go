package main

import (
	"os"
	"path/filepath"
	"strings"
)

// kubectlCommand is how users speak to the API server: a command line with the administrator's rights, to be run where the
// control plane is.
func (t *trial) kubectlCommand(args ...string) []string {
	return append([]string{t.binary, "kubectl", "--kubeconfig", filepath.Join(t.bed.dir, "kubeconfig"), "--cache-dir", filepath.Join(t.dir, "kubectl")}, args...)
}

// kubectl gives what it prints.
func (t *trial) kubectl(args ...string) string {
	out, err := t.tryKubectl(args...)
	t.must(err)
	return out
}

func (t *trial) tryKubectl(args ...string) (string, error) {
	out, err := output(t.ctx, t.plane.name, []string{"HOME=" + t.dir}, t.kubectlCommand(args...)...)
	t.note("kubectl %s: %s %v", strings.Join(args, " "), out, err)
	return out, err
}

// shell runs commands of a page as users do, where the control plane is. The first that fails ends it.
func (t *trial) shell(text string) string {
	kubectl := filepath.Join(t.dir, "bin", "kubectl")
	t.must(os.MkdirAll(filepath.Dir(kubectl), 0o755))
	script := "#!/bin/sh\nexec " + strings.Join(t.kubectlCommand(), " ") + " \"$@\"\n"
	t.must(os.WriteFile(kubectl, []byte(script), 0o700)) //nolint:gosec // it is run
	path := filepath.Dir(kubectl) + string(filepath.ListSeparator) + os.Getenv("PATH")
	out, err := output(t.ctx, t.plane.name, []string{"HOME=" + t.dir, "PATH=" + path}, "/bin/sh", "-euc", text)
	t.must(err)
	t.note("%s\n%s", text, out)
	return out
}
