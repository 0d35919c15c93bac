package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// asNobody does something with the rights to files of a user that owns none, even if root
// runs the test.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Such rights are a thread's. This one ends with the goroutine, as it stays locked.
		runtime.LockOSThread()
		const nobody = 65534
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		if id, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); os.Geteuid() == 0 && id != nobody {
			t.Errorf("user for files: want %d, got %d", nobody, id)
			return
		}
		do()
	}()
	<-done
}

// allow sets the rights to a directory of t.TempDir, which lies in one that is the user's alone.
func allow(t *testing.T, dir string, mode fs.FileMode) {
	t.Helper()
	for path, mode := range map[string]fs.FileMode{dir: mode, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// The directory is as likely as the file to be forbidden.
func TestDirectoryThatMayNotBeWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	allow(t, filepath.Dir(path), 0o555)
	asNobody(t, func() { kubetest.WantError(t, put(path, "x"), "open: permission denied") })
	wantFiles(t, path)
}

func TestSnapshotThatMayNotBeRead(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	if err := os.WriteFile(f.path, nil, 0); err != nil {
		t.Fatal(err)
	}
	allow(t, filepath.Dir(f.path), 0o755)
	asNobody(t, func() {
		_, err := f.read()
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("want %v, got %v", fs.ErrPermission, err)
		}
		kubetest.WantError(t, err, "open "+f.path) // and not because of a directory above
	})
}
