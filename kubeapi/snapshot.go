package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// snapshot is what was known of an API server at some time.
type snapshot struct {
	objects  []*Object
	suspects []Suspects
	written  time.Time
}

// Suspects are the members of one cluster that a sink still lists though the source does not tell of
// them any more, or not as it did, and what the sink needs to know to give them up in time.
type Suspects struct {
	Most                         int // of the cluster's members that were well at once
	Few, Enough, Probes, Returns time.Time
	Members                      []Suspect
}

// Suspect is one of them.
type Suspect struct {
	Object *Object // that tells of it alone
	Reason string
	Since  time.Time // it is suspect
	From   time.Time // the reason holds
}

// snapshotFile is where the last snapshot is kept: a v1 List in JSON that manifests and
// kubectl can read, and at its end what it is of, for this program alone.
type snapshotFile struct {
	path     string
	origin   origin
	lookup   Lookup
	shrinker shrinker
	expander expander
	limit    int64 // bytes; nothing larger is read, so nothing larger is written
	log      Logger
}

// newSnapshotFile is for what is read from an origin.
func newSnapshotFile(c *Config, path string, o origin) *snapshotFile {
	return &snapshotFile{
		path:     path,
		origin:   o,
		lookup:   c.Lookup,
		shrinker: c.shrinker(),
		expander: c.expander(),
		limit:    maxManifest,
		log:      c.Log,
	}
}

// load reads the snapshot for a start. One that cannot be used is no reason not to start.
func (f *snapshotFile) load() (s *snapshot, ok bool) {
	removeLeftovers(f.path)
	s, err := f.read()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.log.Infof("snapshot: there is no %s yet", f.path)
		return nil, false
	case err != nil:
		f.log.Warningf("snapshot: %v; it is ignored, and replaced once the members are known", err)
		return nil, false
	}
	age := max(0, time.Since(s.written)).Round(time.Second)
	f.log.Infof("snapshot: %d objects of %s ago from %s", len(s.objects), age, f.path)
	return s, true
}

// read takes all of the file, or nothing. There being none is fs.ErrNotExist.
func (f *snapshotFile) read() (*snapshot, error) {
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
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := f.decode(io.LimitReader(file, f.limit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return s, nil
}

// write replaces the file, unless ctx ends before.
func (f *snapshotFile) write(ctx context.Context, s *snapshot) error {
	return replaceFile(ctx, f.path, func(w io.Writer) error {
		return f.encode(ctx, w, s)
	})
}
