package build

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Several callers that want the same file get one that was made once.
func TestCachedIsMadeOnce(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	const callers = 4
	var made, called atomic.Int32
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			called.Add(1)
			path, err := Cached("thing", "", nil, func(to string) error {
				made.Add(1)
				assert.Eventually(t, func() bool { return called.Load() == callers }, time.Minute, time.Millisecond, "all have called")
				return os.WriteFile(to, []byte("made"), 0o600)
			})
			assert.NoError(t, err)
			text, err := os.ReadFile(path)
			assert.NoError(t, err)
			assert.Equal(t, "made", string(text))
		})
	}
	all.Wait()
	assert.EqualValues(t, 1, made.Load(), "times that it was made")
}
