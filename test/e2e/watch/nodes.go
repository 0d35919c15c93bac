package watch

import (
	"errors"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// LastLine returns the words of the last whole line of a log that begins in some way, without that.
func LastLine(log, begin string) []string {
	whole := "\n" + log[:strings.LastIndex(log, "\n")+1]
	i := strings.LastIndex(whole, "\n"+begin)
	if i < 0 {
		return nil
	}
	line, _, _ := strings.Cut(whole[i+1+len(begin):], "\n")
	return strings.Fields(line)
}

// Meshed returns an error unless a node says at last that it has found all others of some, and is connected to these.
func Meshed(node, log string, all []string) error {
	others := slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other == node })
	return errors.Join(Same("FOUND of "+node, LastLine(log, "FOUND "), others), Same("NODES of "+node, LastLine(log, "NODES "), others))
}

// Lost returns the lines of a log about nodes that are lost, but for those that have left.
func Lost(log string, left map[string]bool) (out []string) {
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "DOWN" && !left[f[1]] {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// Reverse is the name of an address.
func Reverse(address string) string {
	name, err := dns.ReverseAddr(address)
	if err != nil {
		panic(err)
	}
	return name
}

// Host is what Kubernetes' and libcluster's documentation have people put behind the @ of a node's name. The plugin is
// not its own judge.
func Host(mode string, pod corev1.Pod, domain string) string {
	switch mode {
	case "dns":
		return Dashed(pod) + "." + pod.Namespace + ".pod." + domain
	case "hostname":
		return pod.Spec.Hostname + "." + pod.Spec.Subdomain + "." + pod.Namespace + ".svc." + domain
	default:
		return pod.Status.PodIP
	}
}

// Dashed is the address of a pod as a label.
func Dashed(pod corev1.Pod) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(pod.Status.PodIP)
}
