package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/longnames/longnames/test/e2e/build"
)

// The images that tests can have. The first has the name that deploy/README.md has users give it.
const (
	CoreDNS = "registry.example/platform/coredns:v1.2.3"
	Stock   = "docker.io/coredns/coredns:stock"
	BEAM    = "localhost/beam:e2e"
)

// checkout is the plugin's module.
var checkout = filepath.Join(root, "..", "..")

// shared has the images of all clusters. It is removed when this process ends.
var shared = sync.OnceValues(newRun)

// archives are the files with the images that were made for a cluster: the next one has the same.
var archives sync.Map

// makers make images, in a store, from files in a directory of their own, and return the archive, which may be that file.
var makers = map[string]func(ctx context.Context, store *build.Store, files, to string) (string, error){
	Pause: pause, CoreDNS: ours, Stock: stock, BEAM: beam,
}

// makeArchives makes images, and returns the files that have them.
func makeArchives(ctx context.Context, images []string) ([]string, error) {
	r, err := shared()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(images))
	g, ctx := errgroup.WithContext(ctx)
	for i, image := range images {
		once, _ := archives.LoadOrStore(image, sync.OnceValues(func() (string, error) {
			store := &build.Store{Dir: r.file(strings.ReplaceAll(path.Base(image), ":", "-"))}
			files := filepath.Join(store.Dir, "files")
			if err := os.MkdirAll(files, 0o755); err != nil {
				return "", err
			}
			return makers[image](context.WithoutCancel(ctx), store, files, filepath.Join(store.Dir, "image.tar"))
		}))
		g.Go(func() (err error) {
			out[i], err = once.(func() (string, error))()
			return err
		})
	}
	return out, g.Wait()
}

// pause is what holds the namespaces of each pod.
func pause(ctx context.Context, store *build.Store, files, to string) (string, error) {
	return to, errors.Join(
		build.Go(ctx, root, filepath.Join(files, "pause"), "./cluster/pause"),
		store.FromRoots(ctx, Pause, to, []string{files}, "--entrypoint", `["/pause"]`, "--user", "65535:65535"))
}

// ours is what `make image` builds.
func ours(ctx context.Context, store *build.Store, _, to string) (string, error) {
	if err := store.Make(ctx, checkout, CoreDNS, "VERSION=v1.2.3", "COMMIT="); err != nil {
		return "", err
	}
	return to, store.Archive(ctx, CoreDNS, to)
}

// stock is a CoreDNS that knows nothing of longnames.
func stock(ctx context.Context, store *build.Store, files, to string) (string, error) {
	return to, errors.Join(
		build.Stock(ctx, checkout, files),
		store.FromRoots(ctx, Stock, to, []string{files}, "--entrypoint", `["/coredns"]`, "--user", "65532:65532"))
}

// beam has Erlang, Elixir and RabbitMQ, the modules of beam/ and of test/e2e/beam, and what starts an application with them.
func beam(ctx context.Context, store *build.Store, files, _ string) (string, error) {
	debian, err := build.Debian(ctx, "elixir", "rabbitmq-server")
	if err != nil {
		return "", err
	}
	app := filepath.Join(files, "app")
	if err := build.CopySource(app, filepath.Join(root, "beam")); err != nil {
		return "", err
	}
	directory, err := filepath.Abs(filepath.Join(checkout, "beam", "src"))
	if err != nil {
		return "", err
	}
	client, err := filepath.Glob(filepath.Join(directory, "*.erl"))
	if err != nil {
		return "", err
	}
	sources := append([]string{"+deterministic", "cluster.erl", "clients.erl", "downs.erl"}, client...)
	if err := compile(ctx, app, sources...); err != nil {
		return "", err
	}
	settings := []string{"--entrypoint", `["/app/start.sh"]`, "--workingdir", "/app/release", "--env", "HOME=/tmp",
		"--env", "PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin"} // Debian's own tools change the user
	return build.Cached("beam.tar", files, []any{debian, settings}, func(to string) error {
		return store.FromRoots(ctx, BEAM, to, []string{debian, files}, settings...)
	})
}

// compile compiles Erlang modules of test/e2e/beam to a directory.
func compile(ctx context.Context, to string, args ...string) error {
	cmd := exec.CommandContext(ctx, "erlc", append([]string{"-o", to}, args...)...) //nolint:gosec // what to run is ours
	cmd.Dir = filepath.Join(root, "beam")
	_, err := build.Output(cmd)
	return err
}

// Build compiles a package of a module, whose directory is given as seen from test/e2e, and returns the path of the binary.
func Build(t testing.TB, module, pkg string, flags ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "binary")
	require.NoError(t, build.Go(t.Context(), filepath.Join(root, module), to, pkg, flags...))
	return to
}

// Modules compiles Erlang modules of test/e2e/beam, and returns the directory with the result.
func Modules(t testing.TB, sources ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, compile(t.Context(), dir, sources...))
	return dir
}
