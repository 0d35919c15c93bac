package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// secret makes one that a manifest takes a key from.
func (t *trial) secret(namespace, name string, keys ...string) {
	data := make(map[string]string)
	for _, key := range keys {
		data[key] = t.name
	}
	_, err := t.client.CoreV1().Secrets(namespace).Create(t.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data,
	}, metav1.CreateOptions{})
	t.must(err)
}

var reference = regexp.MustCompile(`\$\(([A-Za-z_]+)\)`)

// environment gives what a kubelet gives the first container of a pod: its variables, with the downward API's and
// Secrets' values. Where one names a file in a ConfigMap that is mounted, it names the file that is written here.
// https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
func (t *trial) environment(pod *corev1.Pod, addresses []netip.Addr) ([]string, error) {
	mounts, err := t.mount(pod)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string)
	out := make([]string, 0, len(pod.Spec.Containers[0].Env))
	for _, v := range pod.Spec.Containers[0].Env {
		value := reference.ReplaceAllStringFunc(v.Value, func(ref string) string {
			if known, ok := values[strings.Trim(ref, "$()")]; ok {
				return known
			}
			return ref
		})
		if v.ValueFrom != nil {
			if value, err = t.valueFrom(v.ValueFrom, pod, addresses); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", v.Name, pod.Name, err)
			}
		}
		for path, dir := range mounts {
			if rest, ok := strings.CutPrefix(value, path+"/"); ok {
				value = filepath.Join(dir, rest)
			}
		}
		values[v.Name] = value
		out = append(out, v.Name+"="+value)
	}
	return out, nil
}

func (t *trial) valueFrom(from *corev1.EnvVarSource, pod *corev1.Pod, addresses []netip.Addr) (string, error) {
	switch {
	case from.SecretKeyRef != nil:
		secret, err := t.client.CoreV1().Secrets(pod.Namespace).Get(t.ctx, from.SecretKeyRef.Name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		value, ok := secret.Data[from.SecretKeyRef.Key]
		if !ok {
			return "", fmt.Errorf("no key %s in Secret %s", from.SecretKeyRef.Key, secret.Name)
		}
		return string(value), nil
	case from.FieldRef != nil:
		switch from.FieldRef.FieldPath {
		case "status.podIP":
			return addresses[0].String(), nil
		case "metadata.name":
			return pod.Name, nil
		case "metadata.namespace":
			return pod.Namespace, nil
		}
	}
	return "", fmt.Errorf("it comes from %s", from)
}

// mount writes the ConfigMaps that the first container mounts, and gives a directory for each path. Other volumes need
// nothing.
func (t *trial) mount(pod *corev1.Pod) (map[string]string, error) {
	out := make(map[string]string)
	for _, m := range pod.Spec.Containers[0].VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if pod.Spec.Volumes[i].ConfigMap == nil {
			continue
		}
		config, err := t.client.CoreV1().ConfigMaps(pod.Namespace).Get(t.ctx, pod.Spec.Volumes[i].ConfigMap.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(t.dir, pod.Name, "volumes", m.Name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		for name, text := range config.Data {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
		out[m.MountPath] = dir
	}
	return out, nil
}

// inetrc writes the inetrc that a section of docs/clients.md has in a ConfigMap, and gives the variable that names it.
func (t *trial) inetrc(section string) []string {
	for object := range strings.SplitSeq(t.snippet(clientsPage, section, "yaml", "prod"), "\n---\n") {
		var config corev1.ConfigMap
		t.must(yaml.Unmarshal([]byte(object), &config))
		if text, found := config.Data["inetrc"]; found {
			file := filepath.Join(t.dir, "inetrc")
			t.must(os.WriteFile(file, []byte(text), 0o600))
			return []string{"ERL_INETRC=" + file}
		}
	}
	t.failf("section %q has no inetrc", section)
	return nil
}

// release makes a pod run as a release does that has lines in its rel/env.sh.eex: as a node that is called what these
// say, with more arguments for erl. Then it polls for others: see beam/cluster.erl.
func (t *trial) release(lines string, poll func(env []string) []string, more ...string) func(*corev1.Pod, []netip.Addr) command {
	return func(pod *corev1.Pod, addresses []netip.Addr) command {
		home := filepath.Join(t.dir, pod.Name+"."+string(pod.UID)) // there may be another of this name later
		_ = os.MkdirAll(home, 0o700)                               // erl says so if it is missing
		env, err := t.environment(pod, addresses)
		if err != nil {
			t.note("%s: %v", pod.Name, err)
			return command{name: pod.Name, pod: true, args: []string{"false"}}
		}
		node := t.erl(home, slices.Concat(more, []string{"-kernel", "net_ticktime", "15", "-s", "downs", "main", "-s", "cluster", "main", "-extra"}, poll(env))...)
		script := lines + `[ "$RELEASE_DISTRIBUTION" = name ] || exit 1
erl=$1
shift
exec "$erl" -name "$RELEASE_NODE" -setcookie "$RELEASE_COOKIE" "$@"
`
		node.args = append([]string{"sh", "-euc", script, "sh"}, node.args...)
		node.env = slices.Concat(node.env, env)
		return node
	}
}
