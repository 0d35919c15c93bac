package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/cluster"
	"github.com/longnames/longnames/test/e2e/watch"
)

// TestMembers is about who is in a cluster, and what becomes of that.
func TestMembers(t *testing.T) {
	together(t, early)
	start(t).each(
		part{"Nodes", (*bed).nodes},
		part{"Helm", (*bed).helm},
		part{"Sets", (*bed).sets},
		part{"Life", (*bed).life},
	)
}

// block is one with selector app=shop and basename shop.
func block(zones string, options ...string) string {
	const shop = " {\n    longnames {\n        selector app=shop\n        basename shop\n    }\n}\n"
	return with(zones+shop, strings.Join(options, "\n"))
}

// sets is about what Kubernetes' controllers make of Services and pods.
func (b *bed) sets() {
	b.beside(part{"DualStack", (*bed).dualStack}, part{"EndpointsMirrored", (*bed).mirrored})
}

// dualStack has pods with an address of each family, of which Kubernetes makes slices for each.
func (b *bed) dualStack() {
	b.workload("Deployment", 3, "")
	b.kubectl(`patch service/shop -p {"spec":{"ipFamilyPolicy":"RequireDualStack"}}`)
	var first, v6 []string
	for _, pod := range b.running("shop", 3) {
		require.Len(b, pod.Status.PodIPs, 2, pod.Name)
		first, v6 = append(first, pod.Status.PodIP), append(v6, pod.Status.PodIPs[1].IP)
	}
	var served []string
	of := map[string][]string{"": first, "family ipv4": first, "family ipv6": v6}
	zone := func(lookup, family string) string {
		return lookup + strings.TrimPrefix(family, "family ") + ".erl.internal"
	}
	for _, lookup := range []string{"endpoints", "pods"} {
		for family := range of {
			served = append(served, block(zone(lookup, family), "lookup "+lookup, family))
		}
	}
	b.serve("4", served...)
	for _, lookup := range []string{"endpoints", "pods"} {
		for family, want := range of {
			b.wantsCluster(zone(lookup, family), "shop", want, want)
		}
	}
}

// mirrored has Endpoints made by hand, as older tools make them, which a controller of Kubernetes' turns into slices.
func (b *bed) mirrored() {
	b.create(`
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {clusterIP: None, ports: [{name: epmd, port: 4369}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {name: shop, labels: {app: shop}}
subsets: [{addresses: [{ip: 10.1.0.10}, {ip: 10.1.0.11}], ports: [{name: epmd, port: 4369}]}]
`)
	b.serve("4", block("shop.erl.internal"))
	want := []string{"10.1.0.10", "10.1.0.11"}
	b.wantsCluster("shop.erl.internal", "shop", want, want)
}

// life is about what happens to a cluster that lives. Somebody asks all the time, and never gets an answer that would
// tear the cluster apart. There is no hold: for its time, that would hide that members were lost. Where there is one,
// of an hour, the answer is the same: each end is announced, for an endpoint is terminating before it vanishes.
func (b *bed) life() {
	parts := []part{{"Probes", (*bed).probes}}
	for _, tt := range []struct {
		name, kind, mode string
		replicas         int
		do               string
		then, gone       int   // so many pods are there in the end, and so many addresses not any more
		least            int   // so many are in each answer
		always           []int // and these are
	}{
		{"ScaleUp", "Deployment", "ip", 3, "scale deployment/shop --replicas=10", 10, 0, 3, []int{0, 1, 2}},
		{"ScaleDown", "Deployment", "ip", 6, "scale deployment/shop --replicas=2", 2, 4, 2, nil},
		// By default a Deployment keeps three quarters of its pods available.
		{"RollingUpdate", "Deployment", "ip", 5, "rollout restart deployment/shop", 5, 5, 4, nil},
		{"StatefulSetPodReplaced", "StatefulSet", "hostname", 3, "delete pod/shop-1", 3, 1, 2, []int{0, 2}},
		{"Eviction", "StatefulSet", "hostname", 3, "evict", 3, 1, 2, []int{1, 2}},
	} {
		parts = append(parts, part{tt.name, func(b *bed) {
			const domain, held = "shop.erl.internal", "held.erl.internal"
			naming := "mode " + tt.mode + "\ncluster_domain " + domain
			b.workload(tt.kind, tt.replicas, "")
			b.serve("4", block(domain+" 10.0.0.0/8", naming, "hold 0"), block(held, naming, "hold 1h"))
			settled := func(n int) (names, all []string) {
				pods := b.running("shop", n)
				names, all = hosts(tt.mode, pods, domain, ""), addresses(pods)
				b.wantsCluster(domain, "shop", names, all)
				b.wantsCluster(held, "shop", names, all)
				for i, a := range all {
					b.wants(watch.Reverse(a), "PTR", names[i])
				}
				return names, all
			}
			names, before := settled(tt.replicas)
			var always []string
			for _, i := range tt.always {
				always = append(always, names[i])
			}
			stop := b.keepAsking(b.Nodes[0], b.server, question{domain, "SRV", always}, tt.least)
			if tt.do == "evict" {
				pods := b.pods("app=shop")
				require.NoError(b, b.evict(pods[0]))
				b.gone(pods[:1])
			} else {
				b.kubectl("%s", tt.do)
			}
			b.rolledOut(strings.ToLower(tt.kind) + "/shop")
			names, after := settled(tt.then)
			stop()
			gone := slices.DeleteFunc(before, func(a string) bool { return slices.Contains(after, a) })
			assert.Len(b, gone, tt.gone, "%q are there", after)
			for _, a := range gone {
				b.wants(watch.Reverse(a), "PTR", "NXDOMAIN")
			}
			if tt.mode == "hostname" {
				b.wants(names[1], "A", after[1])
			}
			b.silent("ERROR", b.pods(ours))
		}})
	}
	b.beside(parts...)
}

