package kubeapi

import "testing"

func TestMonitorMayBeMissing(t *testing.T) {
	m := monitorOr(nil)
	m.Heard()
	m.Requested("list", 200)
	m.WatchEnded(WatchClosed)
	m.SnapshotWritten(nil)
	own := &recordingMonitor{}
	if got := monitorOr(own); got != own {
		t.Errorf("want the one that is configured, got %v", got)
	}
}
