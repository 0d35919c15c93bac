package kubeapi

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// follow runs the source of a folder in a bubble, where its ticker has a fake clock.
func follow(t *testing.T, f *folder, log Logger, patterns ...string) *recordingSink {
	t.Helper()
	source, err := New(f.config(log, patterns...))
	if err != nil {
		t.Fatal(err)
	}
	sink := newSink(t)
	start(t, source, sink)
	time.Sleep(time.Millisecond) // so that no look falls on a step
	synctest.Wait()
	return sink
}

func TestManifestsAreNotReadWhileTheyAreWritten(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": podYAML("a")}), &recordingLog{}
	synctest.Test(t, func(t *testing.T) {
		sink := follow(t, f, log, "a.yaml")
		file, err := os.Create(f.in("a.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		// In between, the file is empty, broken, and without its second half.
		for line := range strings.Lines(podYAML("b") + "---\n" + podYAML("c")) {
			time.Sleep(pollInterval - 10*time.Millisecond)
			synctest.Wait()
			sink.want(t, a1)
			f.must1(file.WriteString(line))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1, c1)
		log.want(t)
	})
}

func (f *folder) must1(_ int, err error) {
	f.t.Helper()
	f.must(err)
}

// Editors and scripts may move a file away before they put the new one in its place.
func TestManifestsMissingForAMoment(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": podYAML("a"), "b.yaml": podYAML("b")}), &recordingLog{}
	synctest.Test(t, func(t *testing.T) {
		sink := follow(t, f, log, "*.yaml")
		f.rename("a.yaml", "a.yaml~")
		time.Sleep(pollInterval) // one look
		synctest.Wait()
		sink.want(t, a1, b1)
		f.write("a.yaml", podYAML("c"))
		sink.reset()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1, c1)
		log.want(t)
		if got := len(sink.calls()); got != 1 {
			t.Errorf("want one change, got %d", got)
		}
	})
}

// A mounted ConfigMap is changed by one link that leads to the directory of all files.
func TestManifestsInAConfigMap(t *testing.T) {
	f, log := newFolder(t, nil), &recordingLog{}
	for dir, text := range map[string]string{"..one": podYAML("a"), "..two": podYAML("b")} {
		f.mkdir(dir)
		f.write(dir+"/m.yaml", text)
	}
	f.link("..one", "..data")
	f.link("..data/m.yaml", "m.yaml")
	synctest.Test(t, func(t *testing.T) {
		sink := follow(t, f, log, "*")
		sink.want(t, a1)
		f.link("..two", "..data_tmp")
		f.rename("..data_tmp", "..data")
		f.remove("..one")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		sink.want(t, b1)
		log.want(t)
	})
}

func TestManifestsThatDoNotChangeAreNotReadAgain(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": podYAML("a") + "---\n" + podYAML("B")}), &recordingLog{}
	synctest.Test(t, func(t *testing.T) {
		sink := follow(t, f, log, "a.yaml")
		time.Sleep(time.Hour)
		if got := len(sink.calls()); got != 1 {
			t.Errorf("want one call, got %d", got)
		}
		f.write("a.yaml", podYAML("a")+"---\n"+podYAML("B")) // the same again
		time.Sleep(2 * time.Second)
		if got := len(sink.calls()); got != 1 {
			t.Errorf("want one call, got %d", got)
		}
		log.want(t, "ERROR|Pod prod/B")
	})
}

func TestManyBrokenObjectsAreOneLine(t *testing.T) {
	f, log := newFolder(t, map[string]string{"a.yaml": podYAML("a") + strings.Repeat("---\n"+podYAML("B"), 1000)}), &recordingLog{}
	if _, err := New(f.config(log, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	log.want(t, "ERROR|document 2|document 6|; and 995 more")
	if got := log.said()[0]; len(got) > 3000 || strings.Contains(got, "\n") {
		t.Errorf("want one line of some length, got %d bytes: %.200q", len(got), got)
	}
}
