package process

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// monitoring has a real Prometheus read two CoreDNS while things happen to these. Each panel of the dashboard has something
// to show, and the alerts that are pending or firing are those for what has happened, and no others.
func monitoring(t *testing.T, b *bed) {
	p := b.prometheus(t, 5, b.address(0), b.address(1)) // which takes its time until it begins to read
	b.open(t, endpointSlices, listWatch)
	apps, secret := b.namespace(t, "apps"), b.namespace(t, "secret") // CoreDNS has no right in the last one
	b.grant(t, b.prod, apps, pods, listWatch)
	b.shop(t, 0, 5)
	cart := func(i int) string { return fmt.Sprint("cart-", i) }
	cluster.Many(t, 0, 3, func(i int) { b.pod(t, apps, "cart", cart(i), b.address(100+i), hosted, withPort) })
	cluster.Many(t, 0, 2, func(i int) { b.pod(t, apps, "mailer", fmt.Sprint("mailer-", i), b.address(200+i), hosted, withPort) })

	var servers []*server
	snapshots := t.TempDir()
	for i := range 2 {
		dir := fmt.Sprintf("%s/%d", snapshots, i)
		require.NoError(t, os.Mkdir(dir, 0o700))
		shop := b.block("shop.erl.internal 10.0.0.0/8", "fallthrough 10.in-addr.arpa", "startup_timeout 1s",
			"snapshot "+dir+"/shop.json")
		grouped := strings.NewReplacer("selector app=shop\n", "", "basename shop\n", "group_by app\n").
			Replace(b.block("apps.erl.internal", "namespaces "+apps, "lookup pods", "mode hostname", "port dist",
				"startup_timeout 1s"))
		s := b.server(t, i, shop+grouped+b.block("secret.erl.internal", "namespaces "+secret, "startup_timeout 1s")+"whoami")
		s.may(`plugin/longnames: secret\.erl\.internal\. API server forbids `)
		s.start()
		servers = append(servers, s)
	}
	first, second := servers[0], servers[1]
	p.sees(2, `up{job="coredns"} == 1`)
	cartName := "cart." + apps + ".apps.erl.internal"
	ask(t, servers, []question{
		{12, "udp", "shop.erl.internal", "A"},
		{8, "udp", "shop.erl.internal", "AAAA"}, // no data
		{10, "udp", cartName, "SRV"},
		{6, "udp", cartName, "TXT"},
		{4, "tcp", cartName, "SRV"},
		{2, "udp", watch.Reverse(b.address(10)), "PTR"},
		{2, "udp", "1.0.0.10.in-addr.arpa", "PTR"}, // falls through
		{1, "udp", "shop.erl.internal", "SOA"},
		{1, "udp", "shop.erl.internal", "NS"},
		{1, "udp", "shop.erl.internal", "ANY"},
		{1, "udp", "shop.erl.internal", "MX"},
		{1, "tcp", "shop.erl.internal", "AXFR"}, // refused
		{3, "udp", "nobody.shop.erl.internal", "A"},
		{2, "udp", "secret.erl.internal", "A"}, // fails
	})
	members := func(want float64) {
		t.Helper()
		for _, s := range servers {
			s.counts(want, "members", `zone="shop.erl.internal."`)
		}
	}

	// What happens in a cluster where all is well: nothing to alert for, but for the block that may not be read.
	b.shop(t, 5, 8)
	members(8)
	for i := range 8 { // a rolling update
		b.shop(t, 8+i, 9+i)
		members(9)
		b.close(t, i, i+1)
		members(8)
	}
	for i, ready := range []bool{false, true} {
		b.SetReady(t, b.prod, shopName(8), ready)
		p.sees(2, fmt.Sprintf(`coredns_longnames_propagation_duration_seconds_count{zone="shop.erl.internal."} > %d`, i))
	}
	p.sees(1, "sum(rate(coredns_longnames_propagation_duration_seconds_count[1m])) > 0")
	want := []string{
		"LongnamesAPIRequestsFailing warning secret.erl.internal.",
		"LongnamesMembersUnknown critical secret.erl.internal.",
		"LongnamesNoMembersKnown warning secret.erl.internal.",
		"LongnamesNoMembersKnown critical secret.erl.internal.",
	}
	p.alerts("as long as all is well", want...)

	// A pod without hostname, and one without port.
	b.pod(t, apps, "mailer", "mailer-lost", b.address(210), withPort)
	b.pod(t, apps, "mailer", "mailer-portless", b.address(211), hosted)
	want = append(want, "LongnamesMembersLeftOut warning apps.erl.internal.",
		"LongnamesMembersWithoutPort warning apps.erl.internal.")

	// No connection to the API server. One CoreDNS is killed, and starts from its snapshot.
	for _, s := range servers {
		s.away()
	}
	b.shop(t, 16, 18)
	second.process.Stop(0)
	second.start()
	p.sees(1, `rate(coredns_longnames_stale_answers_total[1m]) > 0`)
	p.sees(1, `coredns_longnames_members{zone="apps.erl.internal."} == 0`)
	p.sees(2, `sum by (zone) (rate(coredns_longnames_questions_total{result="servfail", zone!="secret.erl.internal."}[1m])) > 0`)
	p.sees(2, `sum by (zone) (rate(coredns_longnames_api_requests_total{code="error", zone!="secret.erl.internal."}[1m])) > 0`)
	for _, s := range servers {
		s.back()
	}
	members(10)
	want = append(want,
		"LongnamesAPIRequestsFailing warning shop.erl.internal.", "LongnamesAPIRequestsFailing warning apps.erl.internal.",
		"LongnamesStaleAnswers warning shop.erl.internal.",
		"LongnamesMembersUnknown critical apps.erl.internal.", "LongnamesMembersUnknown critical shop.erl.internal.",
		"LongnamesMembersFell critical apps.erl.internal.", "LongnamesNoMembersKnown warning apps.erl.internal.")

	// No room for a snapshot. The pause after a write is twenty times as long as that took, on a slow disk.
	first.may(`snapshot: cannot write `)
	require.NoError(t, os.Rename(snapshots+"/0", snapshots+"/away"))
	b.close(t, 14, 18)
	p.sees(1, "coredns_longnames_snapshot_failures_total > 2")
	require.NoError(t, os.Rename(snapshots+"/away", snapshots+"/0"))

	// All nodes of a cluster vanish without notice, and come back.
	missing := `coredns_longnames_suspect_members{zone="apps.erl.internal.", reason="missing"} `
	b.Kubectl(t, "-n", apps, "label", "pods", "-l", "app=cart", "app-", "vanished=yes")
	p.sees(2, missing+"> 0")
	want = append(want, "LongnamesMembersMissing warning apps.erl.internal.")
	b.Kubectl(t, "-n", apps, "label", "pods", "-l", "vanished=yes", "app=cart", "vanished-")
	p.sees(2, missing+"== 0")

	// Probes of two nodes fail, and recover.
	for _, ready := range []bool{false, true} {
		for i := range 2 {
			b.SetReady(t, b.prod, shopName(8+i), ready)
		}
		failing := `coredns_longnames_suspect_members{zone="shop.erl.internal.", reason="failing"} == `
		p.sees(2, failing+map[bool]string{false: "2", true: "0"}[ready])
	}

	// Two of three nodes of a cluster leave.
	cluster.Many(t, 0, 2, func(i int) { b.DeletePod(t, apps, cart(i)) })
	p.sees(2, `increase(coredns_longnames_cluster_falls_total{zone="apps.erl.internal."}[1m]) > 0`)
	p.alerts("in the end", append(want, "LongnamesClusterFell warning apps.erl.internal.")...)
	p.checkRunbooks()
	p.sees(2, "coredns_reload_failed_total == 0") // an alert asks for it
	p.checkDashboard()
}

// question is how often something is asked, in comparison with others.
type question struct {
	often                int
	network, name, qtype string
}

// ask asks until the test ends, in no order; what is answered is for other tests.
func ask(t *testing.T, servers []*server, questions []question) {
	t.Helper()
	var all []question
	for _, q := range questions {
		all = append(all, slices.Repeat([]question{q}, q.often)...)
	}
	for _, s := range servers {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for t.Context().Err() == nil {
				q := all[rand.IntN(len(all))]
				_, _ = s.ask(q.network, q.name, q.qtype, 0) // it may be away
				time.Sleep(15 * time.Millisecond)
			}
		}()
		t.Cleanup(func() { <-done })
	}
}
