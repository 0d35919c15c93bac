//go:build unix

package kubeapi

import (
	"syscall"
	"testing"
)

// Whoever opens a FIFO waits for the other end.
func TestSnapshotThatIsAFIFO(t *testing.T) {
	log := &recordingLog{}
	f := snapshotFileOf(snapshotConfig(t, log))
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.load(); ok {
		t.Error("want it not to be used")
	}
	log.want(t, "WARNING snapshot: |members.json is no regular file")
	wantError(t, f.write(t.Context(), &snapshot{}), "members.json is no regular file")
	wantFiles(t, f.path, "members.json")
}
