package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longnames/longnames/test/e2e/build"
)

// TestNothingIsLeft ends a process that has a machine, which writes files all the time.
func TestNothingIsLeft(t *testing.T) {
	const child = "LONGNAMES_E2E_CHILD"
	if os.Getenv(child) != "" {
		r, err := newRun()
		if err == nil {
			err = build.Go(t.Context(), root, r.file("pause"), "./cluster/pause")
		}
		m, err2 := newMachine(r, "machine", r.file("pause"))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		const write = `i=0; while :; do i=$((i+1)); mkdir -p "/var/lib/$i"; echo >"/var/lib/$i/file"; done`
		if err := m.start("sh", "-c", write); err != nil {
			t.Fatal(err)
		}
		fmt.Println(r.dir)
		select {}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make namespaces")
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNothingIsLeft$")
			cmd.Env, cmd.Stderr = append(os.Environ(), child+"=1"), t.Output()
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			dir := strings.TrimSpace(line)
			groups, err2 := os.ReadFile(filepath.Join(dir, "cgroups"))
			if err := errors.Join(err, err2, cmd.Process.Signal(signal)); err != nil || len(groups) == 0 {
				t.Fatalf("%s has cgroups %q: %v", line, groups, err)
			}
			_ = cmd.Wait()
			for path := range strings.FieldsSeq(dir + " " + string(groups)) {
				Eventually(t, 90*time.Second, path+" is gone", func() error {
					if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
						return errors.Join(errors.New("it is there"), err)
					}
					return nil
				})
			}
		})
	}
}
