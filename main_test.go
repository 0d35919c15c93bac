package longnames

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails if a test leaves a goroutine behind, as a reload that does not stop a
// watch would.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
