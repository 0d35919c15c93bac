package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/longnames/longnames/test/e2e/build"
)

// The clock of a machine is everybody's, so it cannot be set for a test. Instead, CoreDNS is built once more, with a Go
// whose time.Now is off by as many seconds as a file says; as with a real clock that is set, what measures how much time
// has passed does not notice.
const (
	clockEnv  = "E2E_CLOCK"
	clockFrom = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	clockTo   = "sec, nsec, mono := runtimeNow()\n\tsec += off()\n\tif mono == 0 {"
	clockFile = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

var offBy = func() *int64 {
	name, _ := syscall.Getenv("` + clockEnv + `")
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		return new(int64)
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return new(int64)
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}()

func off() int64 { return atomic.LoadInt64(offBy) }
`
)

// buildClocked builds that CoreDNS. All of it has to be compiled, which takes minutes if Go has not kept it.
func buildClocked(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, build.GoCommand(), "env", "GOROOT").Output() //nolint:gosec // what to run is ours
	if err != nil {
		return "", err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return "", err
	}
	changed := strings.Replace(string(text), clockFrom, clockTo, 1)
	if changed == string(text) {
		return "", errors.New("time.Now is not what it was")
	}
	overlay := make(map[string]string)
	for name, text := range map[string]string{"time.go": changed, "off.go": clockFile} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay[filepath.Join(source, name)] = path
	}
	text, err = json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		return "", err
	}
	to := filepath.Join(dir, "coredns-clocked")
	return to, build.Go(ctx, toEndOf, "../..", to, "./cmd/coredns", "-overlay", list)
}

// setClock has a clock be off by so much.
func setClock(file string, by time.Duration) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var page [8]byte
	binary.NativeEndian.PutUint64(page[:], uint64(by/time.Second)) //nolint:gosec // it is a number with a sign
	if _, err := f.WriteAt(page[:], 0); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	return nil
}
