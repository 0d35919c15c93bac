package test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/test/fakeapi"
)

// slice is the EndpointSlice of a Service web in namespace prod.
func slice(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "web-abcde", Namespace: "prod", Labels: map[string]string{
			"app": "web", discoveryv1.LabelServiceName: "web",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   endpoints,
	}
}

func endpoint(pod, ip string, ready bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses:  []string{ip},
		Hostname:   &pod,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: pod, UID: types.UID(pod)},
	}
}

func corefile(api *fakeapi.Server, more string) string {
	return `.:0 {
		longnames erl.internal {
			endpoint ` + api.URL + `
			namespaces prod
			selector app=web
			basename app
			` + more + `
		}
	}`
}

func TestAnswersFollowTheAPI(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, "hold 0"))
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")

	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")

	api.Put(slice(endpoint("web-0", "10.0.0.1", false), endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.2")

	api.Put(slice(endpoint("web-0", "10.0.0.1", false), endpoint("web-1", "10.0.0.2", false)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")

	api.Delete(slice())
	s.soon("erl.internal.", "TXT")
	if got := len(api.Requests(fakeapi.Verb("watch"))); got != 1 {
		t.Errorf("watches: got %d, want 1 for all of that", got)
	}
}

func TestTheLastKnownMembersStay(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	s := start(t, corefile(api, "fallthrough"))
	faults := map[string]func(){
		"forbidden": func() { api.Fail(http.StatusForbidden, metav1.StatusReasonForbidden, "no"); api.Cut() },
		"broken":    func() { api.Fail(http.StatusInternalServerError, metav1.StatusReasonInternalError, "no"); api.Cut() },
		"stopped":   func() { api.Stop() },
		"hanging":   func() { api.Hang() },
	}
	for name, fault := range faults {
		t.Run(name, func(_ *testing.T) {
			fault()
			for range 50 {
				s.wants("erl.internal.", "TXT", "app@10.0.0.1")
			}
			api.Recover()
			api.Resume()
			if name == "stopped" {
				api.Start()
			}
			api.Compact()
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
		})
	}
	api.Put(slice(endpoint("web-0", "10.0.0.1", true), endpoint("web-1", "10.0.0.2", true)))
	s.soon("erl.internal.", "TXT", "app@10.0.0.1", "app@10.0.0.2")
}

func TestServerFailureUntilTheFirstSync(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Fail(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "not yet")
	dir := t.TempDir()
	write(t, dir, "pods.yaml", podManifest("a", "10.0.0.1"))
	health := freeAddress(t)
	s := start(t, `.:0 {
		ready `+health+`
		longnames erl.internal {
			endpoint `+api.URL+`
			namespaces prod
			selector app=web
			basename app
			startup_timeout 10ms
			fallthrough
		}
		longnames files.internal {
			manifests `+dir+`/pods.yaml
			lookup pods
			selector app=web
			basename app
		}
		whoami
	}`)
	for _, name := range []string{"erl.internal.", "nobody.erl.internal."} {
		if got := s.rcode(name, "SRV"); got != "SERVFAIL" {
			t.Errorf("%s: got %s, want SERVFAIL", name, got)
		}
	}
	s.wants("files.internal.", "TXT", "app@10.0.0.1")
	if got := status(t, health); got != http.StatusServiceUnavailable {
		t.Errorf("ready: got %d, want 503 as long as one block waits", got)
	}
	api.Recover()
	s.soon("erl.internal.", "TXT", "app@10.0.0.1")
	if got := status(t, health); got != http.StatusOK {
		t.Errorf("ready: got %d, want 200", got)
	}
	api.Stop()
	if got := status(t, health); got != http.StatusOK {
		t.Errorf("ready while the API is away: got %d, want 200", got)
	}
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// status is what the ready plugin says.
func status(t *testing.T, address string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/ready")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestModesFromTheAPI(t *testing.T) {
	api := fakeapi.New(t)
	api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	api.Put(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "prod", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Hostname: "web-0", Subdomain: "web"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
	})
	want := map[string]string{
		"ip":       "app@10.0.0.1",
		"dns":      "app@10-0-0-1.prod.pod.cluster.local",
		"hostname": "app@web-0.web.prod.svc.cluster.local",
	}
	for _, lookup := range []string{"endpoints", "pods"} {
		for mode, longname := range want {
			t.Run(lookup+" "+mode, func(t *testing.T) {
				s := start(t, corefile(api, "lookup "+lookup+"\n mode "+mode))
				s.wants("erl.internal.", "TXT", longname)
				s.wants("erl.internal.", "SRV", longname[len("app@"):]+".")
				s.wants("erl.internal.", "A", "10.0.0.1")
			})
		}
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	certs := fakeapi.New(t, fakeapi.WithClientCert())
	tokens := fakeapi.New(t, fakeapi.WithTLS(), fakeapi.WithToken("secret"))
	account := filepath.Join(dir, "account")
	if err := os.Mkdir(account, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, api := range []*fakeapi.Server{certs, tokens} {
		api.Put(slice(endpoint("web-0", "10.0.0.1", true)))
	}
	cert, key, ca := certs.WriteTLS(dir)
	tokens.WriteServiceAccount(account, "secret", "prod")
	kubeconfig := tokens.WriteKubeconfig(dir, "prod")
	tests := map[string]string{
		"tls":             "endpoint " + certs.URL + "\n namespaces prod\n tls " + cert + " " + key + " " + ca,
		"service_account": "endpoint " + tokens.URL + "\n service_account " + account,
		"kubeconfig":      "kubeconfig " + kubeconfig,
		"context":         "kubeconfig " + kubeconfig + " fakeapi",
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			s := start(t, ".:0 {\n longnames erl.internal {\n selector app=web\n basename app\n "+options+"\n }\n}")
			s.wants("erl.internal.", "TXT", "app@10.0.0.1")
		})
	}
}

// pod is one that runs, in namespace prod.
func pod(name, ip string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "prod", Labels: map[string]string{"app": "web"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}
