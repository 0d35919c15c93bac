package kubeapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// pollInterval is how often manifest files are looked at. A change is taken at the
// second look that finds it, so that a file is not read while it is being written.
const pollInterval = 500 * time.Millisecond

// manifests reads objects from files, and again when the files change.
type manifests struct {
	config   *Config
	selector labels.Selector
	shrinker shrinker
	files    map[string]*manifest
	objects  map[key]*Object // what the sink knows
	version  uint64
	problem  string // of the patterns, as last logged
}

// manifest is one file.
type manifest struct {
	info    fs.FileInfo // of what was read
	seen    fs.FileInfo // at the last look
	objects map[key]*Object
	problem string // as last logged
}

// newManifests reads the files for the first time. A file that cannot be used at all
// is an error; one that has some broken objects among good ones is not.
func newManifests(c *Config) (*manifests, error) {
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return nil, err
	}
	m := &manifests{
		config:   c,
		selector: selector,
		shrinker: shrinker{labels: c.Labels, family: c.Family},
		files:    make(map[string]*manifest),
	}
	paths, err := m.paths()
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		f := &manifest{}
		m.files[path] = f
		if err := m.read(path, f, info); err != nil && len(f.objects) == 0 {
			return nil, fmt.Errorf("manifests: %w", err)
		}
	}
	return m, nil
}

// Run implements Source.
func (m *manifests) Run(ctx context.Context, sink Sink) {
	m.publish(sink)
	sink.Synced()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if m.look() {
				m.publish(sink)
			}
		}
	}
}

// paths expands the patterns. Each must name something.
func (m *manifests) paths() ([]string, error) {
	var paths []string
	for _, pattern := range m.config.Manifests {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("manifests: pattern %q: %w", pattern, err)
		}
		if len(matches) == 0 {
			return nil, fmt.Errorf("manifests: no file matches %q", pattern)
		}
		paths = append(paths, matches...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// look takes in what has changed since the last look, and tells whether anything has.
func (m *manifests) look() bool {
	paths, err := m.paths()
	m.problem = m.report(m.problem, err)
	if err != nil {
		return false
	}
	changed := false
	for path := range m.files {
		if !slices.Contains(paths, path) {
			m.config.Log.Infof("manifests: %s is gone, and its members with it", path)
			delete(m.files, path)
			changed = true
		}
	}
	for _, path := range paths {
		f := m.files[path]
		if f == nil {
			f = &manifest{}
			m.files[path] = f
		}
		info, err := os.Stat(path)
		if err != nil {
			f.problem = m.report(f.problem, fmt.Errorf("manifests: %w", err))
			continue
		}
		stable := unchanged(f.seen, info)
		f.seen = info
		if !stable || unchanged(f.info, info) {
			continue
		}
		_ = m.read(path, f, info) // has been logged
		changed = true
	}
	return changed
}

// read reads one file. As long as anything in it is broken, nothing that it held
// before is given up.
func (m *manifests) read(path string, f *manifest, info fs.FileInfo) error {
	f.info, f.seen = info, info
	m.version = max(m.version+1, uint64(max(0, info.ModTime().Unix()))) //nolint:gosec // not negative
	objects, err := m.parse(path)
	f.problem = m.report(f.problem, err)
	if err != nil {
		kept := maps.Clone(f.objects)
		maps.Copy(objects, without(kept, objects))
	}
	f.objects = objects
	return err
}

// without removes from m the keys of other.
func without(m, other map[key]*Object) map[key]*Object {
	maps.DeleteFunc(m, func(k key, _ *Object) bool { return other[k] != nil })
	return m
}

func (m *manifests) parse(path string) (map[key]*Object, error) {
	objects := make(map[key]*Object)
	data, err := os.ReadFile(path) //nolint:gosec // named by the operator
	if err != nil {
		return objects, fmt.Errorf("manifests: %w", err)
	}
	d := decode(data, m.config.Lookup)
	for _, obj := range d.objects {
		if !m.wanted(obj.GetNamespace(), obj.GetLabels()) {
			continue
		}
		o, err := m.shrinker.shrink(obj)
		if err != nil {
			return objects, err // cannot be: decode makes nothing else
		}
		objects[key{o.Namespace, o.Name}] = o
	}
	if len(d.objects) == 0 && len(d.others) > 0 {
		m.config.Log.Warningf("manifests: %s has nothing for lookup %s, but %s", path, m.config.Lookup, kinds(d.others))
	}
	if len(d.broken) > 0 {
		return objects, fmt.Errorf("manifests: %s: %w", path, errors.Join(d.broken...))
	}
	return objects, nil
}

func kinds(count map[string]int) string {
	var texts []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		texts = append(texts, fmt.Sprintf("%d of %s", count[kind], kind))
	}
	return strings.Join(texts, ", ")
}

func (m *manifests) wanted(namespace string, set labels.Set) bool {
	if len(m.config.Namespaces) > 0 && m.config.Namespaces[0] != AllNamespaces &&
		!slices.Contains(m.config.Namespaces, namespace) {
		return false
	}
	return m.selector.Matches(set)
}

// report logs a problem that is new, and the end of one. It returns what is now known.
func (m *manifests) report(known string, err error) string {
	switch {
	case err != nil && err.Error() != known:
		m.config.Log.Errorf("%v; what is known of it stays in use", err)
	case err == nil && known != "":
		m.config.Log.Infof("manifests: good again, after: %s", known)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// publish tells the sink how things are now. Of an object in several files, the last
// file's counts.
func (m *manifests) publish(sink Sink) {
	objects := make(map[key]*Object)
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		maps.Copy(objects, m.files[path].objects)
	}
	if changes, _ := diff(m.objects, objects); len(changes) > 0 {
		sink.Apply(changes, m.version)
	}
	m.objects = objects
}

// unchanged tells whether a file is still the one that a describes.
func unchanged(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
