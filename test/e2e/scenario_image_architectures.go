package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/longnames/longnames/test/e2e/build"
)

// tryArchitectures builds images as deploy/README.md says for more than one architecture, but for the binary, which takes
// long to compile: each is for the architecture that it was asked for, and both are found under one name.
func tryArchitectures(t *trial) {
	source := filepath.Join(t.dir, "source")
	t.must(os.MkdirAll(filepath.Join(source, "bin"), 0o755))
	for _, name := range []string{"Makefile", "Dockerfile"} {
		t.must(build.CopyFile(filepath.Join(source, name), filepath.Join("../..", name)))
	}
	t.must(os.WriteFile(filepath.Join(source, "bin", "coredns"), []byte("a binary"), 0o600))
	buildah := "buildah --root " + filepath.Join(t.dir, "store") + " --runroot " + filepath.Join(t.dir, "run") + " --storage-driver vfs"
	const image = "localhost/longnames/coredns:e2e"
	made, pushed := 0, false
	for line := range strings.Lines(t.snippet(deployPage, "More than one architecture", "sh", "prod")) {
		words := strings.Fields(strings.ReplaceAll(line, "$IMAGE", image))
		switch {
		case words[0] == "make":
			// The binary is taken for made.
			t.tool(source, slices.Concat([]string{"make", "-o", "build", "BUILDAH=" + buildah, "VERSION=v0", "COMMIT=0"}, words[1:])...)
			made++
		case words[0] == "buildah" && words[2] == "push":
			pushed = true // there is no registry
		case words[0] == "buildah":
			t.tool(source, append(strings.Fields(buildah), words[1:]...)...)
		case !strings.HasPrefix(line, "IMAGE="):
			t.failf("deploy/README.md has a line that is not tried: %s", line)
		}
	}
	if made != 2 || !pushed {
		t.failf("%d images were made and pushed is %t, want 2 and true", made, pushed)
	}
	var index struct {
		Manifests []struct {
			Platform struct {
				OS           string `json:"os"`
				Architecture string `json:"architecture"`
			} `json:"platform"`
		} `json:"manifests"`
	}
	t.must(json.Unmarshal([]byte(t.tool(source, append(strings.Fields(buildah), "manifest", "inspect", image)...)), &index))
	got := make([]string, 0, len(index.Manifests))
	for _, m := range index.Manifests {
		got = append(got, m.Platform.OS+"/"+m.Platform.Architecture)
	}
	t.must(same("platforms", got, []string{"linux/amd64", "linux/arm64"}))

	// The same from the environment, which is how Go itself is told.
	t.tool(source, "env", "GOARCH=arm64", "make", "-o", "build", "image", "BUILDAH="+buildah, "VERSION=v0", "COMMIT=0", "IMAGE="+image+"-env")
	got = []string{t.tool(source, append(strings.Fields(buildah), "inspect", "--type", "image", "--format", "{{.OCIv1.Architecture}}", image+"-env")...)}
	t.must(same("architecture from the environment", got, []string{"arm64"}))
}

// tool runs a command in a directory, and gives what it prints.
func (t *trial) tool(dir string, args ...string) string {
	cmd := exec.CommandContext(t.ctx, args[0], args[1:]...) //nolint:gosec // what to run is ours
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=") // what runs this may be a make that has told those below how to be
	out, err := toEndOf(cmd)
	if err != nil {
		t.failf("%s: %w: %s", strings.Join(args, " "), err, tail(out))
	}
	t.note("%s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(out)
}
