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

// maxManifest is the size of the largest file that is read: some 50 000 pods. A larger one
// has got there by mistake.
const maxManifest = 256 << 20 // bytes

// manifests reads objects from files, and again when the files change.
type manifests struct {
	config   *Config
	selector labels.Selector
	shrinker shrinker
	files    map[string]*manifest
	store    *store
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
func newManifests(c *Config, f *feed) (*manifests, identity, error) {
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return nil, identity{}, fmt.Errorf("selector: %w", err)
	}
	m := &manifests{
		config:   c,
		selector: selector,
		shrinker: c.shrinker(),
		files:    make(map[string]*manifest),
		store:    f.newStore(c.shrinker(), ""),
	}
	paths, err := m.paths()
	if err != nil {
		return nil, identity{}, err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, identity{}, fmt.Errorf("manifests: %w", err)
		}
		f := &manifest{}
		m.files[path] = f
		err = m.read(path, f, info)
		if err != nil && len(f.objects) == 0 {
			return nil, identity{}, err
		}
		f.problem = m.report(f.problem, err)
	}
	return m, c.identity(strings.Join(c.Manifests, " "), c.Namespaces), nil
}

func (m *manifests) run(ctx context.Context) {
	m.publish()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if m.look() {
				m.publish()
			}
		}
	}
}

// paths expands the patterns. Each must name something; one that does not is no reason
// to leave out what the others name.
func (m *manifests) paths() ([]string, error) {
	var paths []string
	var errs []error
	for _, pattern := range m.config.Manifests {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("pattern %q: %w", pattern, err))
			continue
		}
		files := slices.DeleteFunc(matches, func(path string) bool { return path != pattern && isDir(path) })
		if len(files) == 0 {
			errs = append(errs, fmt.Errorf("no file matches %q", pattern))
		}
		paths = append(paths, files...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), join("manifests", errs)
}

// isDir is true of what a pattern can match besides files: a mounted ConfigMap is full
// of directories.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// look takes in what has changed since the last look, and tells whether anything has.
func (m *manifests) look() bool {
	paths, err := m.paths()
	m.problem = m.report(m.problem, err)
	changed := false
	for path, f := range m.files {
		_, found := slices.BinarySearch(paths, path)
		switch {
		case found:
		case err != nil || !isGone(path):
			// It may be what is missing from a pattern that matches nothing, or cannot be read.
		case f.seen != nil:
			f.seen = nil // gone if it is still so at the next look: some editors write like this
		default:
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
		f.problem = m.report(f.problem, m.read(path, f, info))
		changed = true
	}
	return changed
}

// read reads one file. As long as anything in it is broken, nothing that it held
// before is given up.
func (m *manifests) read(path string, f *manifest, info fs.FileInfo) error {
	f.seen = info
	data, err := contents(path, info)
	if err != nil {
		return err // to be tried again at every look
	}
	f.info = info
	objects, err := m.parse(path, data, len(f.objects) > 0)
	if err != nil {
		for k, o := range f.objects {
			if objects[k] == nil {
				objects[k] = o
			}
		}
	}
	f.objects = objects
	return err
}

func contents(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("manifests: %s is no regular file", path) // it may never end
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("manifests: %s: expected at most %d MiB, got %d", path, maxManifest>>20, info.Size()>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	return data, nil
}

// parse takes the wanted objects. A file that had some and now is blank has been hit by
// an accident, such as a failed `kubectl get >file`: a List without items is how to say none.
func (m *manifests) parse(path string, data []byte, had bool) (map[key]*Object, error) {
	objects := make(map[key]*Object)
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
	if had && d.blank {
		return objects, fmt.Errorf("manifests: %s is empty", path)
	}
	return objects, join("manifests: "+path, d.broken)
}

// join makes one line of some errors.
func join(what string, errs []error) error {
	const most = 5
	if len(errs) == 0 {
		return nil
	}
	texts := make([]string, 0, most+1)
	for _, err := range errs[:min(len(errs), most)] {
		texts = append(texts, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if more := len(errs) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return errors.New(what + ": " + strings.Join(texts, "; "))
}

func kinds(count map[string]int) string {
	texts := make([]string, 0, len(count))
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
		m.config.Log.Infof("manifests: good again, after: %s", strings.TrimPrefix(known, "manifests: "))
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

// publish tells how things are now. Of an object in several files, the last file's counts.
func (m *manifests) publish() {
	objects := make(catalog)
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		for _, o := range m.files[path].objects {
			objects.put(entry{o, o.Version})
		}
	}
	m.store.fill(objects, nil)
}

// unchanged tells whether a file is still the one that a describes.
func unchanged(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
