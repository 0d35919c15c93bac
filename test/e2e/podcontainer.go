package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// contain makes of a pod what a kubelet makes of it: a container of its image, with its arguments, its volumes and its
// security context. What our kubelet does not know is an error: nothing of a pod is left out.
func (t *trial) contain(pod *corev1.Pod, netns string) (command, error) {
	if err := unknown(pod); err != nil {
		return command{}, err
	}
	of := pod.Spec.Containers[0]
	image, err := t.images.named(of.Image)
	if err != nil {
		return command{}, err
	}
	dir := filepath.Join(t.dir, pod.Name)
	c := &container{Root: filepath.Join(dir, "root"), Dir: image.Dir}
	if err := os.MkdirAll(c.Root, 0o755); err != nil {
		return command{}, err
	}
	c.Args = slices.Concat(image.Entrypoint, of.Args)
	c.Env = slices.Concat(image.Env, []string{
		"HOSTNAME=" + podHostname(pod),
		"KUBERNETES_SERVICE_HOST=" + kubernetesAddress, "KUBERNETES_SERVICE_PORT=443",
	})
	if err := c.secure(pod, image); err != nil {
		return command{}, err
	}
	if c.Mounts, err = image.mounts(c.ReadOnlyRoot); err != nil {
		return command{}, err
	}
	etc := etcOf(netns)
	c.Mounts = append(c.Mounts,
		mount{From: "/proc", To: "/proc"},
		mount{From: filepath.Join(etc, "resolv.conf"), To: "/etc/resolv.conf"},
		mount{From: filepath.Join(etc, "hosts"), To: "/etc/hosts"},
		mount{From: filepath.Join(etc, "hostname"), To: "/etc/hostname"})
	volumes, err := t.volumes(pod, filepath.Join(dir, "volumes"))
	if err != nil {
		return command{}, err
	}
	for _, m := range of.VolumeMounts {
		c.Mounts = append(c.Mounts, mount{From: volumes[m.Name], To: m.MountPath, ReadOnly: m.ReadOnly})
	}
	return c.command(pod.Name, filepath.Join(dir, "container.json"))
}

// unknown is an error if a pod has what our kubelet knows nothing of.
func unknown(pod *corev1.Pod) error {
	s := pod.Spec
	if len(s.Containers) != 1 || len(s.InitContainers) > 0 || s.HostNetwork || s.HostPID || s.HostIPC || s.HostUsers != nil ||
		s.RuntimeClassName != nil || s.DNSConfig != nil || s.ShareProcessNamespace != nil ||
		len(s.HostAliases) > 0 || s.SetHostnameAsFQDN != nil || s.HostnameOverride != nil {
		return fmt.Errorf("%s: this kubelet cannot run such a pod", pod.Name)
	}
	c := s.Containers[0]
	if len(c.Command) > 0 || len(c.Env) > 0 || len(c.EnvFrom) > 0 || c.Lifecycle != nil || c.WorkingDir != "" || c.StartupProbe != nil ||
		len(c.VolumeDevices) > 0 || c.Stdin || c.TTY {
		return fmt.Errorf("%s: this kubelet cannot run such a container", pod.Name)
	}
	if s.DNSPolicy != corev1.DNSDefault {
		return fmt.Errorf("%s: got dnsPolicy %s, want %s: DNS must not wait for itself", pod.Name, s.DNSPolicy, corev1.DNSDefault)
	}
	return nil
}

// capabilityNumbers are those that a pod may ask for here. https://man7.org/linux/man-pages/man7/capabilities.7.html
var capabilityNumbers = map[corev1.Capability]int{"NET_BIND_SERVICE": netBindService}

const netBindService = 10

// secure applies the security contexts of a pod and its container.
func (c *container) secure(pod *corev1.Pod, image *containerImage) error {
	var err error
	if c.UID, c.GID, err = image.user(); err != nil {
		return err
	}
	p, s := pod.Spec.SecurityContext, pod.Spec.Containers[0].SecurityContext
	if p == nil || s == nil || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
		return fmt.Errorf("%s does not drop all capabilities", pod.Name)
	}
	if p.RunAsUser != nil || p.RunAsGroup != nil || p.FSGroup != nil || len(p.SupplementalGroups) > 0 ||
		s.RunAsUser != nil || s.RunAsGroup != nil || s.Privileged != nil && *s.Privileged || s.ProcMount != nil {
		return fmt.Errorf("%s: this kubelet knows nothing of such a security context", pod.Name)
	}
	if p.RunAsNonRoot != nil && *p.RunAsNonRoot && c.UID == 0 {
		return fmt.Errorf("%s: the image runs as root", pod.Name)
	}
	for _, capability := range s.Capabilities.Add {
		number, ok := capabilityNumbers[capability]
		if !ok {
			return fmt.Errorf("%s: unknown capability %s", pod.Name, capability)
		}
		c.Capabilities = append(c.Capabilities, number)
	}
	c.ReadOnlyRoot = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	c.NoNewPrivileges = s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation
	c.Sysctls = make(map[string]string)
	for _, sysctl := range p.Sysctls {
		// https://kubernetes.io/docs/tasks/administer-cluster/sysctl-cluster/#safe-and-unsafe-sysctls
		if sysctl.Name != "net.ipv4.ip_unprivileged_port_start" {
			return fmt.Errorf("%s: sysctl %s is not among those that are safe", pod.Name, sysctl.Name)
		}
		c.Sysctls[sysctl.Name] = sysctl.Value
	}
	return nil
}

