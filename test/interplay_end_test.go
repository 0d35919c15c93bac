package test

import (
	"net/http"
	"testing"

	_ "github.com/coredns/coredns/plugin/health"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/fakeapi"
)

// tryHealth asks while CoreDNS waits to end, and changes something meanwhile.
func tryHealth(t *testing.T) {
	messages := listenToLog(t)
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	address := freeAddress(t)
	s := start(t, `.:0 {
		health `+address+` {
			lameduck 3s
		}
		longnames erl.internal {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			hold 0
		}
	}`)
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	if got, _ := httpGet(t, "http://"+address+"/health"); got != http.StatusOK {
		t.Errorf("health: got %d, want 200", got)
	}
	ended := make(chan []error)
	go func() { ended <- s.instance.ShutdownCallbacks() }()
	eventually(t, "CoreDNS goes into lameduck mode", func() bool {
		return len(messages.lines("[INFO] plugin/health: Going into lameduck mode")) > 0
	})
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	api.Put(slice(endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2")
	for _, err := range <-ended {
		t.Errorf("shutdown: %v", err)
	}
	api.WaitForWatches(0)
	s.wants("erl.internal.", "TXT", "app@10.0.0.2")
}

func tryReady(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Fail(http.StatusForbidden, metav1.StatusReasonForbidden, "no")
	address := freeAddress(t)
	s := start(t, ".:0 {\nready "+address+corefile(api, "startup_timeout 10ms")[len(".:0 {"):])
	if got, body := httpGet(t, "http://"+address+"/ready"); got != http.StatusServiceUnavailable || body != "longnames" {
		t.Errorf("before the members are known: got %d %q, want 503 and who is not ready", got, body)
	}
	api.Recover()
	s.soon("erl.internal.", "TXT", "app@10.0.0.1")
	if got, body := httpGet(t, "http://"+address+"/ready"); got != http.StatusOK {
		t.Errorf("once they are: got %d %q, want 200", got, body)
	}
	api.Stop()
	if got, body := httpGet(t, "http://"+address+"/ready"); got != http.StatusOK {
		t.Errorf("while the API server is away: got %d %q, want 200", got, body)
	}
}
