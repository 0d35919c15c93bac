package fakeapi

import "k8s.io/apimachinery/pkg/runtime"

// Put creates or updates objects and tells the open watches. Each object is one change with a resource version of its
// own, even where nothing differs. An empty namespace is "default", but for a Namespace. A new object without a UID gets
// one; an update without keeps it. The given objects are not written to.
func (s *Server) Put(objs ...runtime.Object) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		if k := s.known(obj); k != nil {
			s.dispatch(s.store.put(k, obj.(object)))
		}
	}
}

// Delete removes objects by namespace and name and tells the open watches. One that is not there is no change.
func (s *Server) Delete(objs ...runtime.Object) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, obj := range objs {
		if k := s.known(obj); k != nil {
			if c, ok := s.store.remove(k, obj.(object)); ok {
				s.dispatch(c)
			}
		}
	}
}

// Compact forgets the history: a watch or an exact list from any resource version seen so far is answered Expired.
// Open watches go on.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.compact()
}

// Rewind sets the resource version back, as an etcd restored from a backup does, and forgets the history. Open watches
// go on as they are: Cut them too.
func (s *Server) Rewind(version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.rewind(version)
}

// ResourceVersion is that of the newest change.
func (s *Server) ResourceVersion() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return format(s.store.version)
}

func (s *Server) known(obj runtime.Object) *kind {
	s.tb.Helper()
	k := kindOf(obj)
	if k == nil {
		s.tb.Errorf("fakeapi: holds Pods, EndpointSlices, Services and Namespaces, not %T", obj)
	}
	return k
}
