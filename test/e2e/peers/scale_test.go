package peers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// How large a large Kubernetes cluster is: ten times as many pods as Kubernetes itself is made for.
const (
	scaleApps     = 100_000
	scaleTogether = 10
	scaleMembers  = scaleApps * scaleTogether
	scaleRate     = 1000 // changes a second
	scaleAsked    = 10_000
)

// measureScale is about a million members in 100 000 clusters, which no API server could hold here: they are made up.
func (r *report) measureScale(t *testing.T) {
	b := newBed(t)
	idle := b.newMadeUp(0).server
	idle.start()
	idleLive := idle.heap(3)
	idle.stop()

	m := b.newMadeUp(scaleMembers)
	s, rounds := m.server, min(*rounds, 3)
	for range rounds {
		if s.process != nil {
			s.stop()
		}
		begin := time.Now()
		s.start()
		s.knows(m.name(scaleMembers-1), "A", scaleTogether)
		s.add("known", time.Since(begin).Seconds())
		s.add("CPU", s.cpu())
		s.add("RSS", s.peakRSS()/megabyte)
		s.add("live", (s.heap(3)-idleLive)/scaleMembers)
	}
	// What a change of any cluster costs comes before all questions: they leave garbage to be collected.
	share := func() float64 { // of a core
		before, begin := s.cpu(), time.Now()
		time.Sleep(*load)
		return (s.cpu() - before) / time.Since(begin).Seconds()
	}
	for range rounds {
		still := share()
		end := b.meanwhile(scaleRate, func(int) error { return m.move(rand.N(scaleMembers-scaleTogether), b.address()) })
		busy := share()
		rate := end()
		s.add("alone", rate)
		s.add("change", (busy-still)/rate*1e6)
	}
	// Then the very clusters change that are asked about, so that records have to be made again; in turns with questions alone.
	asked := make([]int, scaleAsked)
	quiet := &loaded{server: s, network: "udp", edns: 4096, answers: scaleTogether, figures: make(figures)}
	var questions []string
	for i := range asked {
		asked[i] = rand.N(scaleMembers - scaleTogether)
		questions = append(questions, m.name(asked[i])+" SRV")
		quiet.size += float64(len(quiet.verified(questions[i]))) / scaleAsked
	}
	quiet.questions = strings.Join(questions, "\n")
	busy := *quiet
	busy.figures = make(figures)
	for round := range rounds {
		quiet.dnsperf()
		end := b.meanwhile(scaleRate, func(int) error { return m.move(asked[rand.N(scaleAsked)], b.address()) })
		busy.dnsperf()
		s.figures["delay"] = append(s.figures["delay"], s.delays("udp", m.name(scaleMembers-1), *writes,
			func(to netip.Addr) error { return m.move(scaleMembers-1, to) })...)
		s.add("changes", end())
		s.add("share", busy.figures["rate"][round]/quiet.figures["rate"][round])
	}
	for _, line := range [][2]string{
		{"time until all are known", fmt.Sprintf("%.1f s", s.median("known"))},
		{"CPU time of CoreDNS until then", fmt.Sprintf("%.1f s", s.median("CPU"))},
		{"peak RSS until then", fmt.Sprintf("%.0f MB", s.median("RSS"))},
		{"live heap a member", fmt.Sprintf("%.0f B", s.median("live"))},
		{fmt.Sprintf("CPU time of a change, at %.0f changes/s, without questions", s.median("alone")), fmt.Sprintf("%.0f µs", s.median("change"))},
		{fmt.Sprintf("questions about %d clusters, no changes", scaleAsked), quiet.String()},
		{fmt.Sprintf("questions about them, with %.0f changes/s, all of these clusters", s.median("changes")), busy.String()},
		{"questions with changes, as a share of those without", fmt.Sprintf("%.2f", s.median("share"))},
		{"change sent until it is answered, meanwhile, p50", fmt.Sprintf("%.1f ms", s.median("delay"))},
		{"change sent until it is answered, meanwhile, p99", fmt.Sprintf("%.1f ms", quantile(s.figures["delay"], 0.99))},
	} {
		add(t, &r.scale, line[:]...)
	}
	r.measured++
}

// madeUp is an API server with more pods than a real one could hold here: it makes each up as it sends it. It knows one
// request, the watch that begins with all that there is. Its server is a CoreDNS that reads them.
type madeUp struct {
	*server
	members  int
	info     runtime.SerializerInfo
	moves    chan *corev1.Pod
	versions atomic.Int64
}

func (b *bed) newMadeUp(members int) *madeUp {
	b.Helper()
	l, err := b.host.Listen("tcp", "127.0.0.1:0")
	b.must(err)
	m := &madeUp{members: members, moves: make(chan *corev1.Pod)}
	m.info, _ = runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	m.server = b.newServer(fmt.Sprintf("longnames-%d", members),
		fmt.Sprintf("longnames %s {\nendpoint http://%s\nnamespaces %s\nlookup pods\ngroup_by app\n}", ourZone, l.Addr(), b.namespace))
	api := &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
	go func() { _ = api.Serve(l) }() // until it is closed
	b.Cleanup(func() { api.Close() })
	return m
}

func (m *madeUp) name(pod int) string { return m.ourName(fmt.Sprintf("app-%d", pod/scaleTogether)) }

// ServeHTTP serves a watch until its client ends it.
func (m *madeUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/api/v1/namespaces/"+m.namespace+"/pods" || r.FormValue("watch") != "true" || r.FormValue("sendInitialEvents") != "true" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", m.info.MediaType+";stream=watch")
	encoder := scheme.Codecs.EncoderForVersion(m.info.Serializer, corev1.SchemeGroupVersion)
	var err error
	send := func(kind string, pod *corev1.Pod) {
		pod.ResourceVersion = strconv.FormatInt(m.versions.Add(1), 10)
		raw, failed := runtime.Encode(encoder, pod)
		event := &metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}
		err = errors.Join(err, failed, m.info.StreamSerializer.Encode(event, m.info.StreamSerializer.NewFrameWriter(w)))
	}
	for i := 0; i < m.members && err == nil; i++ {
		send("ADDED", m.pod(i, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})))
	}
	send("BOOKMARK", &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"}}})
	for err == nil && http.NewResponseController(w).Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Second): // or it would seem dead
			send("BOOKMARK", new(corev1.Pod))
		case pod := <-m.moves:
			send("MODIFIED", pod)
		}
	}
}

// pod has what is read of one, and little more.
func (m *madeUp) pod(i int, address netip.Addr) *corev1.Pod {
	label := fmt.Sprintf("app-%d", i/scaleTogether)
	name := fmt.Sprintf("%s-7d4b9c6f5-%05d", label, i%scaleTogether)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: name, UID: types.UID(name), Labels: app(label)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		Status:     cluster.RunningStatus(true, address),
	}
}

// move gives a pod another address.
func (m *madeUp) move(pod int, to netip.Addr) error {
	select {
	case m.moves <- m.pod(pod, to):
		return nil
	case <-time.After(patience):
		return errors.New("nobody watches")
	}
}
