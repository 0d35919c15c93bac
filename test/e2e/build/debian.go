package build

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian returns an archive with an image of Debian's own packages, of the release and from the mirrors that this machine
// has.
func Debian(ctx context.Context, run Run, dir, tag string, packages ...string) (string, error) {
	sources, err := aptSources()
	if err != nil {
		return "", err
	}
	release, err := run(exec.CommandContext(ctx, "sh", "-euc", `. /etc/os-release && echo "$VERSION_CODENAME"`))
	if err != nil {
		return "", fmt.Errorf("/etc/os-release: %w: %s", err, release)
	}
	release = strings.TrimSpace(release)
	sum := sha256.Sum256(fmt.Append(nil, release, tag, packages))
	return Cached(fmt.Sprintf("image-%x.tar", sum[:8]), func(to string) error {
		root := filepath.Join(dir, "root.tar")
		args := append([]string{"--variant=essential", "--include=" + strings.Join(packages, ","), "--quiet",
			"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", release, root}, sources...)
		if out, err := run(exec.CommandContext(ctx, "mmdebstrap", args...)); err != nil {
			return fmt.Errorf("mmdebstrap: %w: %s", err, out)
		}
		s := &Store{Run: run, Dir: dir}
		if err := s.FromRoot(ctx, root, tag, "--env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
			return err
		}
		return s.Archive(ctx, tag, to)
	})
}

// Layer returns an archive with an image that has files on top of those of another archive's image. Settings are options of
// buildah config.
func Layer(ctx context.Context, run Run, dir, base, files, tag string, settings ...string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, base, tag, settings)
	if err := filepath.WalkDir(files, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // nobody else writes there
		fmt.Fprintf(sum, "%s %d\n%s", d.Name(), len(text), text)
		return err
	}); err != nil {
		return "", err
	}
	return Cached(fmt.Sprintf("image-%x.tar", sum.Sum(nil)[:8]), func(to string) error {
		s := &Store{Run: run, Dir: dir}
		if err := s.From(ctx, "docker-archive:"+base, files, tag, settings...); err != nil {
			return err
		}
		return s.Archive(ctx, tag, to)
	})
}

// aptSources are the files that name this machine's mirrors.
func aptSources() ([]string, error) {
	var out []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/debian*"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	return out, nil
}
