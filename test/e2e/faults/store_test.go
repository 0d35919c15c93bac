package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// wiped has the nodes run on, whatever the API server knows of them.
func (s *stage) wiped() {
	s.withStore(true, os.RemoveAll)
	s.CreateNamespace(s, ourNamespace)
	s.CreateNamespace(s, theirNamespace)
	s.authorize()
	s.suspects("missing", len(s.meshes)*meshSize)
	time.Sleep(faultTime)
	for _, m := range s.allMeshes() {
		s.CreateService(s, m.namespace, m.name)
		for _, p := range m.pods {
			s.declare(p)
		}
	}
	s.suspects("missing", 0)
}

// crowdSize is how many pods a crowd has.
const crowdSize = 20_000

// crowd has no nodes.
var crowd = &mesh{name: "crowd", namespace: "crowd", zone: "crowd.erl.internal", mode: "ip", lookup: "pods"}

// crowdPod is one as etcd has it.
func crowdPod(i int) (key string, value any) {
	name := fmt.Sprintf("crowd-%d", i)
	return "/registry/pods/" + crowd.namespace + "/" + name, &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: crowd.namespace, UID: types.UID(name), Labels: app(crowd.name),
			CreationTimestamp: metav1.NewTime(time.Now().Truncate(time.Second)),
		},
		Spec:   corev1.PodSpec{NodeName: cluster.NoNode, Containers: []corev1.Container{{Name: "app", Image: "none"}}},
		Status: cluster.RunningStatus(true, cluster.HostAddress(1, i)),
	}
}

// post sends JSON, and returns the answer.
func post(client *http.Client, url string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	response, err := client.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if response.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, said)
	}
	return said, err
}

// etcd calls it by its gateway for JSON, and returns the revision of the newest change. A busy machine may need a second
// try.
func (s *stage) etcd(path string, body any) int64 {
	var answer struct {
		Header struct {
			Revision int64 `json:",string"`
		}
	}
	require.NoError(s, cluster.Poll(2*patience, "etcd answers", func() error {
		said, err := post(s.store, "http://"+cluster.Etcd+path, body)
		if err == nil {
			err = json.Unmarshal(said, &answer)
		}
		return err
	}))
	return answer.Header.Revision
}

// revision is the number of the newest change.
func (s *stage) revision() int64 {
	return s.etcd("/v3/kv/range", map[string][]byte{"key": []byte("x")})
}

// compact has etcd forget all that was.
func (s *stage) compact() {
	s.etcd("/v3/kv/compaction", map[string]any{"revision": s.revision(), "physical": true})
}

// plant writes objects directly into etcd, many in a transaction: the API server would take minutes.
func (s *stage) plant(n int, object func(i int) (key string, value any)) {
	const together = 50
	cluster.Many(s, 0, n/together, func(i int) {
		var puts []any
		for j := range together {
			key, value := object(i*together + j)
			text, err := json.Marshal(value)
			require.NoError(s, err)
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
	require.NoError(s, do(s.EtcdDir()))
	time.Sleep(faultTime / 2)
	s.Restart(s, "etcd")
	if raised {
		cluster.Many(s, 0, int(was+1000-s.revision()), func(int) {
			s.etcd("/v3/kv/put", map[string][]byte{"key": []byte("bump"), "value": []byte("bump")})
		})
		s.compact()
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
	s.withStore(raised, func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Rename(copied, dir)) })
	s.wire.up()
	if raised {
		s.calm()
	}
	s.grow()
	s.seen(silence, s.allMeshes()...)
	s.shrinks()
}
