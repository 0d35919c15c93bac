package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/longnames/longnames/test/e2e/build"
)

// imageScenarios: the image that `make image` builds, and what it is made of.
func imageScenarios() []scenario {
	return []scenario{
		{"image-reproducible", tryReproducible},
		{"image-runs", tryImage},
		{"image-architectures", tryArchitectures},
		{"image-sbom", trySBOM},
	}
}

// tryReproducible builds the image twice, at two places and times.
func tryReproducible(t *trial) {
	one, err := t.images.ours()
	t.must(err)
	two, err := t.images.make(t.ctx, "again")
	t.must(err)
	if one.Digest != two.Digest || !strings.HasPrefix(one.Digest, "sha256:") {
		t.failf("got digests %s and %s, want one", one.Digest, two.Digest)
	}
	t.note("digest %s", one.Digest)
}

// stated is what deploy/README.md says about the size.
var stated = regexp.MustCompile(`(\d+) MB to\s+pull, (\d+) MB on\s+disk`)

// tryImage looks at what the image has, and runs it as a container runtime would that trusts it with nothing: not as
// root, without capabilities, on a root that cannot be written to.
func tryImage(t *trial) {
	i, err := t.images.ours()
	t.must(err)
	entries, err := os.ReadDir(i.Root)
	t.must(err)
	if len(entries) != 1 || entries[0].Name() != "coredns" {
		t.failf("the image has %v, want the binary alone", entries)
	}
	if i.User != "65532:65532" || !slices.Equal(i.Entrypoint, []string{"/coredns"}) || i.Dir != "/" {
		t.failf("got user %q, entrypoint %q and directory %q", i.User, i.Entrypoint, i.Dir)
	}
	if v, c := i.Labels["org.opencontainers.image.version"], i.Labels["org.opencontainers.image.revision"]; v != imageVersion || c != imageCommit {
		t.failf("got labels with version %q and revision %q", v, c)
	}
	info, err := entries[0].Info()
	t.must(err)
	t.statesSize(i.Packed, info.Size())

	t.note("the image is to print its version")
	version := t.runImage(i, "version", nil, "-version")
	<-version.done
	if want := "longnames-" + imageVersion + ", commit " + imageCommit + "\n"; version.err != nil || !strings.Contains(version.output(), want) {
		t.failf("-version: got %q and error %v, want %q", version.output(), version.err, want)
	}

	examples, err := filepath.Abs("../../examples")
	t.must(err)
	corefile, err := filepath.Abs("../../Corefile.example")
	t.must(err)
	p := t.runImage(i, "serve", []mount{
		{From: corefile, To: "/etc/coredns/Corefile", ReadOnly: true}, {From: examples, To: "/examples", ReadOnly: true},
	}, "-conf", "/etc/coredns/Corefile")
	t.must(p.until(t.ctx, patience, banner))
	text, err := output(t.ctx, t.netns("image-serve"), []string{"HOME=" + t.dir},
		"/usr/bin/dig", "+short", "-p", "1053", "@127.0.0.1", "shop.erl.internal", "TXT")
	t.must(err)
	t.must(same("dig", strings.Split(strings.TrimSpace(text), "\n"), []string{`"shop@10.1.0.11"`, `"shop@10.1.0.12"`}))
}

// statesSize wants the documentation to tell the size, more or less.
func (t *trial) statesSize(packed, unpacked int64) {
	text, err := os.ReadFile(deployPage)
	t.must(err)
	found := stated.FindSubmatch(text)
	if found == nil {
		t.failf("deploy/README.md has nothing like %q", stated)
	}
	t.note("%d bytes to pull, %d on disk", packed, unpacked)
	for n, got := range []int64{packed, unpacked} {
		want, err := strconv.ParseInt(string(found[n+1]), 10, 64)
		t.must(err)
		if want *= 1_000_000; got < want*9/10 || got > want*11/10 {
			t.failf("deploy/README.md says %q, but it is %d bytes to pull and %d on disk", found[0], packed, unpacked)
		}
	}
}

// runImage runs the image in a network namespace of its own.
func (t *trial) runImage(i *containerImage, name string, mounts []mount, args ...string) *process {
	netns := t.netns("image-" + name)
	t.must(batch(t.ctx, append([]string{"netns add " + netns}, in(netns, "link set lo up")...)...))
	t.cleanup(func() { _ = t.removeNetns(netns) })
	dir := filepath.Join(t.dir, name)
	c := &container{
		Root: filepath.Join(dir, "root"), ReadOnlyRoot: true, NoNewPrivileges: true,
		Args: slices.Concat(i.Entrypoint, args), Env: i.Env, Dir: i.Dir,
	}
	t.must(os.MkdirAll(c.Root, 0o755))
	var err error
	c.UID, c.GID, err = i.user()
	t.must(err)
	files, err := i.mounts(true)
	t.must(err)
	c.Mounts = slices.Concat(files, mounts)
	what, err := c.command(name, filepath.Join(dir, "container.json"))
	t.must(err)
	p, err := start(netns, t.dir, what)
	t.must(err)
	t.cleanup(func() { p.stop(0) })
	return p
}

// trySBOM wants the SBOM to list what go.mod requires, in the versions that it requires.
func trySBOM(t *trial) {
	file := filepath.Join(t.dir, "sbom.json")
	cmd := exec.CommandContext(t.ctx, "make", "-C", "../..", "sbom", "SBOM="+file) //nolint:gosec // the path is ours
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=")
	out, err := toEndOf(cmd)
	if err != nil {
		t.failf("make sbom: %w: %s", err, tail(out))
	}
	text, err := os.ReadFile(file)
	t.must(err)
	var bom struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct {
			Name       string `json:"name"`
			Version    string `json:"version"`
			PackageURL string `json:"purl"`
		} `json:"components"`
	}
	t.must(json.Unmarshal(text, &bom))
	if bom.BOMFormat != "CycloneDX" {
		t.failf("got format %q, want CycloneDX", bom.BOMFormat)
	}
	listed := make(map[string]string)
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	for _, path := range []string{"k8s.io/client-go", "k8s.io/api", "github.com/coredns/coredns", "github.com/miekg/dns"} {
		want, err := required(t, path)
		t.must(err)
		if listed[path] != want {
			t.failf("%s: got version %q in the SBOM, want %s", path, listed[path], want)
		}
	}
	t.note("%d components", len(bom.Components))
}

// required gives the version of a module in go.mod.
func required(t *trial, path string) (string, error) {
	cmd := exec.CommandContext(t.ctx, build.GoCommand(), "mod", "edit", "-json", "../../go.mod") //nolint:gosec // it is the Go of make
	out, err := cmd.Output()
	if err != nil {
		return "", err
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		return "", err
	}
	for _, r := range mod.Require {
		if r.Path == path {
			return r.Version, nil
		}
	}
	return "", fmt.Errorf("go.mod does not require %s", path)
}
