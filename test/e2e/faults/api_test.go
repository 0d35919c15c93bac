package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// apiRows: what can become of the API server.
func apiRows() []row {
	return []row{
		{name: "api-killed", struck: []string{"unreachable"}, what: "the API server is killed, and started again", try: func(s *stage) {
			s.away()
			time.Sleep(faultTime)
			s.back()
			s.grow()
			s.shrinks()
		}},
		// It is put off, not cut off: after that it would not go on from any version.
		{name: "410", struck: []string{"expired"}, what: "what CoreDNS has seen last is compacted away while it is put off, so that it has to read everything again", try: func(s *stage) {
			i := s.newIntercept()
			s.of(i, slicesPath)
			s.of(i, podsPath)
			i.refuse(http.StatusTooManyRequests)
			s.grow()
			s.compact()
			s.away()
			s.back()
			time.Sleep(faultTime / 2)
			i.refuse(0)
			s.shrinks()
		}},
	}
}

func stoppedRows() []row {
	return []row{{name: "api-stopped", struck: []string{"silent", "unreachable"}, what: "the API server is stopped for two minutes: it takes connections and answers nothing", try: func(s *stage) {
		api := s.Part("kube-apiserver")
		api.Signal(syscall.SIGSTOP)
		time.Sleep(2 * time.Minute)
		api.Signal(syscall.SIGCONT)
		s.Ready(s)
		s.grow()
		s.shrinks()
	}}}
}

// storeRows: what can become of etcd.
func storeRows() []row {
	return []row{
		{name: "etcd-restored", struck: []string{"unreachable"}, what: "etcd is killed, and restored from a copy that is older, its versions being raised as they should be", try: func(s *stage) { s.restored(true) }},
		{name: "etcd-wiped", struck: []string{"unreachable"}, what: "etcd is killed and restored empty; all objects are made anew within `hold`: until then nobody is missing, then those are answered that are back", try: wiped},
	}
}

// olderRows has a stage to itself, for it takes long.
func olderRows() []row {
	return []row{{name: "etcd-goes-back", struck: []string{"unreachable"}, what: "etcd is killed, and restored from a copy that is older, without its versions being raised", try: func(s *stage) { s.restored(false) }}}
}

// wiped has the nodes run on, whatever the API server knows of them.
func wiped(s *stage) {
	s.withStore(true, os.RemoveAll)
	s.namespace(ourNamespace)
	s.namespace(theirNamespace)
	s.authorize()
	s.gauge("held_clusters", len(s.meshes)) // CoreDNS has read that there is nobody
	time.Sleep(faultTime)
	for _, m := range s.allMeshes() {
		// A second after the first member is back, those that are not back yet are none.
		m.expect(func(qtype string) *watch.Truth { return watch.Between(nil, m.values(qtype, m.pods), 1) })
		for _, p := range m.pods {
			s.left[m.node(p)] = true
		}
		s.service(m)
		for _, p := range m.pods {
			s.declare(p)
		}
	}
	s.gauge("held_clusters", 0)
}

// crowdSize is how many pods a crowd has.
const crowdSize = 20_000

// relistRows are tried where CoreDNS watches a crowd, too.
func relistRows() []row {
	return []row{{name: "relist-20000-pods", struck: []string{"unreachable"}, what: "CoreDNS has to read 20 000 pods again, three times", try: func(s *stage) {
		s.namespace(crowd.namespace)
		s.plant(crowdSize, crowdPod)
		s.soonInCrowd()
		for range 3 {
			s.wire.down()
			s.compact()
			s.away()
			s.back()
			s.grow()
			s.wire.up()
			s.seen(4 * patience)
			s.soonInCrowd()
			s.shrinks()
		}
	}}}
}

// crowd has no nodes.
var crowd = &mesh{name: "crowd", namespace: "crowd", zone: "crowd.erl.internal", mode: "ip", lookup: "pods"}

func crowdAddress(i int) netip.Addr { return cluster.HostAddresses(1, i)[0] }

