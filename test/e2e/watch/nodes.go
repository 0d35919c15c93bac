package watch

import (
	"strings"

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
