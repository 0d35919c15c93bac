// Package manifest reads Objects from files of Kubernetes manifests instead of an API server.
package manifest

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
	"k8s.io/apimachinery/pkg/types"

	"github.com/longnames/longnames/kubeapi"
)

// pollInterval is how often manifest files are looked at. A change is taken at the
// second look that finds it, so that a file is not read while it is being written.
const pollInterval = 500 * time.Millisecond

// MaxSize is the size of the largest file that is read: some 50 000 pods. A larger one
// has got there by mistake.
const MaxSize = 256 << 20 // bytes

// manifests reads objects from files, and again when the files change.
type manifests struct {
	config   *kubeapi.Config
	selector labels.Selector
	shrinker kubeapi.Shrinker
	files    map[string]*manifest
	problem  string // of the patterns, as last logged
}

// manifest is one file.
type manifest struct {
	info    fs.FileInfo // when it was read
	seen    fs.FileInfo // at the last look
	objects map[types.NamespacedName]*kubeapi.Object
	problem string // as last logged
	unknown bool   // it has been blank ever since the start
}

// errBlank is the error of a file without any document, as a failed `kubectl get >file` leaves it. An empty
// file of objects is a List without items.
var errBlank = errors.New("expected objects, or a List without items, got a blank file")

// BlankError says which files are blank. The source that comes with it knows nothing until they have
// something.
type BlankError struct{ Files []string }

func (e *BlankError) Error() string {
	return fmt.Sprintf("manifests: %s: %v", strings.Join(e.Files, ", "), errBlank)
}

// New returns a source that reads c.Manifests, and reads them for the first time. A file that cannot be used
// at all is an error; one that has some broken objects among good ones is not. A *BlankError comes with a
// source.
func New(c kubeapi.Config) (*kubeapi.Source, error) {
	selector, err := labels.Parse(c.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	m := &manifests{config: &c, selector: selector, shrinker: kubeapi.NewShrinker(&c), files: make(map[string]*manifest)}
	paths, err := m.paths()
	if err != nil {
		return nil, err
	}
	var blank []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		f := &manifest{}
		m.files[path] = f
		switch err = m.read(path, f, info); {
		case errors.Is(err, errBlank):
			f.unknown, f.problem = true, err.Error()
			blank = append(blank, path)
		case err != nil && len(f.objects) == 0:
			return nil, err
		default:
			f.problem = m.report(f.problem, err)
		}
	}
	source := kubeapi.NewSource(c, strings.Join(c.Manifests, " "), m.run)
	if len(blank) > 0 {
		return source, &BlankError{blank}
	}
	return source, nil
}

func (m *manifests) run(ctx context.Context, replace func([]*kubeapi.Object)) {
	if m.known() {
		replace(m.objects())
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if m.look() && m.known() {
				replace(m.objects())
			}
		}
	}
}

// known reports whether every file has had something.
func (m *manifests) known() bool {
	for _, f := range m.files {
		if f.unknown {
			return false
		}
	}
	return true
}

// paths expands the patterns. One that matches no file is an error, but the files of the others are
// returned all the same.
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

// isDir reports whether path is a directory: a mounted ConfigMap is full of those.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// look reads files that have changed since the last look, and reports whether any has.
func (m *manifests) look() bool {
	paths, err := m.paths()
	m.problem = m.report(m.problem, err)
	changed := false
	for path, f := range m.files {
		_, found := slices.BinarySearch(paths, path)
		switch {
		case found:
		case err != nil || !isGone(path):
			// Its pattern may match nothing any more, or cannot be read.
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

// read reads one file. As long as anything in it is broken, the objects that it had
// before stay.
func (m *manifests) read(path string, f *manifest, info fs.FileInfo) error {
	f.seen = info
	data, err := contents(path, info)
	if err != nil {
		return err // to be tried again at every look
	}
	f.info = info
	objects, err := m.parse(path, data)
	if err != nil {
		for k, o := range f.objects {
			if objects[k] == nil {
				objects[k] = o
			}
		}
	}
	f.objects = objects
	f.unknown = f.unknown && err != nil && len(objects) == 0
	return err
}

func contents(path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("manifests: %s is no regular file", path) // it may never end
	}
	if info.Size() > MaxSize {
		return nil, fmt.Errorf("manifests: %s: expected at most %d MiB, got %d", path, MaxSize>>20, info.Size()>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	return data, nil
}

// parse returns the wanted objects of a file.
func (m *manifests) parse(path string, data []byte) (map[types.NamespacedName]*kubeapi.Object, error) {
	objects := make(map[types.NamespacedName]*kubeapi.Object)
	d := decode(data, m.config.Lookup)
	for _, obj := range d.objects {
		if !m.wanted(obj.GetNamespace(), obj.GetLabels()) {
			continue
		}
		o, err := m.shrinker.Shrink(obj)
		if err != nil {
			return objects, err // cannot be: decode makes nothing else
		}
		objects[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
	}
	if len(d.objects) == 0 && len(d.others) > 0 {
		m.config.Log.Warningf("manifests: %s has nothing for lookup %s, but %s", path, m.config.Lookup, kinds(d.others))
	}
	if d.blank {
		return objects, fmt.Errorf("manifests: %s: %w", path, errBlank)
	}
	return objects, join("manifests: "+path, d.broken)
}

// join returns some errors as one, in one line.
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

func (m *manifests) wanted(namespace string, set labels.Set) bool {
	if len(m.config.Namespaces) > 0 && m.config.Namespaces[0] != kubeapi.AllNamespaces &&
		!slices.Contains(m.config.Namespaces, namespace) {
		return false
	}
	return m.selector.Matches(set)
}

// report logs a problem that is new, and the end of one. It returns the problem as last logged.
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

// objects returns the objects of all files. Of objects with the same name, the last file's comes last.
func (m *manifests) objects() (all []*kubeapi.Object) {
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		all = slices.AppendSeq(all, maps.Values(m.files[path].objects))
	}
	return all
}

// unchanged reports whether b is the file that a was.
func unchanged(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
