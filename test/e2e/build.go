package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// controlPlane gives the path of the control plane's binary. It takes minutes to build, so it is kept, under a name
// that says what it was made of.
func controlPlane(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join("controlplane", name))
		if err != nil {
			return "", fmt.Errorf("run this in test/e2e: %w", err)
		}
		sum.Write(text)
	}
	binary := filepath.Join(cache, "longnames-e2e", fmt.Sprintf("controlplane-%x", sum.Sum(nil)[:8]))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	fmt.Println("Building the control plane, which takes some minutes.")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	// Two that build at once do not see each other's halves.
	half, err := os.MkdirTemp(filepath.Dir(binary), "building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := build(ctx, "controlplane", filepath.Join(half, "controlplane"), "."); err != nil {
		return "", err
	}
	return binary, os.Rename(filepath.Join(half, "controlplane"), binary)
}

// goCommand is the Go that make uses, or else that of the path.
func goCommand() string { return cmp.Or(os.Getenv("GO"), "go") }

// shipped is the environment in which what is shipped is compiled.
func shipped() []string { return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off") }

// build compiles with the flags of the Makefile, so that what it has compiled needs not be compiled again.
func build(ctx context.Context, dir, to, pkg string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}, more...)
	cmd := exec.CommandContext(ctx, goCommand(), append(args, "-o", to, pkg)...) //nolint:gosec // what to run is ours
	cmd.Dir = dir
	cmd.Env = shipped()
	if out, err := toEndOf(cmd); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, out)
	}
	return nil
}
