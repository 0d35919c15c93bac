package faults

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// wire stands between the CoreDNS of a stage and its API server: a toxiproxy, on a host that has the address of the API
// server's Service.
type wire struct {
	*cluster.Host
	s      *stage
	client *http.Client // of toxiproxy
	since  int          // counts the times at which all packets of older connections began to be lost
}

func (s *stage) newWire() *wire {
	w := &wire{Host: s.NewHost(s, "wire", s.address()), s: s}
	w.client = &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: w.Dial, DisableKeepAlives: true}}
	s.runs(w.Host, "ip", "address", "add", cluster.APIClusterIP+"/32", "dev", "lo")
	w.filter("", "")
	w.Start(s, "toxiproxy", []string{"LOG_LEVEL=error"}, s.toxiproxy)
	s.within(patience, "toxiproxy listens", func() error {
		return w.try("/proxies", map[string]any{
			"name": "api", "listen": cluster.APIClusterIP + ":443", "upstream": cluster.APIServer, "enabled": true,
		})
	})
	return w
}

// call calls toxiproxy. try does so where that may fail.
func (w *wire) call(path string, body any) { require.NoError(w.s, w.try(path, body)) }
func (w *wire) try(path string, body any) error {
	_, err := post(w.client, "http://127.0.0.1:8474"+path, body)
	return err
}

// found heals the wire once it has lost some packets: else the fault has not struck.
func (w *wire) found() {
	w.s.within(patience, "packets are lost", func() error {
		out, err := w.Run(w.s.Context(), "nft", "list table inet wire")
		if err == nil && !lostPackets.MatchString(out) {
			err = fmt.Errorf("none are: %s", out)
		}
		return err
	})
	w.heal()
}

var lostPackets = regexp.MustCompile(`counter packets [1-9]`)

// heal ends all faults of the wire, and has it lead to the API server. What is lost for good stays lost.
func (w *wire) heal() {
	w.to(cluster.APIServer)
	w.call("/reset", nil)
	w.filter("", "")
}

// down ends all connections, and allows no new ones. up allows them.
func (w *wire) down() { w.call("/proxies/api", map[string]any{"enabled": false}) }
func (w *wire) up()   { w.call("/proxies/api", map[string]any{"enabled": true}) }

// cut ends all connections; new ones can be made.
func (w *wire) cut() {
	w.down()
	w.up()
}

// to changes the other end, and cuts what leads to the one before.
func (w *wire) to(address string) { w.call("/proxies/api", map[string]any{"upstream": address}) }

// toxic has both directions of all connections, also new ones, suffer.
func (w *wire) toxic(kind string, attributes map[string]int) {
	for _, stream := range []string{"upstream", "downstream"} {
		w.call("/proxies/api/toxics", map[string]any{"type": kind, "stream": stream, "attributes": attributes})
	}
}

// lose loses all packets, in both directions, without telling anybody, until heal. forget does so for good, but only with
// the connections that there are.
func (w *wire) lose() { w.filter("tcp dport 443 counter drop;", "tcp sport 443 counter drop;") }

func (w *wire) forget() {
	w.since++
	w.filter(fmt.Sprintf("tcp dport 443 ct mark != %d drop;", w.since), fmt.Sprintf("tcp sport 443 ct mark != %d drop;", w.since))
}

// filter sets what becomes of packets from and to CoreDNS, whose connections are marked at their start.
func (w *wire) filter(in, out string) {
	w.s.runs(w.Host, "nft", fmt.Sprintf(`flush ruleset; table inet wire {
		chain in { type filter hook input priority 0; tcp dport 443 tcp flags & (syn|ack) == syn ct mark set %d; %s }
		chain out { type filter hook output priority 0; %s }
	}`, w.since, in, out))
}

// refused waits until CoreDNS would be, has it ask anew, and waits until a watch has ended for that.
func (s *stage) refused(how string) {
	reason := []string{strings.ToLower(how)}
	ended := s.watchesEnded(reason)
	s.within(patience, "CoreDNS is refused", func() error {
		out, err := s.TryKubectl(s.Context(), "--kubeconfig="+s.account+"/kubeconfig", "--server=https://"+cluster.APIServer,
			"get", "pods", "--namespace", ourNamespace)
		if err == nil || !strings.Contains(out, how) {
			return fmt.Errorf("it gets %s", out)
		}
		return nil
	})
	s.wire.cut()
	s.within(patience, "a watch ends for "+reason[0], func() error {
		if s.watchesEnded(reason) <= ended {
			return errors.New("none has")
		}
		return nil
	})
}
