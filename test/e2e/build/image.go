package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Store is a directory with container images, of plain files: nothing is left elsewhere, and nothing is mounted.
type Store struct{ Dir string }

func (s *Store) buildah() []string {
	return []string{"buildah", "--root", filepath.Join(s.Dir, "store"), "--runroot", filepath.Join(s.Dir, "run"),
		"--storage-driver", "vfs"}
}

// Buildah runs buildah with arguments, and returns what it prints.
func (s *Store) Buildah(ctx context.Context, args ...string) (string, error) {
	return do(ctx, append(s.buildah(), args...)...)
}

func do(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what to run is ours
	// The caller may run under a make with options for those below.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=")
	out, err := Output(cmd)
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(out), err
}

// Make builds the image of a checkout as `make image` does, under a tag. The build is made from a copy, so that what the
// checkout has built stays as it is.
func (s *Store) Make(ctx context.Context, checkout, tag string, variables ...string) error {
	source := filepath.Join(s.Dir, "source")
	if err := CopySource(source, checkout); err != nil {
		return err
	}
	defer os.RemoveAll(source)
	args := []string{"make", "-C", source, "image", "IMAGE=" + tag, "BUILDAH=" + strings.Join(s.buildah(), " ")}
	_, err := do(ctx, append(args, variables...)...)
	return err
}

// Archive writes an image to a file, with the name under which a container runtime that imports the file has it.
func (s *Store) Archive(ctx context.Context, tag, file string) error {
	_, err := s.Buildah(ctx, "push", "--quiet", tag, "docker-archive:"+file+":"+tag)
	return err
}

// FromRoots does that with a new image of root file systems, each a directory or a tar file. Settings are options of
// buildah config.
func (s *Store) FromRoots(ctx context.Context, tag, file string, roots []string, settings ...string) error {
	working, err := s.Buildah(ctx, "from", "--quiet", "scratch")
	for _, args := range [][]string{
		slices.Concat([]string{"add", "--quiet", working}, roots, []string{"/"}),
		slices.Concat([]string{"config"}, settings, []string{working}),
		{"commit", "--quiet", "--rm", working, tag},
	} {
		if err == nil {
			_, err = s.Buildah(ctx, args...)
		}
	}
	if err != nil {
		return err
	}
	return s.Archive(ctx, tag, file)
}

// Debian returns a tar file with packages of Debian, of the release and from the mirrors that this machine has.
func Debian(ctx context.Context, packages ...string) (string, error) {
	const script = `. /etc/os-release
mmdebstrap --variant=essential --include="$2" --quiet --format=tar --dpkgopt=path-exclude=/usr/share/doc/* \
	--dpkgopt=path-exclude=/usr/share/man/* "$VERSION_CODENAME" "$1" \
	$(find /etc/apt/sources.list /etc/apt/sources.list.d -name sources.list -o -name 'debian*')`
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	return Cached("debian.tar", "", []any{string(release), script, packages}, func(to string) error {
		_, err := do(ctx, "sh", "-euc", script, "sh", to, strings.Join(packages, ","))
		return err
	})
}

// Stock makes the root of an image of CoreDNS, in the version that a checkout requires, as others make it: with the binary
// alone, which without root's rights may listen on port 53 only because its file says so.
func Stock(ctx context.Context, checkout, root string) error {
	file := filepath.Join(root, "coredns")
	if err := Go(ctx, checkout, file, "github.com/coredns/coredns"); err != nil {
		return err
	}
	_, err := do(ctx, "setcap", "cap_net_bind_service=+ep", file)
	return err
}

// CopySource copies what a build needs: all but what git and make keep.
func CopySource(to, from string) error {
	const script = `mkdir -p "$1"; tar -C "$2" --exclude=./.git --exclude=./bin -cf - . | tar -C "$1" -xf -`
	_, err := do(context.Background(), "sh", "-euc", script, "sh", to, from)
	return err
}

// CopyFile copies an executable file.
func CopyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755) //nolint:gosec // it is to be run
}
