// Package build makes what the end-to-end tests run: binaries and container images.
package build

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
)

// Run runs a command to its end, and returns what it prints.
type Run func(cmd *exec.Cmd) (string, error)

// GoCommand is the Go that make uses, or else that of the path.
func GoCommand() string { return cmp.Or(os.Getenv("GO"), "go") }

// Shipped is the environment in which what is shipped is compiled.
func Shipped() []string { return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off") }

// Go compiles with the flags of the Makefile, so that what make has compiled is not compiled again.
func Go(ctx context.Context, run Run, dir, to, pkg string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}, more...)
	cmd := exec.CommandContext(ctx, GoCommand(), append(args, "-o", to, pkg)...) //nolint:gosec // what to run is ours
	cmd.Dir = dir
	cmd.Env = Shipped()
	if out, err := run(cmd); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, out)
	}
	return nil
}

// versionVariable is what the components take for their version: of a module, they do not know it.
const versionVariable = "k8s.io/component-base/version.gitVersion"

var kubernetesVersion = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)$`)

// ControlPlane returns the path of the binary with all of Kubernetes, whose source is in dir.
func ControlPlane(ctx context.Context, run Run, dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	var version string
	if found := kubernetesVersion.FindSubmatch(text); found != nil {
		version = string(found[1])
	}
	return fromModule(ctx, run, dir, "controlplane", ".", "-s -w -X "+versionVariable+"="+version)
}

// Helm returns the path of helm, for which dir has a module that names it.
func Helm(ctx context.Context, run Run, dir string) (string, error) {
	return fromModule(ctx, run, dir, "helm", "helm.sh/helm/v3/cmd/helm", "-s -w")
}

// fromModule returns the path of a command that takes long to build. It is built anew if the module in dir changes.
func fromModule(ctx context.Context, run Run, dir, name, pkg, ldflags string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH, ldflags)
	sources, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range append([]string{filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")}, sources...) {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return Cached(fmt.Sprintf("%s-%x", name, sum.Sum(nil)[:8]), func(to string) error {
		fmt.Printf("Building %s, which takes some minutes.\n", name)
		return Go(ctx, run, dir, to, pkg, "-ldflags", ldflags)
	})
}

// Cached returns the path of a file that takes long to make. It is made once, and kept in the user's cache directory. The
// name says what the file was made of.
func Cached(name string, make func(to string) error) (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "longnames-e2e", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	// Two that build at once do not see each other's halves.
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
