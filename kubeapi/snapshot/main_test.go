package snapshot

import (
	"testing"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }
