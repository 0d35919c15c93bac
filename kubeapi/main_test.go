package kubeapi

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that outlive the tests. client-go stops the one that
// watches over a client's certificate only once the garbage collector has found that
// nobody uses the client any more.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // whose workers do not wait
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
