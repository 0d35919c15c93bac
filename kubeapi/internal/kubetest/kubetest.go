// Package kubetest has what the tests of kubeapi and of the packages below it share.
package kubetest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, and looks for goroutines that outlive them. client-go stops the one that
// watches over a client's certificate only once the garbage collector has found that the client is gone.
func Main(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // workers of a fuzz target do not wait
		if err := flag.Set("test.parallel", "16"); err != nil { // tests mostly wait for a back-off
			panic(err)
		}
	}
	code := m.Run()
	if code == 0 {
		var err error
		for range 10 {
			runtime.GC()
			if err = goleak.Find(); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Patience is enough for anything that happens soon, on a machine that is slow.
const Patience = 30 * time.Second

// Eventually polls until ok; got is the state so far.
func Eventually(t *testing.T, poll func() (ok bool, got string)) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		ok, got := poll()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", Patience, got)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// WantError wants an error that has the text, or none if the text is empty.
func WantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("want no error, got %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("want an error with %q, got %v", want, err)
	}
}
