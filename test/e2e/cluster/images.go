package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/longnames/longnames/test/e2e/build"
)

// The images that tests can have. The first has the name that deploy/README.md has users give it, the second that of
// testdata/kubeadm.yaml.
const (
	CoreDNS = "registry.example/platform/coredns:v1.2.3"
	Stock   = "docker.io/coredns/coredns:stock"
	BEAM    = "localhost/beam:e2e"
)

// checkout is the plugin's module.
var checkout = filepath.Join(root, "..", "..")

// Archives makes images, for Options.
func Archives(t testing.TB, images ...string) []string {
	t.Helper()
	makers := map[string]func(ctx context.Context, store *build.Store, to string) (string, error){
		CoreDNS: ours, Stock: stock, BEAM: beam,
	}
	out := make([]string, len(images))
	g, ctx := errgroup.WithContext(t.Context())
	for i, image := range images {
		dir := t.TempDir()
		g.Go(func() (err error) {
			out[i], err = makers[image](ctx, &build.Store{Run: output, Dir: filepath.Join(dir, "store")}, filepath.Join(dir, "image.tar"))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return out
}

// ours is what `make image` builds.
func ours(ctx context.Context, store *build.Store, to string) (string, error) {
	if err := store.Make(ctx, checkout, CoreDNS, "VERSION=v1.2.3", "COMMIT="); err != nil {
		return "", err
	}
	return to, store.Archive(ctx, CoreDNS, to)
}

// stock is a CoreDNS that knows nothing of longnames.
func stock(ctx context.Context, store *build.Store, to string) (string, error) {
	files := filepath.Join(store.Dir, "files")
	return to, errors.Join(
		build.Stock(ctx, output, checkout, files),
		store.FromRoot(ctx, files, Stock, "--entrypoint", `["/coredns"]`, "--user", "65532:65532"),
		store.Archive(ctx, Stock, to))
}

// beam has Erlang, and a shell.
func beam(ctx context.Context, store *build.Store, _ string) (string, error) {
	if err := os.MkdirAll(store.Dir, 0o755); err != nil {
		return "", err
	}
	return build.Debian(ctx, output, store.Dir, BEAM, "erlang-base")
}

// Modules compiles Erlang modules, and returns the directory with them.
func Modules(t testing.TB, sources ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-o", dir}
	for _, name := range sources {
		args = append(args, filepath.Join(root, "beam", name))
	}
	if out, err := output(exec.CommandContext(t.Context(), "erlc", args...)); err != nil { //nolint:gosec // sources are ours
		t.Fatalf("erlc: %v: %s", err, out)
	}
	return dir
}