// idle is a pod that is ready while it has a file, and ends only for another one. Its probe is no command: once a pod
// is to end, kubelet 1.36 runs none any more, and the pod stays as ready as it was.
const idle = `
    terminationGracePeriodSeconds: 600
    containers:
    - name: idle
      image: ` + cluster.BEAM + `
      imagePullPolicy: Never
      readinessProbe: {tcpSocket: {port: 4000}, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1}
      command: [perl, -MIO::Socket, -e]
      args:
      - |
        for (my $l; !-e "/tmp/end"; select undef, undef, undef, 0.1) {
          if (!-e "/tmp/ready") { undef $l; next }
          $l ||= IO::Socket::INET->new(LocalPort => 4000, Listen => 9, ReuseAddr => 1, Blocking => 0);
          1 while $l->accept;
        }
`

// probes has pods of which kubelet finds that they are ready or not, also while they take their time to end. Each kind
// of zone is there for endpoints and for pods.
func (b *bed) probes() {
	b.workload("StatefulSet", 4, idle)
	all := addresses(b.running("shop", 4))
	var served []string
	lookups := []string{"endpoints", "pods"}
	for _, lookup := range lookups {
		for zone, options := range map[string]string{
			"ready": "include ready\nhold 0", "serving": "include serving\nhold 0", "all": "include all\nhold 0",
			"hold": "include ready\nhold 1h",
		} {
			served = append(served, block(zone+"."+lookup+".erl.internal", "lookup "+lookup, options))
		}
	}
	b.serve("4", served...)
	b.wants("ready.endpoints.erl.internal", "A", all...) // from when kube-proxy knows the Service
	stop := b.keepAsking(b.Nodes[0], b.server, question{name: "ready.endpoints.erl.internal", qtype: "A"}, 1)
	for _, tt := range []struct {
		name, pods, do            string
		ready, serving, all, hold string // the pods that each zone lists
	}{
		{"NobodyIsReadyYet", "", "", "0123", "0123", "0123", "0123"}, // never nobody
		{"OneIsReady", "1", "touch /tmp/ready", "1", "1", "0123", "0123"},
		{"AllAreReady", "023", "touch /tmp/ready", "0123", "0123", "0123", "0123"},
		{"OneIsNot", "0", "rm /tmp/ready", "123", "123", "0123", "0123"},
		{"OneIsLeft", "12", "rm /tmp/ready", "3", "3", "0123", "0123"},
		{"NobodyIsReady", "3", "rm /tmp/ready", "0123", "0123", "0123", "0123"},
		{"OneIsAgain", "2", "touch /tmp/ready", "2", "2", "0123", "0123"},
		{"AllAreAgain", "013", "touch /tmp/ready", "0123", "0123", "0123", "0123"},
		{"OneTerminates", "0", "", "123", "0123", "0123", "123"}, // and serves
		{"ItServesNoLonger", "0", "rm /tmp/ready", "123", "123", "0123", "123"},
		{"AnotherIsNotReady", "1", "rm /tmp/ready", "23", "23", "0123", "123"},
		{"TheFirstEnds", "0", "touch /tmp/end", "23", "23", "123", "123"},
	} {
		if tt.name == "OneTerminates" {
			b.kubectl("delete statefulset/shop --cascade=orphan") // it would put another in its place
			b.kubectl("delete pod/shop-0 --wait=false")
		} else {
			for _, pod := range tt.pods {
				b.exec(fmt.Sprintf("shop-%c", pod), "sh", "-c", tt.do)
			}
		}
		b.Log(tt.name)
		// Zones of one lookup read the same watch. Twice, for not all change, and those may be asked before the others have.
		for _, lookup := range slices.Concat(lookups, lookups) {
			for _, listed := range [][2]string{{"ready", tt.ready}, {"serving", tt.serving}, {"all", tt.all}, {"hold", tt.hold}} {
				var want []string
				for _, pod := range listed[1] {
					want = append(want, all[pod-'0'])
				}
				b.wants(listed[0]+"."+lookup+".erl.internal", "A", want...)
			}
		}
		if tt.name == "OneIsNot" {
			b.askerIsIn(all)
		}
	}
	for _, lookup := range lookups {
		b.wants("shop-0.all."+lookup+".erl.internal", "A", "NXDOMAIN")
	}
	stop()
	b.silent("ERROR", b.pods(ours))
}

