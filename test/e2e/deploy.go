package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// deployDir is what users apply.
const deployDir = "../../deploy"

// deployPage says how.
const deployPage = deployDir + "/README.md"

// The images of ours, without a tag: that of the manifests as they are, which nobody can pull, and the one that
// deploy/README.md has users name in its place.
const (
	unpulled   = "image.invalid/longnames/coredns"
	usersImage = "registry.example/platform/coredns"
)

// The addresses that a cluster made by kubeadm has.
const (
	clusterDNS      = "10.96.0.10"
	upstreamAddress = "10.255.0.53" // the nameserver of the nodes, which knows upstreamName alone
	upstreamName    = "example.org"
	upstreamAnswer  = "192.0.2.1"
)

// ownCluster gives the trial a cluster of its own, so that names and addresses can be those that users apply. The pods
// of some namespaces are run as they say.
func (t *trial) ownCluster(namespaces ...string) {
	own, err := t.openWhole(t.ctx, t.name)
	if own != nil {
		t.bed = own
		t.cleanup(own.close)
	}
	t.must(err)
	t.serveAPI()
	t.serveUpstream()
	for _, name := range namespaces {
		t.adopt(name, podPolicy{container: t.contain, servers: []string{upstreamAddress}})
	}
}

// adopt has our kubelet care for the pods of a namespace that is there, or will be.
func (t *trial) adopt(namespace string, policy podPolicy) {
	t.policy(namespace, policy)
	t.kubelet.own(namespace, t)
	t.kubelet.look(namespace)
}

// exactly makes a namespace of this very name, which has the label for clusters' namespaces.
func (t *trial) exactly(namespace string, policy podPolicy) {
	_, err := t.client.CoreV1().Namespaces().Create(t.ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"beam": "true"}},
	}, metav1.CreateOptions{})
	t.must(err)
	t.adopt(namespace, policy)
}

// serveUpstream is the nameserver that nodes have.
func (t *trial) serveUpstream() {
	t.reach(upstreamAddress)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		m := new(dns.Msg).SetReply(question)
		if q := question.Question[0]; q.Name != dns.Fqdn(upstreamName) {
			m.Rcode = dns.RcodeNameError
		} else if q.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(upstreamAnswer),
			}}
		}
		_ = w.WriteMsg(m) // who asks notices
	})
	at := net.JoinHostPort(upstreamAddress, "53")
	l, err := t.plane.listen(at)
	t.must(err)
	var conn net.PacketConn
	t.must(t.plane.do(func() (err error) {
		conn, err = net.ListenPacket("udp", at)
		return err
	}))
	for _, s := range []*dns.Server{{Listener: l, Handler: handler}, {PacketConn: conn, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
		t.cleanup(func() { _ = s.Shutdown() })
	}
}

// apply applies a directory as deploy/README.md says, strictly: a field that the API server does not know is an error.
func (t *trial) apply(dir string, more ...string) {
	t.kubectl(slices.Concat([]string{"apply", "--server-side", "--validate=strict", "-k", dir}, more)...)
}

// overlay gives the directory of one of ours.
func overlay(name string) string { return filepath.Join(deployDir, "overlays", name) }

// ownOverlay writes a kustomization as users would, on top of ours, with files beside it. In its text, DEPLOY is the way
// to our directory.
func (t *trial) ownOverlay(name, text string, files map[string]string) string {
	dir := filepath.Join(t.dir, name)
	t.must(os.MkdirAll(dir, 0o755))
	to, err := filepath.Abs(deployDir)
	t.must(err)
	to, err = filepath.Rel(dir, to)
	t.must(err)
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + strings.ReplaceAll(text, "DEPLOY", to)
	t.must(os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	for name, text := range files {
		t.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// rolledOut waits until all pods of a Deployment are of its newest kind, and ready.
func (t *trial) rolledOut(namespace, deployment string) {
	t.kubectl("rollout", "status", "--timeout=100s", "-n", namespace, "deployment/"+deployment)
}

// replicas is how many pods each Deployment here has.
const replicas = 2

// deployed waits until all pods of a Deployment are there, and ready, and no others.
func (t *trial) deployed(namespace string, selector map[string]string) []corev1.Pod {
	var out []corev1.Pod
	t.soon("all pods are ready, and no others there", func() error {
		list, err := t.client.CoreV1().Pods(namespace).List(t.ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(selector)})
		if err != nil {
			return err
		}
		out = list.Items
		if len(out) != replicas {
			return fmt.Errorf("got %d pods, want %d", len(out), replicas)
		}
		for i := range out {
			if !isReady(&out[i]) || out[i].DeletionTimestamp != nil {
				return fmt.Errorf("%s is not ready", out[i].Name)
			}
		}
		return nil
	})
	return out
}

// asked asks a server over UDP, at port 53 if it names no other, and gives the data of its answer.
func (t *trial) asked(server, name, qtype string) ([]string, error) {
	m, err := t.query(server, name, qtype)
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, fmt.Errorf("%s %s: %s", name, qtype, dns.RcodeToString[m.Rcode])
	}
	return data(m), nil
}

func (t *trial) query(server, name, qtype string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	raw, err := t.plane.dial(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: raw}
	defer conn.Close()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	answer, _, err := new(dns.Client).ExchangeWithConnContext(ctx, m, conn)
	if err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", name, qtype, server, err)
	}
	t.keep(name+" "+qtype+" at "+server, answer.String())
	return answer, nil
}

// answersAt waits until a server answers exactly this.
func (t *trial) answersAt(server, name, qtype string, want ...string) {
	t.within(2*patience, fmt.Sprintf("%s answers %s %s with %s", server, name, qtype, brief(want)), func() error {
		got, err := t.asked(server, name, qtype)
		if err != nil {
			return err
		}
		return same(name+" "+qtype, got, want)
	})
}

// streamPause is how long a stream waits after an answer.
const streamPause = 10 * time.Millisecond

// stream asks a server for addresses all the time, and wants each question to be answered, and with exactly these. What
// it gives ends it, and fails if anything else was answered, or nothing.
func (t *trial) stream(server, name string, want ...string) (stop func()) {
	ctx, cancel := context.WithCancel(t.ctx)
	result := make(chan error, 1)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			begin := time.Now()
			got, err := t.asked(server, name, "A")
			if err == nil {
				err = same(name, got, want)
			}
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("question %d, asked at %s: %w", n+1, begin.Format(clock), err)
				t.note("%v", err)
				result <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(streamPause):
			}
		}
		t.note("%d questions for %s were answered right", n, name)
		result <- nil
	}()
	return func() {
		cancel()
		t.must(<-result)
	}
}

// digsShort runs dig in the network of a pod, with the nameserver that the pod has.
func (t *trial) digsShort(pod corev1.Pod, name, qtype string, want ...string) {
	_, namespace := t.kubelet.process(pod.UID)
	if namespace == "" {
		t.failf("%s does not run", pod.Name)
	}
	text, err := output(t.ctx, namespace, []string{"HOME=" + t.dir}, "/usr/bin/dig", "+short", name, qtype)
	t.must(err)
	t.must(same("dig "+name+" "+qtype, strings.Split(strings.TrimSpace(text), "\n"), want))
	t.note("dig %s %s prints what it should", name, qtype)
}

// srv is what dig +short prints of members.
func srv(port int, hosts ...string) []string {
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		out = append(out, fmt.Sprintf("0 0 %d %s.", port, h))
	}
	return out
}
