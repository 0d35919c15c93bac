package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// recordingDisk keeps when something was written, counted from its making.
type recordingDisk struct {
	start time.Time
	takes time.Duration

	mu     sync.Mutex
	err    error
	writes []time.Duration
	last   *contents
}

func newDisk() *recordingDisk { return &recordingDisk{start: time.Now()} }

func (d *recordingDisk) write(_ context.Context, s *contents, _ *pacer) error {
	at := time.Since(d.start)
	time.Sleep(d.takes)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes = append(d.writes, at)
	if d.err == nil {
		d.last = s
	}
	return d.err
}

// fail lets all writes fail from now on, or none.
func (d *recordingDisk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// want wants writes at just these seconds.
func (d *recordingDisk) want(t *testing.T, seconds ...int) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	isAt := func(at time.Duration, second int) bool { return at == time.Duration(second)*time.Second }
	if !slices.EqualFunc(d.writes, seconds, isAt) {
		t.Errorf("writes: want at seconds %v, got %v", seconds, d.writes)
	}
}

// outcomes is a monitor that keeps what became of writes.
type outcomes struct {
	kubeapi.Monitor
	all []error
}

func (o *outcomes) SnapshotWritten(err error) { o.all = append(o.all, err) }

func writerOn(d *recordingDisk, log kubeapi.Logger) *writer {
	w := newWriter(&file{path: "/f", log: log}, func() *contents { return &contents{} }, &outcomes{})
	w.write = d.write
	return w
}

// change calls Apply.
func change(w *writer) { w.Apply([]kubeapi.Change{{New: &kubeapi.Object{}}}) }

func TestNothingIsWrittenBeforeTheFirstSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, log := newDisk(), &kubetest.Log{}
		w := writerOn(disk, log)
		stop := running(t, w)
		change(w)
		w.Restored()
		change(w)
		time.Sleep(time.Hour)
		stop()
		w.flush(t.Context())
		disk.want(t)
		log.Want(t)
	})
}

// running runs the writer until stop is called, or the test ends.
func running(t *testing.T, w *writer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func TestChangesAreWrittenOnceASecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk()
		w := writerOn(disk, &kubetest.Log{})
		running(t, w)
		w.Synced()
		disk.want(t, 0)
		for range 250 { // 2.5 s of changes
			time.Sleep(10 * time.Millisecond)
			change(w)
		}
		disk.want(t, 0, 1, 2)
		time.Sleep(7500 * time.Millisecond)
		disk.want(t, 0, 1, 2, 3)
		change(w)
		disk.want(t, 0, 1, 2, 3, 10)
		time.Sleep(time.Hour)
		disk.want(t, 0, 1, 2, 3, 10)
	})
}

// Old contents that are written late must not look newer than what others have seen meanwhile. What changed twice within
// a second has had the serial of the next one.
func TestContentsAreOfTheSecondOfTheirLastChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk()
		disk.takes = 3 * time.Second
		w := writerOn(disk, &kubetest.Log{})
		stop := running(t, w)
		w.Synced()
		for _, tc := range []struct {
			change, written, changed time.Duration // since the start
		}{
			{1 * time.Second, 63 * time.Second, 2 * time.Second}, // the disk is busy
			{100 * time.Second, 126 * time.Second, 101 * time.Second},
			{200 * time.Second, 200 * time.Second, 200 * time.Second}, // it is idle
		} {
			time.Sleep(time.Until(disk.start.Add(tc.change)))
			change(w)
			time.Sleep(time.Until(disk.start.Add(tc.written + disk.takes)))
			synctest.Wait()
			disk.mu.Lock()
			written, changed := disk.last.written.Sub(disk.start), disk.last.changed.Sub(disk.start)
			disk.mu.Unlock()
			if written != tc.written || changed != tc.changed {
				t.Errorf("change at %v: got written at %v, changed by %v; want %v and %v", tc.change, written, changed, tc.written, tc.changed)
			}
		}
		stop()
	})
}

