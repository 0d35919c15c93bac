package node

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
	"syscall"
	"testing"

	"github.com/longnames/longnames/test/e2e/build"
)

// run runs a command to its end. It may run under a make with options for those below.
func run(cmd *exec.Cmd) (string, error) {
	cmd.Env = append(cmd.Environ(), "MAKEFLAGS=", "MFLAGS=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := run(cmd)
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
	return strings.TrimSpace(out)
}

// TestImage is about what `make image` and `make sbom` make. No cluster is needed.
func TestImage(t *testing.T) {
	t.Run("Image", testImage)
	t.Run("Architectures", testArchitectures)
	t.Run("SBOM", testSBOM)
}

const tag = "localhost/longnames/coredns:e2e"

// testImage builds it twice, at two places and times, and looks at what it has.
func testImage(t *testing.T) {
	const version, commit = "v0.0.0-e2e", "0123456789ab"
	var stores []*build.Store
	buildah := func(args ...string) string {
		t.Helper()
		out, err := stores[0].Buildah(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	digests := make([]string, 2)
	for i := range digests {
		s := &build.Store{Dir: t.TempDir()}
		stores = append([]*build.Store{s}, stores...)
		if err := s.Make(t.Context(), checkout, tag, "VERSION="+version, "COMMIT="+commit, "SOURCE_DATE_EPOCH=1700000000"); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(s.Dir, "digest")
		buildah("push", "--quiet", "--digestfile", file, tag, "oci:"+filepath.Join(s.Dir, "layout"))
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = string(text)
	}
	if digests[0] != digests[1] || !strings.HasPrefix(digests[0], "sha256:") {
		t.Errorf("got digests %q, want one", digests)
	}

	var inspected struct {
		OCIv1 struct {
			Config struct {
				User, WorkingDir string
				Entrypoint       []string
				Labels           map[string]string
			} `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", tag)), &inspected); err != nil {
		t.Fatal(err)
	}
	c := inspected.OCIv1.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/coredns"}) || c.WorkingDir != "/" ||
		c.Labels["org.opencontainers.image.version"] != version || c.Labels["org.opencontainers.image.revision"] != commit {
		t.Errorf("got configuration %+v", c)
	}
	root := buildah("mount", buildah("from", "--pull-never", tag))
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 1 || entries[0].Name() != "coredns" {
		t.Fatalf("got %v and error %v, want the binary alone", entries, err)
	}
	cmd := exec.CommandContext(t.Context(), "/coredns", "-version")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	if got, want := mustRun(t, cmd), "longnames-"+version+", commit "+commit; !strings.Contains(got, want) {
		t.Errorf("-version: got %q, want %q in it", got, want)
	}

	size := func(dir string) string {
		return strings.Fields(mustRun(t, exec.CommandContext(t.Context(), "du", "-sb", dir)))[0]
	}
	page, err := os.ReadFile(filepath.Join(checkout, deployPage))
	if err != nil {
		t.Fatal(err)
	}
	stated := regexp.MustCompile(`(\d+) MB to\s+pull, (\d+) MB on\s+disk`).FindStringSubmatch(string(page))
	for i, got := range []string{size(filepath.Join(stores[0].Dir, "layout", "blobs")), size(root)} {
		bytes, err := strconv.ParseFloat(got, 64)
		want, err2 := strconv.ParseFloat(stated[i+1], 64)
		if err != nil || err2 != nil || bytes < want*0.9e6 || bytes > want*1.1e6 {
			t.Errorf("%s says %q, but got %s bytes", deployPage, stated[0], got)
		}
	}
}

// testArchitectures does what deploy/README.md says, but for the binary, which takes long to compile, and for the
// registry, which is a directory.
func testArchitectures(t *testing.T) {
	dir := t.TempDir()
	buildah := fmt.Sprintf("buildah --root %[1]s/store --runroot %[1]s/run --storage-driver vfs", dir)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"Makefile", "Dockerfile"} {
		if err := build.CopyFile(filepath.Join(dir, name), filepath.Join(checkout, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("bin/coredns", "a binary")
	write("bin/buildah", "#!/bin/sh\nPATH=${PATH#*:} exec "+buildah+" \"$@\"\n")
	write("bin/make", "#!/bin/sh\nPATH=${PATH#*:} exec make -o build 'BUILDAH="+buildah+"' VERSION=v0 COMMIT=0 \"$@\"\n")
	script := codeBlocks(t, deployPage, "More than one architecture", "sh")[0]
	script = strings.NewReplacer("=registry.example/platform/coredns:v1.2.3", "="+tag, "docker://$IMAGE", "oci:pushed").Replace(script)
	sh := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
		return mustRun(t, cmd)
	}
	sh(script)
	var platforms []string
	for _, found := range regexp.MustCompile(`"architecture":\s*"(\w+)"`).FindAllStringSubmatch(sh("buildah manifest inspect "+tag), -1) {
		platforms = append(platforms, found[1])
	}
	if want := []string{"amd64", "arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("got %q, want %q", platforms, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "pushed", "index.json")); err != nil {
		t.Errorf("nothing was pushed: %v", err)
	}
	// The environment is how Go itself is told.
	sh("GOARCH=arm64 make image IMAGE=" + tag + "-env")
	if got := sh("buildah inspect --type image --format '{{.OCIv1.Architecture}}' " + tag + "-env"); got != "arm64" {
		t.Errorf("from the environment: got %s, want arm64", got)
	}
}

// testSBOM checks that the SBOM lists what go.mod requires.
func testSBOM(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sbom.json")
	mustRun(t, exec.CommandContext(t.Context(), "make", "-C", checkout, "sbom", "SBOM="+file))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat  string
		Components []struct{ Name, Version string }
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	cmd := exec.CommandContext(t.Context(), build.GoCommand(), "mod", "edit", "-json", filepath.Join(checkout, "go.mod"))
	if err := json.Unmarshal(text, &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatalf("got format %q and error %v, want CycloneDX", bom.BOMFormat, err)
	}
	if err := json.Unmarshal([]byte(mustRun(t, cmd)), &mod); err != nil {
		t.Fatal(err)
	}
	listed, required := make(map[string]string), make(map[string]string)
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	for _, r := range mod.Require {
		required[r.Path] = r.Version
	}
	for _, path := range []string{"k8s.io/client-go", "k8s.io/api", "github.com/coredns/coredns", "github.com/miekg/dns"} {
		if required[path] == "" || listed[path] != required[path] {
			t.Errorf("%s: got version %q in the SBOM, want %q", path, listed[path], required[path])
		}
	}
}
