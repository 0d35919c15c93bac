package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"

	"github.com/longnames/longnames/test/fakeapi"
)

// A Service of two clusters has EndpointSlices of the Multi-Cluster Services API in both. The StatefulSets behind it have the
// same name. Where nodes are named by addresses, all of them are members; where they are named by hostnames, two are one,
// unless each cluster has a domain of its own.
func TestMultiClusterServices(t *testing.T) {
	const size, service, zone = 3, "multicluster.kubernetes.io/service-name", ".clusterset.internal"
	apis := []*fakeapi.Server{fakeapi.New(t), fakeapi.New(t)}
	var addresses [2][]string
	for i, api := range apis {
		imported := slice()
		imported.Labels = map[string]string{service: "cart"}
		for j := range size {
			addresses[i] = append(addresses[i], fmt.Sprintf("10.%d.0.%d", i, 1+j))
			e := endpoint(fmt.Sprint("cart-", j), addresses[i][j], true)
			e.TargetRef = nil
			imported.Endpoints = append(imported.Endpoints, e)
		}
		api.Put(imported)
	}
	metrics, text := freeAddress(t), ""
	for _, b := range [][2]string{{"ip", ""}, {"one", "cluster_domain one"}, {"two", "cluster_domain %d.two"}} {
		for i, api := range apis {
			text += "longnames " + b[0] + zone + " {\nbasename cart\n" + from(api, service+"=cart") + "\n"
			if b[1] != "" {
				text += "service cart\nmode hostname\n" + strings.Replace(b[1], "%d", fmt.Sprint(i), 1) + zone + "\n"
			}
			text += "}\n"
		}
	}
	log := captureLog(t)
	s := start(t, ".:0 {\nprometheus "+metrics+"\n"+text+"}\n")

	each := func(form string, of ...string) (out []string) {
		for _, v := range of {
			out = append(out, fmt.Sprintf(form, v))
		}
		slices.Sort(out)
		return out
	}
	all := slices.Concat(addresses[0], addresses[1])
	s.soon("ip"+zone+".", "TXT", each("cart@%s", all...)...)
	s.wants("ip"+zone+".", "SRV", each("%s.", all...)...)
	s.wants("ip"+zone+".", "A", all...)
	var one, two []string
	for j := range size {
		host := fmt.Sprintf("cart-%d.cart.prod.svc.", j)
		one, two = append(one, host+"one"+zone), append(two, host+"0.two"+zone, host+"1.two"+zone)
		s.wants(one[j]+".", "A", addresses[0][j]) // the first block's
		for i := range apis {
			s.wants(two[2*j+i]+".", "A", addresses[i][j])
		}
		line := fmt.Sprintf(`one%s. Longname cart@%s is that of "prod/%s" and "prod/%s": others take both for one node`,
			zone, one[j], addresses[0][j], addresses[1][j])
		eventually(t, line+" is logged", func() bool { return log.has(line) })
	}
	s.wants("one"+zone+".", "SRV", each("%s.", one...)...)
	s.wants("two"+zone+".", "SRV", each("%s.", two...)...)
	s.wants("one"+zone+".", "A", addresses[0]...)
	s.wants("two"+zone+".", "A", all...)
	for _, want := range []struct {
		metric, zone string
		value        float64
	}{{"contested_names", "ip", 0}, {"contested_names", "one", size}, {"contested_names", "two", 0}, {"members", "one", size}, {"members", "two", 2 * size}} {
		eventually(t, fmt.Sprintf("%v", want), func() bool {
			m := scrape(t, metrics, expfmt.TypeTextPlain).of("coredns_longnames_"+want.metric, want.zone+zone+".")[""]
			return m != nil && m.GetGauge().GetValue() == want.value
		})
	}
}
