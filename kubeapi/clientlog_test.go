package kubeapi

import (
	"errors"
	"slices"
	"testing"

	"k8s.io/klog/v2"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

func TestClientLog(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		log  func(klog.Logger)
		want []string
	}{
		{"failed requests are not its to tell", func(l klog.Logger) { l.Error(broken, "Failed to watch", "type", "Pod") }, []string{"DEBUG Failed to watch: broken type=Pod"}},
		{"information", func(l klog.Logger) { l.Info("Warning: watch ended", "err", broken) }, []string{"DEBUG Warning: watch ended err=broken"}},
		{"details", func(l klog.Logger) { l.V(4).Info("Listing") }, nil},
		{"odd pairs", func(l klog.Logger) { l.Info("odd", "key", 1, "rest") }, []string{"DEBUG odd key=1"}},
		{"other errors, once each", func(l klog.Logger) {
			for i := range 3 {
				l.WithName("x").WithValues("y", 1).Error(nil, "Unexpected object", "number", i)
			}
			l.Error(nil, "Unknown event")
		}, []string{
			"WARNING Unexpected object number=0 (further ones are not logged)",
			"WARNING Unknown event (further ones are not logged)",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			log := &kubetest.Log{}
			tc.log(klog.New(&clientLog{log: log}))
			if !slices.Equal(log.Lines(), tc.want) {
				t.Errorf("\nwant %q\n got %q", tc.want, log.Lines())
			}
		})
	}
}
