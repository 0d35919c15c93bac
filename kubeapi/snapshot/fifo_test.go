//go:build unix

package snapshot

import (
	"syscall"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// Opening a FIFO waits for the other end.
func TestSnapshotThatIsAFIFO(t *testing.T) {
	log := &kubetest.Log{}
	f := fileOf(configOf(t, log))
	if err := syscall.Mkfifo(f.path, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.load() != nil {
		t.Error("want it not to be used")
	}
	log.Want(t, "WARNING snapshot: |members.json is no regular file")
	kubetest.WantError(t, f.write(t.Context(), &contents{}, nil), "members.json is no regular file")
	wantFiles(t, f.path, "members.json")
}