// askerIsIn asks as shop-0, which is not ready: for itself, and for nobody else, it is a member. The name of a single
// node does not depend on it.
func (b *bed) askerIsIn(all []string) {
	address, port, _ := strings.Cut(b.server, ":")
	server := "{{" + strings.ReplaceAll(address, ".", ",") + "}," + port + "}"
	for _, lookup := range []string{"endpoints", "pods"} {
		zone := "ready." + lookup + ".erl.internal"
		b.wants("shop-0."+zone, "A", all[0])
		for _, options := range []string{"[]", "[{usevc,true}]"} {
			got := b.exec("shop-0", "env", "HOME=/tmp", "erl", "-noinput", "-eval",
				`ok=inet_db:res_option(resolv_conf,""),ok=inet_db:res_option(nameservers,[`+server+`]),`+
					`[io:format("~s ",[inet:ntoa(X)])||X<-inet_res:lookup("`+zone+`.",in,a,`+options+`)],halt().`)
			b.should(watch.Same(zone+" with "+options+", asked by shop-0", strings.Fields(got), all))
		}
	}
}

// nodes is about pods that a node does away with.
func (b *bed) nodes() {
	b.each(
		part{"EvictionByKubelet", (*bed).evictedByKubelet},
		part{"Lost", (*bed).lost},
	)
}

