package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// wantFiles wants the directory of path to have just these files.
func wantFiles(t *testing.T, path string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, 0, len(entries))
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("files: want %q, got %q", want, got)
	}
}

func wantText(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: want %q, got %q, %v", path, want, got, err)
	}
}

// put replaces a file by one that says text.
func put(path, text string) error {
	return replaceFile(context.Background(), path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func TestReplaceFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"new", "replaced", ""} {
		if err := put(path, text); err != nil {
			t.Fatal(err)
		}
		wantText(t, path, text)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != 0o600 {
			t.Errorf("mode: want %v, got %v", os.FileMode(0o600), got)
		}
	}
	wantFiles(t, path, "f")
}

// smallDisk is full after so many bytes.
type smallDisk struct {
	w    io.Writer
	left int
}

var errFull = errors.New("disk is full")

func (d *smallDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		n, err := d.w.Write(p[:d.left])
		d.left = 0
		return n, errors.Join(err, errFull)
	}
	d.left -= len(p)
	return d.w.Write(p)
}

func TestFullDiskLeavesTheFileAsItWas(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	write(t, f, knownPods(t, "a")...)
	before := textOf(t, f, knownPods(t, "a")...)
	s := &contents{objects: knownPods(t, "a", "b", "c"), written: writtenAt}
	size := len(textOf(t, f, s.objects...))
	for n := 0; n <= size; n += 97 {
		err := replaceFile(t.Context(), f.path, func(w io.Writer) error {
			return f.encode(t.Context(), &smallDisk{w, min(n, size-1)}, s, nil)
		})
		if !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: want %v, got %v", n, errFull, err)
		}
		wantText(t, f.path, before)
		wantFiles(t, f.path, "members.json")
	}
}

func TestEndedContextLeavesTheFileAsItWas(t *testing.T) {
	f := fileOf(configOf(t, &kubetest.Log{}))
	write(t, f, knownPods(t, "a")...)
	before := textOf(t, f, knownPods(t, "a")...)
	ctx, cancel := context.WithCancel(t.Context())
	for name, replace := range map[string]func() error{
		"while it is encoded": func() error {
			cancel()
			return f.write(ctx, &contents{objects: knownPods(t, "b"), written: writtenAt}, nil)
		},
		"before it gets its name": func() error {
			return replaceFile(ctx, f.path, func(io.Writer) error {
				cancel()
				return nil
			})
		},
	} {
		if err := replace(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: want %v, got %v", name, context.Canceled, err)
		}
		wantText(t, f.path, before)
		wantFiles(t, f.path, "members.json")
	}
}

func TestFileThatCannotBeReplaced(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.Mkdir(in("dir"), 0o700),
		os.WriteFile(in("file"), nil, 0o600),
		os.Symlink("loop", in("loop")),
		os.Symlink("nowhere/f", in("dangling")),
		os.Symlink(os.DevNull, in("null")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ path, want string }{
		{in("dir"), "dir is no regular file"},
		{in("missing/f"), "missing: no such file or directory"},
		{in("file/f"), "not a directory"},
		{in("loop"), "too many links"},
		{in("dangling"), "nowhere: no such file or directory"},
		{in("null"), os.DevNull + " is no regular file"},
		{"/dev/full", "/dev/full is no regular file"},
		{in(strings.Repeat("n", 255)), "open: file name too long"},
	} {
		t.Run(filepath.Base(tc.path), func(t *testing.T) {
			kubetest.WantError(t, put(tc.path, "x"), tc.want)
			wantFiles(t, in("x"), "dangling", "dir", "file", "loop", "null")
		})
	}
}

// The name of the temporary file is another each time, but the problem is the same.
func TestErrorsAreTheSameEveryTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	texts := make(map[string]bool)
	for range 3 {
		err := replaceFile(t.Context(), path, func(io.Writer) error {
			return os.Mkdir(path, 0o700) // so that it cannot be renamed
		})
		if err == nil {
			t.Fatal("want an error")
		}
		texts[err.Error()] = true
		wantFiles(t, path, "f")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[string]bool{"rename: file exists": true}; len(texts) != 1 || !texts["rename: file exists"] {
		t.Errorf("want %v, got %v", want, texts)
	}
}

func TestLinksStay(t *testing.T) {
	for _, tc := range []struct {
		name  string
		links map[string]string // from a path to what it says
		path  string
	}{
		{"to a file beside it", map[string]string{"link": "data/f"}, "link"},
		{"by an absolute path", map[string]string{"link": "/data/f"}, "link"},
		{"of links", map[string]string{"link": "other/next", "other/next": "../data/f"}, "link"},
		{"in the directory's path", map[string]string{"dir": "data"}, "dir/f"},
		{"up from a directory that is a link", map[string]string{"dir": "data/deep", "data/deep/link": "../f"}, "dir/link"},
	} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, file is there: %v", tc.name, there), func(t *testing.T) {
				dir := t.TempDir()
				for _, sub := range []string{"other", "data/deep"} {
					if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				for from, to := range tc.links {
					if filepath.IsAbs(to) {
						to = filepath.Join(dir, to)
					}
					if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
						t.Fatal(err)
					}
				}
				file := filepath.Join(dir, "data/f")
				if there {
					if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := put(filepath.Join(dir, tc.path), "new"); err != nil {
					t.Fatal(err)
				}
				wantText(t, file, "new")
				wantFiles(t, file, "deep", "f")
				for from := range tc.links {
					if info, err := os.Lstat(filepath.Join(dir, from)); err != nil || info.Mode().Type() != os.ModeSymlink {
						t.Errorf("%s: want a link still, got %v, %v", from, info, err)
					}
				}
			})
		}
	}
}

func TestLeftoversAreRemoved(t *testing.T) {
	for name, remove := range map[string]func(path string){
		"at a write": func(path string) {
			if err := put(path, "new"); err != nil {
				t.Error(err)
			}
		},
		"at a load": func(path string) {
			fileOf(&kubeapi.Config{Snapshot: path, Log: &kubetest.Log{}}).load()
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			stay := []string{
				"f",
				"f.longnames-tmp-",      // no number
				"f.longnames-tmp-1x",    // no number
				"f.longnames-tmp-2.bak", // somebody's copy
				"f1.longnames-tmp-1",    // of another file
			}
			for _, name := range append([]string{"f.longnames-tmp-1", "f.longnames-tmp-4294967295"}, stay...) {
				if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(path+".longnames-tmp-7", 0o700); err != nil {
				t.Fatal(err)
			}
			remove(path)
			want := slices.Concat(stay, []string{"f.longnames-tmp-7"})
			slices.Sort(want)
			wantFiles(t, path, want...)
		})
	}
}

// A process that is killed leaves what the next one knows to be its own.
func TestTemporaryFilesAreNamedLikeLeftovers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f*.json")
	err := replaceFile(t.Context(), path, func(io.Writer) error {
		removeLeftovers(path)
		wantFiles(t, path)
		return errFull
	})
	if !errors.Is(err, errFull) {
		t.Errorf("want %v, got %v", errFull, err)
	}
}
