package manifest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// follower is a sink that knows the objects of a source.
type follower struct {
	mu      sync.Mutex
	objects map[string]*kubeapi.Object // by namespace/name
	applied int                        // calls of Apply since reset
	synced  int
}

// follow joins a source, which is left when stop is called, or the test ends.
func follow(t *testing.T, source *kubeapi.Source) (f *follower, stop func()) {
	t.Helper()
	f = &follower{objects: make(map[string]*kubeapi.Object)}
	if !source.Join(f) {
		t.Fatal("the source has ended")
	}
	stop = func() { <-source.Leave(f) }
	t.Cleanup(stop)
	return f, stop
}

func (f *follower) Apply(changes []kubeapi.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied++
	for _, c := range changes {
		if c.New == nil {
			delete(f.objects, c.Old.Namespace+"/"+c.Old.Name)
		} else {
			f.objects[c.New.Namespace+"/"+c.New.Name] = c.New
		}
	}
}

func (*follower) Restored() {}

func (f *follower) Synced() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced++
}

func (f *follower) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = 0
}

// calls returns the calls of Apply since reset.
func (f *follower) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied
}

// members returns the current ones, as "namespace/name address,address".
func (f *follower) members() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	texts := make([]string, 0, len(f.objects))
	for name, o := range f.objects {
		addresses := make([]string, 0, len(o.Members))
		for _, m := range o.Members {
			addresses = append(addresses, m.Address.String())
		}
		texts = append(texts, name+" "+strings.Join(addresses, ","))
	}
	slices.Sort(texts)
	return texts
}

func (f *follower) want(t *testing.T, want ...string) {
	t.Helper()
	if got := f.members(); !slices.Equal(got, want) {
		t.Errorf("members:\nwant %q\n got %q", want, got)
	}
}

// eventually waits for the first sync and for just these members.
func (f *follower) eventually(t *testing.T, want ...string) {
	t.Helper()
	kubetest.Eventually(t, func() (bool, string) {
		got := f.members()
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.synced > 0 && slices.Equal(got, want), fmt.Sprintf("members, synced %d times:\nwant %q\n got %q", f.synced, want, got)
	})
}

func (f *follower) wantSynced(t *testing.T, want int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.synced != want {
		t.Errorf("synced: want %d times, got %d", want, f.synced)
	}
}
