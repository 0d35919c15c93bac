package build

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Store is a directory with container images, of plain files: nothing is left elsewhere, and nothing is mounted.
type Store struct {
	Run Run
	Dir string
}

func (s *Store) buildah() string {
	return fmt.Sprintf("buildah --root %s --runroot %s --storage-driver vfs", filepath.Join(s.Dir, "store"), filepath.Join(s.Dir, "run"))
}

// Buildah runs buildah with arguments, and returns what it prints.
func (s *Store) Buildah(ctx context.Context, args ...string) (string, error) {
	return s.do(ctx, append(strings.Fields(s.buildah()), args...)...)
}

func (s *Store) do(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what to run is ours
	// The caller may run under a make with options for those below.
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=")
	out, err := s.Run(cmd)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
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
	_, err := s.do(ctx, append([]string{"make", "-C", source, "image", "IMAGE=" + tag, "BUILDAH=" + s.buildah()}, variables...)...)
	return err
}

// FromRoot makes an image of a root file system, which is a directory or a tar file. Settings are options of buildah
// config.
func (s *Store) FromRoot(ctx context.Context, root, tag string, settings ...string) error {
	return s.From(ctx, "scratch", root, tag, settings...)
}

// From does the same on top of another image.
func (s *Store) From(ctx context.Context, base, root, tag string, settings ...string) error {
	working, err := s.Buildah(ctx, "from", "--quiet", base)
	if err != nil {
		return err
	}
	if _, err := s.Buildah(ctx, "add", "--quiet", working, root, "/"); err != nil {
		return err
	}
	if _, err := s.Buildah(ctx, append(append([]string{"config"}, settings...), working)...); err != nil {
		return err
	}
	_, err = s.Buildah(ctx, "commit", "--quiet", "--rm", working, tag)
	return err
}

// Archive writes an image to a file, with the name under which a container runtime that imports the file has it.
func (s *Store) Archive(ctx context.Context, tag, file string) error {
	_, err := s.Buildah(ctx, "push", "--quiet", tag, "docker-archive:"+file+":"+tag)
	return err
}

// Stock makes the root of an image of CoreDNS, in the version that a checkout requires, as others make it: with the binary
// alone, which without root's rights may listen on port 53 only because its file says so.
func Stock(ctx context.Context, run Run, checkout, root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	file := filepath.Join(root, "coredns")
	if err := Go(ctx, run, checkout, file, "github.com/coredns/coredns"); err != nil {
		return err
	}
	return setFileCapability(file, unix.CAP_NET_BIND_SERVICE)
}

// setFileCapability does what setcap(8) does with +ep. The attribute has revision 2 of struct vfs_cap_data, in little
// endian: see linux/capability.h.
func setFileCapability(path string, capability int) error {
	const revision2Effective = 0x02000001
	data := make([]byte, 20)
	binary.LittleEndian.PutUint32(data, revision2Effective)
	binary.LittleEndian.PutUint32(data[4:], 1<<capability)
	return unix.Setxattr(path, "security.capability", data, 0)
}

// CopySource copies what a build needs: all but what git and make keep.
func CopySource(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case name == ".git" || name == "bin":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		return CopyFile(filepath.Join(to, name), path)
	})
}

// CopyFile copies a file, which can be run where it lies then.
func CopyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