// crowdPod is one as etcd has it.
func crowdPod(i int) (key string, value any) {
	name := fmt.Sprintf("crowd-%d", i)
	return "/registry/pods/" + crowd.namespace + "/" + name, &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: crowd.namespace, UID: types.UID(name), Labels: app(crowd.name), CreationTimestamp: metav1.NewTime(time.Now().Truncate(time.Second)),
		},
		Spec:   corev1.PodSpec{NodeName: cluster.NoNode, Containers: []corev1.Container{{Name: "app", Image: "none"}}},
		Status: cluster.RunningStatus(true, crowdAddress(i)),
	}
}

// soonInCrowd waits until CoreDNS has all of the crowd.
func (s *stage) soonInCrowd() {
	for _, i := range []int{0, crowdSize / 2, crowdSize - 1} {
		name := fmt.Sprintf("crowd-%d.%s", i, crowd.zone)
		s.within(4*patience, name+" is known", func() error {
			return s.replicas[0].answersTo(name, "A", crowdAddress(i).String())
		})
	}
}

// etcd calls it by its gateway for JSON, and returns the revision of the newest change. A busy machine may need a second
// try.
func (s *stage) etcd(path string, body any) (revision int64) {
	text, err := json.Marshal(body)
	s.must(err)
	s.must(eventually(2*patience, "etcd answers", func() error {
		response, err := s.store.Post("http://"+cluster.Etcd+path, "application/json", bytes.NewReader(text))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var answer struct {
			Header struct{ Revision json.Number }
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %w", response.Status, err)
		}
		revision, err = answer.Header.Revision.Int64()
		return err
	}))
	return revision
}

// revision is the number of the newest change.
func (s *stage) revision() int64 {
	return s.etcd("/v3/kv/range", map[string][]byte{"key": []byte("x")})
}

// compact has etcd forget all that was.
func (s *stage) compact() {
	s.etcd("/v3/kv/compaction", map[string]any{"revision": s.revision(), "physical": true})
}

// bump makes etcd's revision as high as it has ever been, and more, as one does who restores it from a copy.
func (s *stage) bump(to int64) {
	s.many(int(to-s.revision()), func(int) {
		s.etcd("/v3/kv/put", map[string][]byte{"key": []byte("bump"), "value": []byte("bump")})
	})
	s.compact()
}

// plant writes objects directly into etcd, many in a transaction: the API server would take minutes.
func (s *stage) plant(n int, object func(i int) (key string, value any)) {
	const together = 50
	s.many(n/together, func(i int) {
		var puts []any
		for j := range together {
			key, value := object(i*together + j)
			text, err := json.Marshal(value)
			s.must(err)
			puts = append(puts, map[string]any{"request_put": map[string][]byte{"key": []byte(key), "value": text}})
		}
		s.etcd("/v3/kv/txn", map[string]any{"success": puts})
	})
}

// away ends the API server, and the controllers, which would take their time to find it again. back starts them.
func (s *stage) away() {
	s.Part("kube-controller-manager").Stop(0)
	s.Part("kube-apiserver").Stop(0)
}

func (s *stage) back() {
	s.Restart(s, "kube-apiserver")
	s.Ready(s)
	s.Restart(s, "kube-controller-manager") // it would not wait for long
}

// withStore has something done to etcd's directory while etcd and the API server are down, and waits until they are back.
// Its versions are raised above all that there have been, or not.
func (s *stage) withStore(raised bool, do func(dir string) error) {
	was := s.revision()
	s.away()
	s.Part("etcd").Stop(0)
	s.must(do(s.EtcdDir()))
	time.Sleep(faultTime / 2)
	s.Restart(s, "etcd")
	if raised {
		s.bump(was + 1000)
	}
	s.back()
	s.Logf("etcd was at %d, and is at %d", was, s.revision())
}

// restored restores etcd from a copy that is older.
func (s *stage) restored(raised bool) {
	copied := s.EtcdDir() + "-copy"
	s.withStore(true, func(dir string) error { return os.CopyFS(copied, os.DirFS(dir)) })
	s.calm()
	s.grow()
	s.shrinks() // so that the members are those of the copy, but not its versions
	if !raised {
		// An API server that has just started may forbid all for a moment: then everything is read anew in any case.
		s.wire.down()
	}
	s.withStore(raised, func(dir string) error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.Rename(copied, dir)
	})
	s.wire.up()
	if raised {
		s.calm()
	}
	s.grow()
	s.seen(silence)
	s.shrinks()
}