// volumes makes a pod's volumes in a directory, and gives where each is.
func (t *trial) volumes(pod *corev1.Pod, dir string) (map[string]string, error) {
	out := make(map[string]string)
	for _, v := range pod.Spec.Volumes {
		path := filepath.Join(dir, v.Name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		out[v.Name] = path
		var err error
		switch {
		case v.ConfigMap != nil:
			err = t.followConfigMap(pod, path, v.ConfigMap)
		case v.EmptyDir != nil:
			err = os.Chmod(path, 0o777) // as a kubelet has it, whoever the user is
		case v.Projected != nil:
			err = t.project(pod, path, v.Projected.Sources)
		default:
			err = errors.New("this kubelet does not know its kind")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: volume %s: %w", pod.Name, v.Name, err)
		}
	}
	return out, nil
}

// project writes what a service account's pods get: a token that is bound to the pod, the CA and the namespace.
func (t *trial) project(pod *corev1.Pod, path string, sources []corev1.VolumeProjection) error {
	files := make(map[string]string)
	for _, s := range sources {
		switch {
		case s.ServiceAccountToken != nil:
			token, err := t.client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(t.ctx, pod.Spec.ServiceAccountName,
				&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
					ExpirationSeconds: s.ServiceAccountToken.ExpirationSeconds,
					BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
				}}, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			files[s.ServiceAccountToken.Path] = token.Status.Token
		case s.ConfigMap != nil:
			data, err := t.configMap(pod.Namespace, s.ConfigMap.Name, s.ConfigMap.Items)
			if err != nil {
				return err
			}
			maps.Copy(files, data)
		case s.DownwardAPI != nil:
			for _, item := range s.DownwardAPI.Items {
				if item.FieldRef == nil || item.FieldRef.FieldPath != "metadata.namespace" {
					return fmt.Errorf("unknown field for %s", item.Path)
				}
				files[item.Path] = pod.Namespace
			}
		default:
			return errors.New("unknown projection")
		}
	}
	return publish(path, files)
}

// configMap reads files of a ConfigMap: all, or those that are named.
func (t *trial) configMap(namespace, name string, items []corev1.KeyToPath) (map[string]string, error) {
	m, err := t.client.CoreV1().ConfigMaps(namespace).Get(t.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return m.Data, nil
	}
	out := make(map[string]string)
	for _, item := range items {
		text, ok := m.Data[item.Key]
		if !ok {
			return nil, fmt.Errorf("ConfigMap %s has no key %s", name, item.Key)
		}
		out[item.Path] = text
	}
	return out, nil
}

// followConfigMap writes a ConfigMap's files, and writes them anew when it changes, as long as the pod is there.
func (t *trial) followConfigMap(pod *corev1.Pod, path string, source *corev1.ConfigMapVolumeSource) error {
	last, err := t.configMap(pod.Namespace, source.Name, source.Items)
	if err != nil {
		return err
	}
	if err := publish(path, last); err != nil {
		return err
	}
	go t.everySecond(pod, func() {
		now, err := t.configMap(pod.Namespace, source.Name, source.Items)
		if err != nil || fmt.Sprint(now) == fmt.Sprint(last) { // it may be gone, together with the pod
			return
		}
		if err := publish(path, now); err != nil {
			t.note("%s: %v", path, err)
		}
		last = now
	})
	return nil
}

// publish writes files so that readers see all of the old ones or all of the new ones, in the way that a kubelet does.
func publish(dir string, files map[string]string) error {
	data, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if strings.Contains(name, "/") {
			return fmt.Errorf("%s lies deeper than this kubelet can see", name)
		}
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), 0o644); err != nil { //nolint:gosec // all may read it
			return err
		}
		link := filepath.Join(dir, name)
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil && !os.IsExist(err) {
			return err
		}
	}
	half := filepath.Join(dir, "..half")
	if err := os.Symlink(filepath.Base(data), half); err != nil {
		return err
	}
	return os.Rename(half, filepath.Join(dir, "..data"))
}

// user gives the ids of the user that an image names by numbers.
func (i *containerImage) user() (uid, gid int, err error) {
	u, g, ok := strings.Cut(i.User, ":")
	if !ok {
		return 0, 0, fmt.Errorf("the image's user is %q, want UID:GID", i.User)
	}
	uid, err = strconv.Atoi(u)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(g)
	return uid, gid, err
}
