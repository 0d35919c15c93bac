package manifest

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// followFolder runs the source of a folder in a bubble, where its ticker has a fake clock.
func followFolder(t *testing.T, f *folder, log kubeapi.Logger, patterns ...string) *follower {
	t.Helper()
	source, err := New(f.config(log, patterns...))
	if err != nil {
		t.Fatal(err)
	}
	sink, _ := follow(t, source)
	time.Sleep(time.Millisecond) // so that no look falls on a step
	synctest.Wait()
	return sink
}

func TestManifestsAreNotReadWhileTheyAreWritten(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": kubetest.PodYAML("a")}), &kubetest.Log{}
	synctest.Test(t, func(t *testing.T) {
		sink := followFolder(t, f, log, "a.yaml")
		file, err := os.Create(f.in("a.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		// In between, the file is empty, broken, and without its second half.
		for line := range strings.Lines(kubetest.PodYAML("b") + "---\n" + kubetest.PodYAML("c")) {
			time.Sleep(pollInterval - 10*time.Millisecond)
			synctest.Wait()
			sink.want(t, a1)
			f.must1(file.WriteString(line))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1, c1)
		log.Want(t)
	})
}

func (f *folder) must1(_ int, err error) {
	f.t.Helper()
	f.must(err)
}

// Editors and scripts may move a file away before they put the new one in its place.
func TestManifestsMissingForAMoment(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": kubetest.PodYAML("a"), "b.yaml": kubetest.PodYAML("b")}), &kubetest.Log{}
	synctest.Test(t, func(t *testing.T) {
		sink := followFolder(t, f, log, "*.yaml")
		f.rename("a.yaml", "a.yaml~")
		time.Sleep(pollInterval) // one look
		synctest.Wait()
		sink.want(t, a1, b1)
		f.write("a.yaml", kubetest.PodYAML("c"))
		sink.reset()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1, c1)
		log.Want(t)
		if got := sink.calls(); got != 1 {
			t.Errorf("want one change, got %d", got)
		}
	})
}

// A mounted ConfigMap is changed by one link that leads to the directory of all files.
func TestManifestsInAConfigMap(t *testing.T) {
	f, log := newFolder(t, nil), &kubetest.Log{}
	for dir, text := range map[string]string{"..one": kubetest.PodYAML("a"), "..two": kubetest.PodYAML("b")} {
		f.mkdir(dir)
		f.write(dir+"/m.yaml", text)
	}
	f.link("..one", "..data")
	f.link("..data/m.yaml", "m.yaml")
	synctest.Test(t, func(t *testing.T) {
		sink := followFolder(t, f, log, "*")
		sink.want(t, a1)
		f.link("..two", "..data_tmp")
		f.rename("..data_tmp", "..data")
		f.remove("..one")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1)
		log.Want(t)
	})
}

func TestManifestsThatDoNotChangeAreNotReadAgain(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": kubetest.PodYAML("a") + "---\n" + kubetest.PodYAML("B")}), &kubetest.Log{}
	synctest.Test(t, func(t *testing.T) {
		sink := followFolder(t, f, log, "a.yaml")
		time.Sleep(time.Hour)
		if got := sink.calls(); got != 1 {
			t.Errorf("want one call, got %d", got)
		}
		f.write("a.yaml", kubetest.PodYAML("a")+"---\n"+kubetest.PodYAML("B")) // the same again
		time.Sleep(2 * time.Second)
		if got := sink.calls(); got != 1 {
			t.Errorf("want one call, got %d", got)
		}
		log.Want(t, "ERROR|Pod prod/B")
	})
}

func TestManyBrokenObjectsAreOneLine(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": kubetest.PodYAML("a") + strings.Repeat("---\n"+kubetest.PodYAML("B"), 1000)}), &kubetest.Log{}
	if _, err := New(f.config(log, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	log.Want(t, "ERROR|document 2|document 6|; and 995 more")
	if got := log.Logged()[0]; len(got) > 3000 || strings.Contains(got, "\n") {
		t.Errorf("want one line of some length, got %d bytes: %.200q", len(got), got)
	}
}
