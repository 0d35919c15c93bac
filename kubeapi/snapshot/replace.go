package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// temporary stands between the name of a file and a number in the name of the temporary file that will
// replace it.
const temporary = ".longnames-tmp-"

// replaceFile puts a new file in the place of an old one, if there is one, unless ctx ends before. At any
// time, also after a crash, there is all of the one or all of the other.
func replaceFile(ctx context.Context, path string, write func(io.Writer) error) error {
	path, err := followLinks(path)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	removeLeftovers(path)
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+temporary+"*") // mode 0600
	if err != nil {
		return cause(err)
	}
	err = finish(ctx, file, path, write)
	if err != nil {
		os.Remove(file.Name())
		return cause(err)
	}
	return syncDir(filepath.Dir(path))
}

// finish fills a temporary file and gives it its name.
func finish(ctx context.Context, file *os.File, path string, write func(io.Writer) error) error {
	defer file.Close()
	if err := write(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err // a successor may have written a newer one
	}
	return os.Rename(file.Name(), path)
}

// followLinks returns the file that a link leads to, so that the link stays and the file is
// replaced where it is. It need not exist yet.
func followLinks(path string) (string, error) {
	const most = 40 // as in Linux
	for range most {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, filepath.Base(path))
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil //nolint:nilerr // it is no link
		}
		if path = link; !filepath.IsAbs(link) {
			path = filepath.Join(dir, link)
		}
	}
	return "", fmt.Errorf("%s: too many links", path)
}

// removeLeftovers removes the temporary files of a process that was killed.
func removeLeftovers(path string) {
	path, err := followLinks(path)
	if err != nil {
		return
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // the next write will fail
	}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+temporary)
		if ok && number != "" && strings.Trim(number, "0123456789") == "" && entry.Type().IsRegular() {
			os.Remove(filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
}

// syncDir makes a renaming last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); !errors.Is(err, syscall.EINVAL) { // some file systems have no such thing
		return err
	}
	return nil
}

// cause removes the name of a temporary file from an error, for that is another each time.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %w", link.Op, link.Err)
	}
	return err
}
