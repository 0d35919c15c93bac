package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

// etcd speaks to it by its gateway for JSON, of which any HTTP client can make use.
func (b *bed) etcd(ctx context.Context, path string, body any, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+etcdAddress+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := b.toEtcd.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s", response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// etcdHeader is what each of its answers has.
type etcdHeader struct {
	Header struct {
		Revision string `json:"revision"`
	} `json:"header"`
}

// etcdBytes are bytes as the gateway wants them.
func etcdBytes(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// revision is the number of the newest change.
func (t *trial) revision() int64 {
	var h etcdHeader
	t.within(2*patience, "etcd answers", func() error {
		return t.etcd(t.ctx, "/v3/kv/range", map[string]string{"key": etcdBytes("x")}, &h)
	})
	n, err := strconv.ParseInt(h.Header.Revision, 10, 64)
	t.must(err)
	return n
}

// compact has etcd forget all that was.
func (t *trial) compact() {
	var h etcdHeader
	t.must(t.etcd(t.ctx, "/v3/kv/compaction", map[string]any{"revision": strconv.FormatInt(t.revision(), 10), "physical": true}, &h))
}

// bump makes etcd's revision as high as it has ever been, and more, as one does who restores it from a copy.
func (t *trial) bump(to int64) {
	from := t.revision()
	var g errgroup.Group
	g.SetLimit(8)
	for i := from; i < to; i++ {
		g.Go(func() error {
			var h etcdHeader
			return t.etcd(t.ctx, "/v3/kv/put", map[string]string{"key": etcdBytes("bump"), "value": etcdBytes("bump")}, &h)
		})
	}
	t.must(g.Wait())
	t.compact()
}

// plant writes n pods directly into etcd, several at once: the API server would take minutes.
func (t *trial) plant(n int, pod func(i int) *corev1.Pod) {
	const together = 50
	var g errgroup.Group
	g.SetLimit(4)
	for from := 0; from < n; from += together {
		g.Go(func() error { return t.put(from, min(from+together, n), pod) })
	}
	t.must(g.Wait())
}

// put writes some pods in one transaction. A busy machine may need a second try.
func (t *trial) put(from, to int, pod func(i int) *corev1.Pod) error {
	var puts []any
	for i := from; i < to; i++ {
		p := pod(i)
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		puts = append(puts, map[string]any{"request_put": map[string]string{
			"key": etcdBytes("/registry/pods/" + p.Namespace + "/" + p.Name), "value": etcdBytes(string(text)),
		}})
	}
	return eventually(t.ctx, patience, func() error {
		var h etcdHeader
		return t.etcd(t.ctx, "/v3/kv/txn", map[string]any{"success": puts}, &h)
	})
}
