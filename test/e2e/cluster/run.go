package cluster

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// run has what a cluster would leave: a directory, and empty cgroups. A process removes them that outlives this one, so
// that it does not matter how this one ends.
type run struct {
	dir     string
	janitor *exec.Cmd
	end     io.WriteCloser // its standard input
	said    strings.Builder
}

// janitor removes what there is once its standard input ends. What has ended with this process takes a moment for that: a
// cgroup can be removed when the last one is gone, and nobody writes to the directory any more then. All but logs are
// removed if it is told to keep these.
const janitor = `
read -r keep || keep=
cd /
cgroups() {
	[ -e "$DIR/cgroups" ] || return 0
	for group in $(cat "$DIR/cgroups"); do [ ! -d "$group" ] || find "$group" -depth -type d -delete || return; done
}
files() {
	if [ -n "$keep" ]; then rm -rf "$DIR"/*/var/lib && find "$DIR" -type f ! -name '*.log' -delete; else rm -rf "$DIR"; fi
}
status=0
for each in cgroups files; do
	for _ in $(seq 300); do said=$($each 2>&1) && continue 2; sleep 0.1; done
	echo "$said"
	status=1
done
exit $status
`

func newRun() (*run, error) {
	r := new(run)
	var err error
	if r.dir, err = os.MkdirTemp("", "longnames-cluster-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(r.dir, 0o755); err != nil { // containers that are not root's have to pass
		return nil, err
	}
	r.janitor = exec.Command("sh", "-uc", janitor)
	r.janitor.Env = append(os.Environ(), "DIR="+r.dir)
	r.janitor.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C does not reach it
	r.janitor.Stdout, r.janitor.Stderr = &r.said, &r.said
	if r.end, err = r.janitor.StdinPipe(); err != nil {
		return nil, err
	}
	return r, r.janitor.Start()
}

// file returns the path of a file in the directory.
func (r *run) file(name ...string) string { return filepath.Join(append([]string{r.dir}, name...)...) }

// close removes all, or all but logs. No machine may run any more.
func (r *run) close(keepLogs bool) error {
	if keepLogs {
		fmt.Fprintln(r.end, "keep")
	}
	r.end.Close()
	if err := r.janitor.Wait(); err != nil {
		return fmt.Errorf("what the cluster leaves is not removed: %w: %s", err, &r.said)
	}
	return nil
}