// onNodes creates BEAM nodes, one on each of some nodes of Kubernetes', and returns their addresses.
func (b *bed) onNodes(nodes ...string) []string {
	b.kubectl("label namespace %s longnames.dev/client=true", b.namespace)
	b.create(service, "shop", "{app: shop}")
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: shop-%d, labels: {app: shop, where: %[2]s}}
spec:
    nodeName: %[2]s
    tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 3}]
    volumes: [{name: data, emptyDir: {sizeLimit: 1Mi}}]` + "%[3]s"
	for i, node := range nodes {
		b.create(pod, i, node, beam("      volumeMounts: [{name: data, mountPath: /data}]\n"))
	}
	return addresses(b.running("shop", len(nodes)))
}

// evictedByKubelet has a BEAM node whose pod takes more of its node's disk than it may.
func (b *bed) evictedByKubelet() {
	b.own()
	all := b.onNodes("node-1", "node-2", "node-1")
	const held = "held.erl.internal"
	b.serve("4", block("pods.erl.internal", "lookup pods", "hold 1h"), block("endpoints.erl.internal", "include all"),
		block(held, "include all", "hold 1h"))
	zones := []string{"pods.erl.internal", "endpoints.erl.internal"}
	for _, zone := range zones {
		b.wantsCluster(zone, "shop", all, all)
	}
	b.connected("shop-1", all[0], all[2])
	b.wants(held, "A", all...)
	b.exec("shop-1", "dd", "if=/dev/zero", "of=/data/x", "bs=1M", "count=4")
	b.prints("Succeeded|Failed", "get pod/shop-1 -o jsonpath={.status.phase}")
	// Its phase is Succeeded if the VM was quick enough to end in order, and nothing in its status tells why it has.
	assert.NotEmpty(b, b.kubectl("get events -o name --field-selector reason=Evicted,involvedObject.name=shop-1"))
	for _, zone := range zones {
		b.wantsCluster(zone, "shop", []string{all[0], all[2]}, []string{all[0], all[2]})
		b.wants("shop-1."+zone, "A", "NXDOMAIN")
	}
	// Nobody has asked for its deletion, and so no endpoint of it was ever terminating.
	b.wants(held, "A", all...)
	b.connected("shop-0", all[2])
	b.silent("ERROR", b.pods(ours))
}

// lost has BEAM nodes on a node of Kubernetes' that is lost. In one cluster they are some, in another they are all.
func (b *bed) lost() {
	b.own()
	const held = "held.erl.internal"
	const kept = "kept.internal"
	b.serve("4", block(held, "include all", "hold 1h")+kept+" {\n    longnames {\n        selector longnames.dev/basename\n        group_by kubernetes.io/service-name\n"+
		"        basename shop\n        include all\n        hold 1h\n    }\n}\n")
	own, doomed := b.server, b.AddNode(b.T)
	all := b.onNodes("node-1", doomed.Name(), "node-2", doomed.Name())
	b.create(service, "fallen", "{where: "+doomed.Name()+"}")
	living, dead := []string{all[0], all[2]}, []string{all[1], all[3]}
	shop, fallen := "shop."+b.namespace+".svc.erl.internal", "fallen."+b.namespace+".svc.erl.internal"
	b.server = standaloneAddress
	b.wants(shop, "A", all...)
	b.wants(fallen, "A", dead...)
	b.connected("shop-0", all[1], all[2], all[3])
	b.connected("shop-2", all[0], all[1], all[3])

	doomed.Kill()
	b.connected("shop-0", all[2])
	b.connected("shop-2", all[0])
	b.prints(`^\S+Z \S+Z$`, "get pods -l where=%s -o jsonpath={.items[*].metadata.deletionTimestamp}", doomed.Name())
	// Nobody is there to end them, so all are listed as before.
	b.wants(shop, "A", all...)
	b.wants(fallen, "A", dead...)
	// Somebody has to say that they are gone for good, of a pod or of the node.
	b.kubectl("delete pod/shop-1 --grace-period=0 --force")
	b.wants(shop, "A", all[0], all[2], all[3])
	b.kubectl("delete node/%s", doomed.Name())
	b.wants(shop, "A", living...)
	// They were terminating from when the node controller had them deleted.
	b.answered(b.Nodes[0], own, question{held, "A", living})
	// The other cluster has lost its last member, which may be an accident. The one before counts, too, if that was not
	// long ago. Kubernetes may have taken it out of the slice of that Service long before that of the first.
	fell := "fallen." + b.namespace + "." + kept
	b.eventually("the last member stays", func() error {
		answer, err := watch.Exchange(b.Context(), b.Nodes[0], "udp", own, fell, "A", 0)
		if err != nil || watch.Same("last", watch.Values(answer), dead[1:]) == nil {
			return err
		}
		return watch.Same("last two", watch.Values(answer), dead)
	})
	b.answered(b.Nodes[0], own, question{"shop-3." + fell, "A", dead[1:]})
	b.wants("shop-3."+shop, "A", "NXDOMAIN")
	for _, pod := range []string{"shop-0", "shop-2"} {
		for line := range strings.Lines(b.kubectl("logs %s", pod)) {
			lost := func(address string) bool { return strings.Contains(line, "@"+address) }
			if strings.HasPrefix(line, "LOST ") && slices.ContainsFunc(living, lost) {
				b.Errorf("%s has lost a node that lives: %s", pod, line)
			}
		}
	}
	b.connected("shop-0", all[2])
	b.connected("shop-2", all[0])
}

// connected waits until a BEAM node is connected to those at these addresses, and to no others.
func (b *bed) connected(pod string, to ...string) {
	b.eventually(pod+" is connected", func() error {
		said, err := b.logs(pod)
		if err == nil {
			err = watch.Same("nodes", watch.LastLine(said, "NODES "), strings.Fields("shop@"+strings.Join(to, " shop@")))
		}
		return err
	})
}
