package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// clusterDomain is that of our kubelet.
const clusterDomain = "cluster.local"

// etcOf is the directory of the files that `ip netns exec` shows to a process of a namespace instead of the machine's.
func etcOf(namespace string) string { return filepath.Join("/etc/netns", namespace) }

// writeEtc writes these files, by their names.
func writeEtc(namespace string, files map[string]string) error {
	dir := etcOf(namespace)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // all may read it
			return err
		}
	}
	return nil
}

// podEtc gives what a kubelet and a container runtime write for a pod.
func podEtc(pod *corev1.Pod, addresses []netip.Addr, servers []string) map[string]string {
	return map[string]string{
		"resolv.conf": resolvConf(servers),
		"hosts":       podHosts(pod, addresses),
		"hostname":    podHostname(pod) + "\n",
	}
}

// machineEtc is for somebody who is no pod, and is called as the machine is.
func machineEtc(servers []string) map[string]string {
	hosts := localhost
	if name, err := os.Hostname(); err == nil {
		hosts += "127.0.0.1\t" + name + "\n" // some programs look for themselves
	}
	return map[string]string{"resolv.conf": resolvConf(servers), "hosts": hosts}
}

func resolvConf(servers []string) string {
	return "nameserver " + strings.Join(servers, "\nnameserver ") + "\noptions timeout:5\n"
}

// localhost is how a hosts file begins.
const localhost = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

// podHosts gives a pod's hosts file. A pod with a subdomain, as each of a StatefulSet has, has its full name in it, which
// is therefore what the system's resolver makes of the pod's own addresses, whatever DNS says.
// https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/
func podHosts(pod *corev1.Pod, addresses []netip.Addr) string {
	names := podHostname(pod)
	if pod.Spec.Subdomain != "" {
		names = fmt.Sprintf("%s.%s.%s.svc.%s\t%[1]s", names, pod.Spec.Subdomain, pod.Namespace, clusterDomain)
	}
	var out strings.Builder
	out.WriteString(localhost)
	for _, a := range addresses {
		fmt.Fprintf(&out, "%s\t%s\n", a, names)
	}
	return out.String()
}

// podHostname gives the host name of a pod.
func podHostname(pod *corev1.Pod) string {
	if pod.Spec.Hostname != "" {
		return pod.Spec.Hostname
	}
	return pod.Name
}