func TestPausesAreLongAfterALongWrite(t *testing.T) {
	for _, tc := range []struct {
		takes time.Duration
		want  time.Duration // from one write to the next
	}{
		{40 * time.Millisecond, 1040 * time.Millisecond},
		{100 * time.Millisecond, 2100 * time.Millisecond},
		{3 * time.Second, 63 * time.Second},
		{time.Hour, time.Hour + 5*time.Minute}, // a disk that hung is no large snapshot
	} {
		t.Run(tc.takes.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk()
				disk.takes = tc.takes
				w := writerOn(disk, &kubetest.Log{})
				running(t, w)
				w.Synced()
				synctest.Wait() // the first write has begun
				change(w)
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if got := disk.writes; len(got) != 2 || got[1] != tc.want {
					t.Errorf("want two writes, %v apart, got %v", tc.want, got)
				}
			})
		})
	}
}

func TestWritingIsTriedAgainUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, log := newDisk(), &kubetest.Log{}
		disk.fail(errFull)
		w := writerOn(disk, log)
		monitor := &outcomes{}
		w.monitor = monitor
		running(t, w)
		w.Synced()
		time.Sleep(130 * time.Second)
		disk.want(t, 0, 1, 3, 7, 15, 31, 63, 123)
		disk.fail(os.ErrPermission)
		time.Sleep(60 * time.Second)
		disk.fail(nil)
		time.Sleep(60 * time.Second)
		disk.want(t, 0, 1, 3, 7, 15, 31, 63, 123, 183, 243)
		log.Want(t,
			"ERROR snapshot: cannot write /f: disk is full; it is tried again",
			"ERROR snapshot: cannot write /f: permission denied; it is tried again",
			"INFO snapshot: written again after 4m3s")
		want := slices.Concat(slices.Repeat([]error{errFull}, 8), []error{os.ErrPermission, nil})
		if !slices.Equal(monitor.all, want) {
			t.Errorf("monitor: want %v, got %v", want, monitor.all)
		}

		disk.fail(errFull) // from the beginning again
		change(w)
		time.Sleep(10 * time.Second)
		disk.want(t, 0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 250, 251, 253, 257)
		if got := log.Logged(); len(got) != 4 {
			t.Errorf("want the problem logged again, got %q", got)
		}
	})
}

func TestTheEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*writer)
		want []int // seconds of writes
	}{
		{"nothing new", func(*writer) {}, []int{0}},
		{"flush of nothing new", func(w *writer) { w.flush(context.Background()) }, []int{0}},
		{"a change", change, []int{0}},
		{"flush of a change", func(w *writer) { change(w); w.flush(context.Background()) }, []int{0, 5}},
		{"flush twice", func(w *writer) {
			change(w)
			w.flush(context.Background())
			w.flush(context.Background())
		}, []int{0, 5}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newDisk()
				w := writerOn(disk, &kubetest.Log{})
				stop := running(t, w)
				w.Synced()
				time.Sleep(5 * time.Second)
				stop()
				tc.do(w)
				time.Sleep(time.Minute)
				disk.want(t, tc.want...)
			})
		})
	}
}

func TestFlushOfWhatCouldNotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, log := newDisk(), &kubetest.Log{}
		disk.fail(errFull)
		w := writerOn(disk, log)
		stop := running(t, w)
		w.Synced()
		time.Sleep(5 * time.Second)
		stop()
		disk.fail(nil)
		w.flush(t.Context())
		disk.want(t, 0, 1, 3, 5)
		log.Want(t, "ERROR|disk is full", "INFO snapshot: written again after 5s")
	})
}

// A predecessor that could not be replaced goes on as if nothing had been.
func TestRunGoesOnFromWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newDisk()
		w := writerOn(disk, &kubetest.Log{})
		stop := running(t, w)
		w.Synced()
		time.Sleep(5 * time.Second)
		stop()
		change(w)
		time.Sleep(5 * time.Second)
		disk.want(t, 0)
		running(t, w)
		disk.want(t, 0, 10)
	})
}

func TestAWriteIsGivenUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, log := newDisk(), &kubetest.Log{}
		w := writerOn(disk, log)
		monitor := &outcomes{}
		w.monitor = monitor
		w.write = func(ctx context.Context, _ *contents, _ *pacer) error {
			<-ctx.Done()
			return ctx.Err()
		}
		stop := running(t, w)
		w.Synced()
		time.Sleep(time.Second)
		stop()
		log.Want(t)
		if len(monitor.all) > 0 {
			t.Errorf("monitor: want nothing, got %v", monitor.all)
		}
		w.write = disk.write
		w.flush(t.Context())
		disk.want(t, 1)
	})
}

// The end of the writer can be waited for, but need not be.
func TestADiskThatHangsHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writerOn(newDisk(), &kubetest.Log{})
		release := make(chan struct{})
		w.write = func(context.Context, *contents, *pacer) error {
			<-release
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx)
		}()
		w.Synced()
		synctest.Wait()
		for range 1000 {
			change(w)
		}
		cancel()
		select {
		case <-done:
			t.Error("want it to be held up")
		case <-time.After(time.Minute):
		}
		close(release)
		<-done
	})
}

func TestSnapshotFollowsItsSource(t *testing.T) {
	t.Parallel()
	f := fileOf(configOf(t, &kubetest.Log{}))
	var mu sync.Mutex
	objects := knownPods(t, "c", "a", "b")
	list := func() *contents {
		mu.Lock()
		defer mu.Unlock()
		return &contents{objects: slices.Clone(objects)}
	}
	w := newWriter(f, list, &outcomes{})
	running(t, w)
	var wg sync.WaitGroup
	w.Synced()
	for i := range 20 {
		wg.Go(func() {
			more := knownPods(t, fmt.Sprint("d", i))
			mu.Lock()
			defer mu.Unlock()
			objects = append(objects, more...)
			w.Apply([]kubeapi.Change{{New: more[0]}})
		})
	}
	wg.Wait()
	kubetest.Eventually(t, func() (bool, string) {
		s, err := f.read()
		if err != nil {
			return false, err.Error()
		}
		want := list()
		slices.SortFunc(want.objects, kubeapi.CompareObjects)
		return equalObjects(s.objects, want.objects), fmt.Sprintf("want %d objects in order, got %+v", len(want.objects), s)
	})
}

func TestSnapshotIsTheSameInWhateverOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fileOf(configOf(t, &kubetest.Log{}))
		var texts []string
		for _, names := range [][]string{{"a", "b", "c"}, {"c", "a", "b"}, {"b", "c", "a"}} {
			objects := knownPods(t, names...)
			for _, o := range objects {
				o.Version = 1
			}
			before := slices.Clone(objects)
			w := newWriter(f, func() *contents { return &contents{objects: objects} }, &outcomes{})
			w.Synced()
			w.flush(t.Context())
			if !slices.Equal(objects, before) {
				t.Error("want the list of the source left as it is")
			}
			text, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
		if len(slices.Compact(texts)) != 1 {
			t.Errorf("want the same each time, got %q", texts)
		}
	})
}

func TestMonitorIsToldOfAWrite(t *testing.T) {
	monitor := &outcomes{}
	c := configOf(t, &kubetest.Log{})
	w := newWriter(fileOf(c), func() *contents { return &contents{} }, monitor)
	w.Synced()
	w.flush(t.Context())
	if err := errors.Join(monitor.all...); len(monitor.all) != 1 || err != nil {
		t.Errorf("want one success, got %v", monitor.all)
	}
}

func TestWritesAreSpreadButForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writerOn(newDisk(), &kubetest.Log{})
		var paced []bool
		w.write = func(_ context.Context, _ *contents, p *pacer) error {
			paced = append(paced, p != nil)
			return nil
		}
		stop := running(t, w)
		w.Synced()
		synctest.Wait()
		change(w)
		stop()
		w.flush(t.Context())
		if want := []bool{true, false}; !slices.Equal(paced, want) {
			t.Errorf("got writes that are spread %t, want %t", paced, want)
		}
	})
}
