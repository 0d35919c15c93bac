package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/manifest"
)

// contents are the state of a source, and of a sink, at some time.
type contents struct {
	objects  []*kubeapi.Object
	suspects []kubeapi.Suspects
	written  time.Time
	changed  time.Time
}

// file has the contents of the last write: a v1 List in JSON that package manifest and
// kubectl can read, with a description at its end that only this package reads.
type file struct {
	path     string
	origin   kubeapi.Origin
	lookup   kubeapi.Lookup
	shrinker kubeapi.Shrinker
	expander expander
	limit    int64 // bytes; nothing larger is read, so nothing larger is written
	log      kubeapi.Logger
}

func newFile(c *kubeapi.Config, origin kubeapi.Origin) *file {
	return &file{
		path:     c.Snapshot,
		origin:   origin,
		lookup:   c.Lookup,
		shrinker: kubeapi.NewShrinker(c),
		expander: newExpander(c),
		limit:    manifest.MaxSize,
		log:      c.Log,
	}
}

// load reads the file for a start. If it cannot be used, load logs why and returns nil.
func (f *file) load() *contents {
	removeLeftovers(f.path)
	c, err := f.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.log.Infof("snapshot: there is no %s yet", f.path)
		return nil
	case err != nil:
		f.log.Warningf("snapshot: %v; it is ignored, and replaced once the members are known", err)
		return nil
	}
	age := max(0, time.Since(c.written)).Round(time.Second)
	f.log.Infof("snapshot: %d objects of %s ago from %s", len(c.objects), age, f.path)
	return c
}

// read returns all of the file, or an error. That is fs.ErrNotExist if there is no file.
func (f *file) read() (*contents, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", f.path) // it may never end
	}
	if info.Size() > f.limit {
		return nil, fmt.Errorf("%s: expected at most %d bytes, got %d", f.path, f.limit, info.Size())
	}
	opened, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	c, err := f.decode(io.LimitReader(opened, f.limit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return c, nil
}

// write replaces the file, unless ctx ends before.
func (f *file) write(ctx context.Context, c *contents, p *pacer) error {
	return replaceFile(ctx, f.path, func(w io.Writer) error {
		return f.encode(ctx, w, c, p)
	})
}
