package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// makeArchives makes images.
func (c *Cluster) makeArchives(ctx context.Context, images []string) ([]string, error) {
	makers := map[string]func(ctx context.Context, store *build.Store, to string) (string, error){
		Pause: c.pauseArchive, CoreDNS: ours, Stock: stock, BEAM: beam,
	}
	out := make([]string, len(images))
	g, ctx := errgroup.WithContext(ctx)
	for i, image := range images {
		store := &build.Store{Run: output, Dir: filepath.Join(c.run.dir, "images", strconv.Itoa(i))}
		g.Go(func() error {
			if err := os.MkdirAll(store.Dir, 0o755); err != nil {
				return err
			}
			var err error
			out[i], err = makers[image](ctx, store, filepath.Join(store.Dir, "image.tar"))
			return err
		})
	}
	return out, g.Wait()
}

// pauseArchive is what holds the namespaces of each pod.
func (c *Cluster) pauseArchive(ctx context.Context, store *build.Store, to string) (string, error) {
	files := filepath.Join(store.Dir, "files")
	return to, errors.Join(
		os.MkdirAll(files, 0o755),
		build.CopyFile(filepath.Join(files, "pause"), c.pause),
		store.FromRoot(ctx, files, Pause, "--entrypoint", `["/pause"]`, "--user", "65535:65535"),
		store.Archive(ctx, Pause, to))
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

// beam has Erlang, Elixir and RabbitMQ, the modules of test/e2e/beam, and what starts an application with them.
func beam(ctx context.Context, store *build.Store, _ string) (string, error) {
	base, err := build.Debian(ctx, output, store.Dir, "localhost/erlang:e2e", "elixir", "rabbitmq-server")
	if err != nil {
		return "", err
	}
	files := filepath.Join(store.Dir, "files")
	app := filepath.Join(files, "app")
	if err := build.CopySource(app, filepath.Join(root, "beam")); err != nil {
		return "", err
	}
	sources, err := filepath.Glob(filepath.Join(root, "beam", "*.erl"))
	if err != nil {
		return "", err
	}
	args := append([]string{"+deterministic", "-o", app}, sources...)
	if out, err := output(exec.CommandContext(ctx, "erlc", args...)); err != nil {
		return "", fmt.Errorf("erlc: %w: %s", err, out)
	}
	return build.Layer(ctx, output, store.Dir, base, files, BEAM, "--entrypoint", `["/app/start.sh"]`,
		"--env", "PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin") // Debian's own tools change the user
}

// Build compiles a package of a module, whose directory is given as seen from test/e2e, and returns the path of the binary.
func Build(t testing.TB, module, pkg string, flags ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "binary")
	if err := build.Go(t.Context(), output, filepath.Join(root, module), to, pkg, flags...); err != nil {
		t.Fatal(err)
	}
	return to
}

// Modules compiles Erlang modules, and of test/e2e/beam, and returns the directory with the result.
func Modules(t testing.TB, sources ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "erlc", append([]string{"-o", dir}, sources...)...) //nolint:gosec // sources are ours
	cmd.Dir = filepath.Join(root, "beam")
	if out, err := output(cmd); err != nil {
		t.Fatalf("erlc: %v: %s", err, out)
	}
	return dir
}
