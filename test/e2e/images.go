package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/longnames/longnames/test/e2e/build"
)

// images are what pods can run: ours, as `make image` builds it, and one with a CoreDNS that knows nothing of
// *longnames*. Each is made when it is asked for.
type images struct {
	dir          string
	ours, theirs func() (*containerImage, error)
}

// containerImage is what a kubelet has to know of one.
type containerImage struct {
	Root       string // the directory with its files
	User       string
	Entrypoint []string
	Env        []string
	Dir        string `json:"WorkingDir"`
	Labels     map[string]string
	Digest     string `json:"-"` // of its manifest in a registry
	Packed     int64  `json:"-"` // bytes that are pulled
}

// What our image says of itself, whatever the state of the checkout.
const (
	imageVersion = "v0.0.0-e2e"
	imageCommit  = "0123456789ab"
)

func newImages(ctx context.Context, r *run) *images {
	i := &images{dir: filepath.Join(r.dir, "images")}
	i.ours = sync.OnceValues(func() (*containerImage, error) { return i.make(ctx, "ours") })
	i.theirs = sync.OnceValues(func() (*containerImage, error) { return i.stock(ctx) })
	return i
}

// named gives the image of a name, whatever its tag.
func (i *images) named(name string) (*containerImage, error) {
	repository, tag, _ := strings.Cut(name, ":")
	switch {
	case tag == "":
		return nil, fmt.Errorf("image %s has no tag", name)
	case repository == unpulled || repository == usersImage:
		return i.ours()
	case repository == "coredns/coredns":
		return i.theirs()
	}
	return nil, fmt.Errorf("there is no image %s", name)
}

// make builds ours, of a copy of the source, so that the build in the checkout stays as it is.
func (i *images) make(ctx context.Context, name string) (*containerImage, error) {
	dir := filepath.Join(i.dir, name)
	store := &build.Store{Run: toEndOf, Dir: dir}
	const tag = "longnames/coredns:e2e"
	if err := store.Make(ctx, "../..", tag, "VERSION="+imageVersion, "COMMIT="+imageCommit, "SOURCE_DATE_EPOCH=1700000000"); err != nil {
		return nil, err
	}
	layout := filepath.Join(dir, "layout")
	digest := filepath.Join(dir, "digest")
	if _, err := store.Buildah(ctx, "push", "--quiet", "--digestfile", digest, tag, "oci:"+layout+":e2e"); err != nil {
		return nil, err
	}
	config, err := store.Buildah(ctx, "inspect", "--type", "image", tag)
	if err != nil {
		return nil, err
	}
	working, err := store.Buildah(ctx, "from", "--pull-never", tag)
	if err != nil {
		return nil, err
	}
	root, err := store.Buildah(ctx, "mount", working)
	if err != nil {
		return nil, err
	}
	var inspected struct {
		OCIv1 struct {
			Config containerImage `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(config), &inspected); err != nil {
		return nil, err
	}
	out := inspected.OCIv1.Config
	out.Root = root
	text, err := os.ReadFile(digest)
	if err != nil {
		return nil, err
	}
	out.Digest = strings.TrimSpace(string(text))
	out.Packed, err = sizeOf(filepath.Join(layout, "blobs"))
	return &out, err
}

// sizeOf gives the bytes of all files in a directory.
func sizeOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// stock is the image of a CoreDNS as others make it.
func (i *images) stock(ctx context.Context) (*containerImage, error) {
	root := filepath.Join(i.dir, "theirs")
	return &containerImage{Root: root, User: "65532:65532", Entrypoint: []string{"/coredns"}, Dir: "/"},
		build.Stock(ctx, toEndOf, "../..", root)
}

// mounts shows the image's files in a container's root.
func (i *containerImage) mounts(readOnly bool) ([]mount, error) {
	entries, err := os.ReadDir(i.Root)
	if err != nil {
		return nil, err
	}
	var out []mount
	for _, e := range entries {
		out = append(out, mount{From: filepath.Join(i.Root, e.Name()), To: "/" + e.Name(), ReadOnly: readOnly})
	}
	if len(out) == 0 {
		return nil, errors.New("the image is empty")
	}
	return out, nil
}

// close removes what was made.
func (i *images) close() { _ = os.RemoveAll(i.dir) }
