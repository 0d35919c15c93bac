package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
)

// The clock of a machine is everybody's, so it cannot be set for a test. Instead, CoreDNS is built once more, with a Go
// whose time.Now is ahead by as many hours as a file says; as with a real clock that is set, what measures how much
// time has passed does not notice.
const (
	clock = snapshots + "/clock"
	off   = `package time

import "sync/atomic"

var offHours atomic.Int64

// The runtime calls Now for timers, where nothing may be read.
func init() {
	go func() {
		for ; ; Sleep(100 * Millisecond) {
			hours := []byte("0")
			if fd, err := open("` + clock + `"); err == nil {
				_, _ = read(fd, hours)
				closefd(fd)
			}
			offHours.Store(int64(hours[0]) - '0')
		}
	}()
}
`
)

// newClocked starts that CoreDNS. All of it has to be compiled, which takes minutes if Go has not kept it.
func (s *stage) newClocked() *replica {
	root, err := exec.CommandContext(s.Context(), build.GoCommand(), "env", "GOROOT").Output()
	require.NoError(s, err)
	library, ours := filepath.Join(strings.TrimSpace(string(root)), "src/time"), s.TempDir()
	was, err := os.ReadFile(library + "/time.go")
	require.NoError(s, err)
	const now, then = "sec, nsec, mono := runtimeNow()\n", "sec += 3600*offHours.Load()\n"
	is := strings.ReplaceAll(string(was), now, now+then)
	require.Contains(s, is, then)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		library + "/time.go": ours + "/time.go", library + "/off.go": ours + "/off.go",
	}})
	require.NoError(s, errors.Join(err, os.WriteFile(ours+"/time.go", []byte(is), 0o600), os.WriteFile(ours+"/off.go", []byte(off), 0o600),
		os.WriteFile(ours+"/overlay.json", overlay, 0o600)))
	r := s.newReplica("clocked", false)
	r.binary = cluster.Build(s, "../..", "./cmd/coredns", "-overlay", ours+"/overlay.json")
	return r.readily()
}

// setClock sets the clock off by some hours, and fails unless CoreDNS believes it.
func (s *stage) setClock(hours int) {
	s.runs(s.extra.Host, "sh", "-c", fmt.Sprintf("echo %d >%[2]s.new && mv %[2]s.new %[2]s", hours, clock))
	cluster.Eventually(s, patience, "CoreDNS believes the clock", func() error {
		header, err := s.extra.ready()
		date, _ := http.ParseTime(header.Get("Date"))
		if off := time.Until(date); err == nil && (off-time.Duration(hours)*time.Hour).Abs() > time.Minute {
			err = fmt.Errorf("it is off by %s, want %d h", off, hours)
		}
		return err
	})
}
