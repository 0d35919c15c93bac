package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// rabbitBin has the programs as RabbitMQ makes them. Those in /usr/sbin are Debian's, which change the user.
const rabbitBin = "/usr/lib/rabbitmq/bin/"

// rabbitUp is what a node says once it serves.
var rabbitUp = regexp.MustCompile(`completed with \d+ plugins`)

// rabbitConf is all that is needed.
const rabbitConf = `cluster_formation.peer_discovery_backend = dns
cluster_formation.dns.hostname = %s
`

// rabbitPause is after how many seconds a node that has found no peer to join looks again, if it is not the first. The
// first looks ten times within five seconds, as is the default, and then boots alone. Nodes that boot at once would all
// do so with the default: this backend takes no lock, and RabbitMQ has dropped its random delays with 3.8.18. Whoever
// joins while the first still makes its tables fails, and so does who joins at the same time as another may; hence
// pauses that are long and differ.
var rabbitPause = map[string]int{"rabbit-1": 20, "rabbit-2": 27}

// rabbitEnv is how a node, and rabbitmqctl for it, are told who they are.
func (t *trial) rabbitEnv(n *nodes, pod corev1.Pod) []string {
	home := filepath.Join(t.dir, pod.Name)
	return append([]string{
		"HOME=" + home,
		"RABBITMQ_NODENAME=" + n.basename + "@" + hostOf(n.mode, pod, n.domain),
		"RABBITMQ_USE_LONGNAME=true",
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(home, "rabbitmq.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(home, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(home, "mnesia"),
		"RABBITMQ_LOG_BASE=" + home,
		"RABBITMQ_LOGS=-",
		"RABBITMQ_PID_FILE=" + filepath.Join(home, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1",
	}, n.env...)
}

// rabbit makes a pod run RabbitMQ.
func (n *nodes) rabbit(t *trial) func(*corev1.Pod, []netip.Addr) command {
	return func(pod *corev1.Pod, addresses []netip.Addr) command {
		with := pod.DeepCopy()
		with.Status.PodIP = addresses[0].String()
		home := filepath.Join(t.dir, pod.Name)
		// What cannot be written, RabbitMQ will miss and say so.
		_ = os.MkdirAll(home, 0o700)
		conf := fmt.Sprintf(rabbitConf, n.ask)
		if pause := rabbitPause[pod.Name]; pause > 0 {
			conf += fmt.Sprintf("cluster_formation.discovery_retry_interval = %d\n", 1000*pause)
		}
		_ = os.WriteFile(filepath.Join(home, "rabbitmq.conf"), []byte(conf), 0o600)
		_ = os.WriteFile(filepath.Join(home, ".erlang.cookie"), []byte(t.name), 0o400)
		return command{name: pod.Name, pod: true, args: []string{rabbitBin + "rabbitmq-server"}, env: t.rabbitEnv(n, *with)}
	}
}

var rabbitPeers = regexp.MustCompile(`All discovered existing cluster peers: (.*)`)

// discovered gives whom a node of RabbitMQ's has found when it booted, or nobody if it has not said so yet.
func (t *trial) discovered(pod corev1.Pod) []string {
	if p, _ := t.kubelet.process(pod.UID); p != nil {
		if found := rabbitPeers.FindStringSubmatch(p.output()); found != nil {
			return strings.Split(found[1], ", ")
		}
	}
	return nil
}

// running asks a node of RabbitMQ's who runs in its cluster.
func (t *trial) running(n *nodes, pod corev1.Pod) ([]string, error) {
	_, namespace := t.kubelet.process(pod.UID)
	if namespace == "" {
		return nil, fmt.Errorf("%s does not run", pod.Name)
	}
	text, err := output(t.ctx, namespace, t.rabbitEnv(n, pod), rabbitBin+"rabbitmqctl", "--longnames", "cluster_status", "--formatter=json")
	if err != nil {
		return nil, err
	}
	var status struct {
		Running []string `json:"running_nodes"`
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return nil, fmt.Errorf("%w: %s", err, tail(text))
	}
	slices.Sort(status.Running)
	return status.Running, nil
}
