package docs_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/internal/markdown"
)

const (
	overlayCorefile = "../deploy/overlays/cluster-dns/corefile/Corefile"
	stubCorefile    = "../deploy/overlays/stub-domain/coredns/Corefile"
)

// Clients that disconnect nodes that an answer lacks are for `include all`.
func TestDeployCorefilesHaveTheSameOptions(t *testing.T) {
	want := map[string]string{
		"selector": "longnames.dev/basename", "include": "all", "group_by": "kubernetes.io/service-name", "basename": "label longnames.dev/basename", "ttl": "0",
	}
	seen := 0
	for path, text := range deployCorefiles(t) {
		for _, got := range optionsIn(t, text) {
			seen++
			delete(got, "namespaces")
			delete(got, "snapshot")
			if !maps.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	}
	if seen != 3 {
		t.Errorf("got %d longnames blocks, want 3", seen)
	}
}

// Both overlays say that they begin with what kubeadm writes.
func TestDeployCorefilesOfTheClusterBeginAlike(t *testing.T) {
	ours, stub := words(t, read(t, overlayCorefile)), words(t, read(t, stubCorefile))
	if !maps.Equal(ours[0], stub[0]) {
		t.Errorf("got\n%q\nand\n%q", ours[0], stub[0])
	}
}

// chartValues are the values of the chart coredns in github.com/coredns/helm that ours set.
type chartValues struct {
	Image              struct{ Repository, Tag string }
	RollingUpdate      appsv1.RollingUpdateDeployment
	Resources          map[string]any
	PodSecurityContext corev1.PodSecurityContext
	SecurityContext    corev1.SecurityContext
	ExtraVolumes       []corev1.Volume
	ExtraVolumeMounts  []corev1.VolumeMount
	Servers            []chartServer
}

// chartServer is a server block in the chart's form.
type chartServer struct {
	Zones []struct {
		Zone, Scheme string
		UseTCP       bool `json:"use_tcp"`
	}
	Port    any
	Plugins []struct {
		Name        string
		Parameters  any
		ConfigBlock string
	}
}

// helmValues returns the values of both files.
func helmValues(t *testing.T) *chartValues {
	t.Helper()
	var values chartValues
	for _, path := range []string{"../deploy/helm/coredns-values.yaml", "../deploy/helm/coredns-servers.yaml"} {
		if err := yaml.UnmarshalStrict([]byte(read(t, path)), &values); err != nil {
			t.Fatal(err)
		}
	}
	return &values
}

// chartCorefile renders server blocks as the chart's template of its ConfigMap does. The scheme dns://, which the chart
// needs, is CoreDNS' default.
func chartCorefile(servers []chartServer) string {
	var b strings.Builder
	for _, s := range servers {
		for _, z := range s.Zones {
			fmt.Fprintf(&b, "%s%s:%v ", strings.TrimPrefix(z.Scheme, "dns://"), z.Zone, s.Port)
		}
		b.WriteString("{\n")
		for _, p := range s.Plugins {
			b.WriteString(p.Name)
			if p.Parameters != nil {
				fmt.Fprintf(&b, " %v", p.Parameters)
			}
			if p.ConfigBlock != "" {
				fmt.Fprintf(&b, " {\n%s\n}", p.ConfigBlock)
			}
			b.WriteString("\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func TestHelmValuesMakeTheCorefileOfTheOverlay(t *testing.T) {
	got, want := words(t, chartCorefile(helmValues(t).Servers)), words(t, read(t, overlayCorefile))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// The chart makes the ports of its Service of the zones: TCP is among them if each of a port's zones has both.
func TestHelmValuesKeepTCPInTheService(t *testing.T) {
	servers := helmValues(t).Servers
	if len(servers) != 2 {
		t.Fatalf("got %d server blocks, want 2", len(servers))
	}
	for _, s := range servers {
		for _, z := range s.Zones {
			if z.Scheme != "dns://" || !z.UseTCP {
				t.Errorf("zone %s: got scheme %q and use_tcp %t, want dns:// and true", z.Zone, z.Scheme, z.UseTCP)
			}
		}
	}
}

// Helm merges maps of a release with ours, whose entries then replace those of the release.
func TestHelmValuesLeaveTheResourcesOfTheRelease(t *testing.T) {
	got, want := helmValues(t).Resources, map[string]any{"limits": map[string]any{"cpu": nil}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The pods of the chart have to differ from others in the same way as those of the overlay.
func TestHelmValuesMakeThePodsOfTheOverlay(t *testing.T) {
	var deployment appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(read(t, "../deploy/overlays/cluster-dns/image/deployment.yaml")), &deployment); err != nil {
		t.Fatal(err)
	}
	values, rolling, pod := helmValues(t), deployment.Spec.Strategy.RollingUpdate, deployment.Spec.Template.Spec
	container := pod.Containers[0]
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"image", values.Image.Repository + ":" + values.Image.Tag, container.Image},
		{"group", ptr.Deref(values.SecurityContext.RunAsGroup, 0), ptr.Deref(container.SecurityContext.RunAsGroup, 0)},
		{"sysctls", values.PodSecurityContext.Sysctls, pod.SecurityContext.Sysctls},
		{"volumes", values.ExtraVolumes, pod.Volumes},
		{"volume mounts", values.ExtraVolumeMounts, container.VolumeMounts},
		{"maxUnavailable", values.RollingUpdate.MaxUnavailable, rolling.MaxUnavailable},
		{"maxSurge", values.RollingUpdate.MaxSurge, rolling.MaxSurge},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

// commands returns the lines of the shell on all pages that match a pattern, each with those that continue it.
func commands(t *testing.T, pattern string) []markdown.Snippet {
	t.Helper()
	var found []markdown.Snippet
	for _, page := range pages(t) {
		for _, snippet := range page.Snippets("sh") {
			for line := range strings.SplitSeq(strings.ReplaceAll(snippet.Text, "\\\n", " "), "\n") {
				if regexp.MustCompile(pattern).MatchString(line) {
					found = append(found, markdown.Snippet{Where: snippet.Where, Text: line})
				}
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("got no command like %q", pattern)
	}
	return found
}

// Users write overlays in repositories of their own, beside a copy of deploy in longnames. Each directory that a page
// applies is in one of the two.
func TestKustomizationsOfThePagesAreThere(t *testing.T) {
	isThere := func(dir string) bool {
		_, err := os.Stat(filepath.Join("..", filepath.FromSlash(dir), "kustomization.yaml"))
		return err == nil
	}
	own := make(map[string]bool)
	for _, snippet := range markdown.Read(t, deployPath).Snippets("yaml") {
		var k struct {
			Kind                  string
			Resources, Components []string
		}
		if err := yaml.Unmarshal([]byte(snippet.Text), &k); err != nil || k.Kind != "Kustomization" {
			continue // it is part of one
		}
		file := regexp.MustCompile(`^# (\S+)/kustomization\.yaml\n`).FindStringSubmatch(snippet.Text)
		if file == nil {
			t.Errorf("%s: the overlay does not begin with its path", snippet.Where)
			continue
		}
		own[file[1]] = true
		for _, to := range slices.Concat(k.Resources, k.Components) {
			to = path.Join(file[1], to)
			if in, ok := strings.CutPrefix(to, "longnames/"); !ok || !isThere(in) {
				t.Errorf("%s: got %s, want a directory of longnames/deploy", snippet.Where, to)
			}
		}
	}
	if len(own) == 0 {
		t.Error("got no overlays of users")
	}
	applied := regexp.MustCompile(` -k (\S+)`)
	for _, command := range commands(t, applied.String()) {
		for _, k := range applied.FindAllStringSubmatch(command.Text, -1) {
			if !own[k[1]] && !isThere(k[1]) {
				t.Errorf("%s: got %q, want a directory that is there, or one of %v", command.Where, command.Text, slices.Sorted(maps.Keys(own)))
			}
		}
	}
}

// Helm keeps the values of the release if it is given files without any, unless it is told to reset them.
func TestHelmUpgradesResetValues(t *testing.T) {
	for _, command := range commands(t, `\bhelm\b.* upgrade `) {
		if !strings.Contains(command.Text, " --reset-values ") {
			t.Errorf("%s: got %q, want --reset-values in it", command.Where, command.Text)
		}
	}
}

// The pods of the cluster's DNS have the label k8s-app, whose value is kube-dns by kubeadm and coredns by Helm.
func TestClusterDNSIsSelectedWhoeverHasInstalledIt(t *testing.T) {
	texts := readAll(t, "../deploy")
	maps.Copy(texts, readAll(t, "../examples"))
	maps.DeleteFunc(texts, func(path, _ string) bool { return filepath.Ext(path) != ".yaml" })
	for _, page := range pages(t) {
		texts[page.Path] = page.Text
	}
	selectors := 0
	for path, text := range texts {
		for i, line := range strings.Split(text, "\n") {
			if !strings.Contains(line, "k8s-app") {
				continue
			}
			selectors++
			if !strings.Contains(line, "kube-dns") || !strings.Contains(line, "coredns") {
				t.Errorf("%s:%d: got %q, want both kube-dns and coredns", path, i+1, line)
			}
		}
	}
	if selectors == 0 {
		t.Error("got no selector of the cluster's DNS")
	}
}

// A kubectl in place of the real one tells the account of the Deployment coredns, and whose rights it is asked about.
func TestRightsAreAskedOfTheAccountOfTheClusterDNS(t *testing.T) {
	const kubectl = `#!/bin/sh
case "$*" in
*"get deployment coredns"*) printf %s "$ACCOUNT" ;;
"auth can-i"*) for last; do :; done; echo "$last" ;;
*) echo "kubectl $*" ;;
esac
`
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "kubectl"), []byte(kubectl), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{deployPath} {
		asking := slices.DeleteFunc(markdown.Read(t, path).Snippets("sh"), func(s markdown.Snippet) bool { return !strings.Contains(s.Text, "can-i") })
		if len(asking) == 0 {
			t.Errorf("%s: got no kubectl auth can-i", path)
		}
		for _, snippet := range asking {
			for account, want := range map[string]string{"coredns": "coredns", "default": "default", "": "default", "dns": "dns"} {
				command := exec.Command("sh", "-euc", snippet.Text)
				command.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "ACCOUNT=" + account}
				out, err := command.Output()
				if err != nil {
					t.Fatalf("%s: %v", snippet.Where, err)
				}
				got := slices.Compact(strings.Fields(string(out)))
				if want := []string{"system:serviceaccount:kube-system:" + want}; !slices.Equal(got, want) {
					t.Errorf("%s, account %q: got questions about %q, want %q", snippet.Where, account, got, want)
				}
			}
		}
	}
}

// Whoever is asked for many members must not be of use to somebody who forges addresses. NodeLocal DNSCache lacks the
// plugin, and is asked by pods of its own node.
func TestShippedCorefilesBoundAnswersOverUDP(t *testing.T) {
	corefiles := deployCorefiles(t)
	corefiles["Corefile.example"] = read(t, "../Corefile.example")
	maps.DeleteFunc(corefiles, func(path, _ string) bool { return strings.Contains(path, "node-local-dns") })
	if len(corefiles) != 5 {
		t.Fatalf("got %d Corefiles, want 5", len(corefiles))
	}
	for path, corefile := range corefiles {
		ours := 0
		for _, server := range words(t, corefile) {
			if server["longnames"] == "" && !strings.HasPrefix(server["zones"], "erl.internal") {
				continue
			}
			ours++
			if got, want := server["bufsize"], "bufsize 1232 "; got != want {
				t.Errorf("%s, %s: got %q, want %q", path, server["zones"], got, want)
			}
		}
		if ours == 0 {
			t.Errorf("%s: got no server block of ours", path)
		}
	}
}

// The account may read what is looked up, and nothing else.
func TestRightsAreThoseOfTheWatch(t *testing.T) {
	granted := 0
	for path, text := range readAll(t, "../deploy") {
		if !strings.HasSuffix(path, ".yaml") || !strings.Contains(text, "rbac.authorization.k8s.io") {
			continue
		}
		part := func() any { return new(map[string]any) }
		for _, of := range objects(t, []markdown.Snippet{{Where: path, Text: text}}, part) {
			for _, object := range of {
				var rules []rbacv1.PolicyRule
				switch o := object.(type) {
				case *rbacv1.Role:
					rules = o.Rules
				case *rbacv1.ClusterRole:
					rules = o.Rules
				}
				for _, rule := range rules {
					granted++
					got, want := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), []string{"discovery.k8s.io", "endpointslices", "list", "watch"}
					if !slices.Equal(got, want) {
						t.Errorf("%s: got rule %q, want %q", path, got, want)
					}
				}
			}
		}
	}
	if granted < 3 {
		t.Errorf("got %d rules, want those of two namespaces and of all", granted)
	}
}
