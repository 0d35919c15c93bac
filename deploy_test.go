package longnames

import (
	"fmt"
	"io/fs"
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

	"github.com/coredns/caddy/caddyfile"
	"github.com/coredns/coredns/core/dnsserver"
	"sigs.k8s.io/yaml"
)

// deployCorefiles gives the Corefiles in deploy, by path.
func deployCorefiles(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	if err := filepath.WalkDir("deploy", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "Corefile" {
			found[path] = read(t, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// corefileTokens gives what a Corefile says, whatever its comments and spaces: for each server block its zones, and for
// each directive its words.
func corefileTokens(t *testing.T, text string) []map[string]string {
	t.Helper()
	blocks, err := caddyfile.Parse("Corefile", strings.NewReader(text), append(slices.Clone(dnsserver.Directives), pluginName))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, b := range blocks {
		said := map[string]string{"zones": strings.Join(b.Keys, " ")}
		for directive, tokens := range b.Tokens {
			words := make([]string, 0, len(tokens))
			for _, token := range tokens {
				words = append(words, token.Text)
			}
			said[directive] = strings.Join(words, " ")
		}
		out = append(out, said)
	}
	return out
}

func TestDeployCorefilesAreAccepted(t *testing.T) {
	with := 0
	for path, text := range deployCorefiles(t) {
		t.Run(path, func(t *testing.T) {
			if strings.Contains(path, "stub-domain") {
				corefileTokens(t, text) // it has nothing of ours, but every plugin has to be known
				return
			}
			with++
			for _, c := range serverBlocks(t, text) {
				for c.Next() {
					if _, err := parse(c); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	if with != 3 {
		t.Errorf("got %d Corefiles with longnames, want 3", with)
	}
}

// Whoever is asked for many members must not be of use to somebody who forges addresses. NodeLocal DNSCache lacks the
// plugin, and is asked by pods of its own node.
func TestShippedCorefilesBoundAnswersOverUDP(t *testing.T) {
	corefiles := deployCorefiles(t)
	corefiles["Corefile.example"] = read(t, "Corefile.example")
	delete(corefiles, "deploy/overlays/stub-domain/node-local-dns/Corefile")
	if len(corefiles) != 5 {
		t.Fatalf("got %d Corefiles, want 5", len(corefiles))
	}
	for path, text := range corefiles {
		ours := 0
		for _, server := range corefileTokens(t, text) {
			if server[pluginName] == "" && !strings.HasPrefix(server["zones"], "erl.internal") {
				continue
			}
			ours++
			if got, want := server["bufsize"], "bufsize 1232"; got != want {
				t.Errorf("%s, %s: got %q, want %q", path, server["zones"], got, want)
			}
		}
		if ours == 0 {
			t.Errorf("%s: got no server block of ours", path)
		}
	}
}

// optionsIn gives the options of the one longnames block in a Corefile, each with its words, but for those that say where
// members are read from and kept.
func optionsIn(t *testing.T, text string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	blocks := serverBlocks(t, text)
	if len(blocks) != 1 {
		t.Fatalf("got %d blocks with longnames, want 1", len(blocks))
	}
	for c := blocks[0]; c.Next(); {
		c.RemainingArgs()
		for c.NextBlock() {
			found[c.Val()] = strings.Join(c.RemainingArgs(), " ")
		}
	}
	delete(found, "namespaces")
	delete(found, "snapshot")
	return found
}

// Clients that disconnect whom they miss are for `include all`.
func TestDeployCorefilesHaveTheSameOptions(t *testing.T) {
	want := map[string]string{
		"selector": "beam", "include": "all", "group_by": "kubernetes.io/service-name", "basename": "label beam", "ttl": "0",
	}
	for path, text := range deployCorefiles(t) {
		if strings.Contains(path, "stub-domain") {
			continue
		}
		if got := optionsIn(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// Who applies deploy and follows docs/clients.md is answered: the Services there are clusters here, of the same basename.
func TestDeployCorefilesTakeTheServicesOfClients(t *testing.T) {
	const page = "docs/clients.md"
	deployed := optionsIn(t, read(t, "deploy/base/Corefile"))
	found := regexp.MustCompile("(?ms)^```corefile\n(.*?)^```$").FindStringSubmatch(section(t, page, "### Mode hostname"))
	if found == nil {
		t.Fatalf("%s: got no Corefile for mode hostname", page)
	}
	explained := optionsIn(t, found[1])
	for _, option := range []string{"selector", "include", "group_by", "basename"} {
		if deployed[option] != explained[option] {
			t.Errorf("%s: got %q in deploy, want %q as in %s", option, deployed[option], explained[option], page)
		}
	}
}

// chartValues are the values of the chart coredns in github.com/coredns/helm that ours set. What is nested deeper is
// passed on to Kubernetes as it is.
type chartValues struct {
	Image struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"image"`
	RollingUpdate struct {
		MaxUnavailable any `json:"maxUnavailable"`
		MaxSurge       any `json:"maxSurge"`
	} `json:"rollingUpdate"`
	Resources          map[string]any   `json:"resources"`
	PodSecurityContext map[string]any   `json:"podSecurityContext"`
	SecurityContext    map[string]any   `json:"securityContext"`
	ExtraVolumes       []map[string]any `json:"extraVolumes"`
	ExtraVolumeMounts  []map[string]any `json:"extraVolumeMounts"`
	Servers            []chartServer    `json:"servers"`
}

// chartServer is a server block in the chart's form.
type chartServer struct {
	Zones []struct {
		Zone   string `json:"zone"`
		Scheme string `json:"scheme"`
		UseTCP bool   `json:"use_tcp"`
	} `json:"zones"`
	Port    any `json:"port"`
	Plugins []struct {
		Name        string `json:"name"`
		Parameters  any    `json:"parameters"`
		ConfigBlock string `json:"configBlock"`
	} `json:"plugins"`
}

// chartCorefile renders server blocks as the chart's template of its ConfigMap does. What is to the chart a scheme of its
// own is the default to CoreDNS.
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

// Maps of a release are merged with ours, so that what is in ours is in nobody else's hands any more.
func TestHelmValuesLeaveTheResourcesOfTheRelease(t *testing.T) {
	got, want := helmValues(t).Resources, map[string]any{"limits": map[string]any{"cpu": nil}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// helmValues gives the values of both files.
func helmValues(t *testing.T) *chartValues {
	t.Helper()
	var values chartValues
	for _, path := range []string{"deploy/helm/coredns-values.yaml", "deploy/helm/coredns-servers.yaml"} {
		if err := yaml.UnmarshalStrict([]byte(read(t, path)), &values); err != nil {
			t.Fatal(err)
		}
	}
	return &values
}

func TestHelmValuesMakeTheCorefileOfTheOverlay(t *testing.T) {
	got := corefileTokens(t, chartCorefile(helmValues(t).Servers))
	want := corefileTokens(t, read(t, "deploy/overlays/cluster-dns/corefile/Corefile"))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// The pods of the chart have to differ from others in the same way as those of the overlay.
func TestHelmValuesMakeThePodsOfTheOverlay(t *testing.T) {
	type object = map[string]any
	var deployment struct {
		Spec struct {
			Strategy struct{ RollingUpdate object }
			Template struct {
				Spec struct {
					SecurityContext object
					Containers      []struct {
						Image           string
						SecurityContext object
						VolumeMounts    []object
					}
					Volumes []object
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/overlays/cluster-dns/image/deployment.yaml")), &deployment); err != nil {
		t.Fatal(err)
	}
	values, spec := helmValues(t), deployment.Spec.Template.Spec
	tests := []struct {
		what      string
		got, want any
	}{
		{"image", values.Image.Repository + ":" + values.Image.Tag, spec.Containers[0].Image},
		{"group", values.SecurityContext["runAsGroup"], spec.Containers[0].SecurityContext["runAsGroup"]},
		{"sysctls", values.PodSecurityContext["sysctls"], spec.SecurityContext["sysctls"]},
		{"volumes", values.ExtraVolumes, spec.Volumes},
		{"volume mounts", values.ExtraVolumeMounts, spec.Containers[0].VolumeMounts},
		{"maxUnavailable", values.RollingUpdate.MaxUnavailable, deployment.Spec.Strategy.RollingUpdate["maxUnavailable"]},
		{"maxSurge", values.RollingUpdate.MaxSurge, deployment.Spec.Strategy.RollingUpdate["maxSurge"]},
	}
	for _, tc := range tests {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.what, tc.got, tc.want)
		}
	}
}

// Both overlays say that they begin with what kubeadm writes.
func TestDeployCorefilesOfTheClusterBeginAlike(t *testing.T) {
	ours := corefileTokens(t, read(t, "deploy/overlays/cluster-dns/corefile/Corefile"))
	stub := corefileTokens(t, read(t, "deploy/overlays/stub-domain/coredns/Corefile"))
	if !reflect.DeepEqual(ours[0], stub[0]) {
		t.Errorf("got\n%q\nand\n%q", ours[0], stub[0])
	}
}

const deployPage = "deploy/README.md"

func TestDeployLinks(t *testing.T) { leadSomewhere(t, deployPage) }

// commands gives the lines of the shell on a page, each with those that continue it.
func commands(t *testing.T, page string) []string {
	t.Helper()
	var found []string
	for _, text := range snippets(t, page, "sh") {
		found = append(found, strings.Split(strings.ReplaceAll(text, "\\\n", " "), "\n")...)
	}
	return found
}

// Users write overlays in repositories of their own, beside a copy of deploy in longnames. Whatever they apply is in one of
// the two.
func TestKustomizationsOfThePagesAreThere(t *testing.T) {
	there := func(dir string) bool {
		_, err := os.Stat(filepath.Join(filepath.FromSlash(dir), "kustomization.yaml"))
		return err == nil
	}
	own, applied := make(map[string]bool), 0
	for where, text := range snippets(t, deployPage, "yaml") {
		var k struct {
			Kind                  string
			Resources, Components []string
		}
		if err := yaml.Unmarshal([]byte(text), &k); err != nil || k.Kind != "Kustomization" {
			continue // other tests read those
		}
		file := regexp.MustCompile(`^# (\S+)/kustomization\.yaml\n`).FindStringSubmatch(text)
		if file == nil {
			t.Errorf("%s: the overlay does not begin with where it is", where)
			continue
		}
		own[file[1]] = true
		for _, to := range slices.Concat(k.Resources, k.Components) {
			if in, ok := strings.CutPrefix(path.Join(file[1], to), "longnames/"); !ok || !there(in) {
				t.Errorf("%s: %s leads to %s, want a directory of longnames/deploy", where, to, path.Join(file[1], to))
			}
		}
	}
	for _, page := range append(pages(t), deployPage) {
		for _, command := range commands(t, page) {
			for _, k := range regexp.MustCompile(` -k (\S+)`).FindAllStringSubmatch(command, -1) {
				applied++
				if !own[k[1]] && !there(k[1]) {
					t.Errorf("%s: got %q, want a directory that is there, or one of %v", page, command, slices.Sorted(maps.Keys(own)))
				}
			}
		}
	}
	if len(own) == 0 || applied == 0 {
		t.Errorf("got %d overlays of users and %d that are applied, want some", len(own), applied)
	}
}

// Helm keeps the values of the release if it is given files without any, unless it is told to reset them.
func TestHelmUpgradesResetValues(t *testing.T) {
	upgrades := 0
	for _, page := range append(pages(t), deployPage) {
		for _, command := range commands(t, page) {
			if !regexp.MustCompile(`\bhelm\b.* upgrade `).MatchString(command) {
				continue
			}
			upgrades++
			if !strings.Contains(command, " --reset-values ") {
				t.Errorf("%s: got %q, want --reset-values in it", page, command)
			}
		}
	}
	if upgrades == 0 {
		t.Error("got no helm upgrade")
	}
}

// The pods of the cluster's DNS have the label k8s-app, whose value is kube-dns by kubeadm and coredns by Helm.
func TestClusterDNSIsSelectedWhoeverHasInstalledIt(t *testing.T) {
	files := append(pages(t), deployPage)
	if err := filepath.WalkDir("deploy", func(file string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(file, ".yaml") {
			files = append(files, file)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	selectors := 0
	for _, file := range files {
		for i, line := range strings.Split(read(t, file), "\n") {
			if !strings.Contains(line, "k8s-app") {
				continue
			}
			selectors++
			if !strings.Contains(line, "kube-dns") || !strings.Contains(line, "coredns") {
				t.Errorf("%s:%d: got %q, want both kube-dns and coredns", file, i+1, line)
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
	for _, page := range []string{readme, deployPage} {
		asked := 0
		for where, text := range snippets(t, page, "sh") {
			if !strings.Contains(text, "can-i") {
				continue
			}
			asked++
			for account, want := range map[string]string{"coredns": "coredns", "default": "default", "": "default", "dns": "dns"} {
				command := exec.Command("sh", "-euc", text)
				command.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "ACCOUNT=" + account}
				out, err := command.Output()
				if err != nil {
					t.Fatalf("%s: %v", where, err)
				}
				for line := range strings.Lines(string(out)) {
					if want := "system:serviceaccount:kube-system:" + want + "\n"; line != want {
						t.Errorf("%s, account %q: got a question about %q, want %q", where, account, line, want)
					}
				}
				if len(out) == 0 {
					t.Errorf("%s: got no question", where)
				}
			}
		}
		if asked == 0 {
			t.Errorf("%s: got no kubectl auth can-i", page)
		}
	}
}
