package kubeapi

// catalog has entries by namespace and name: namespaces are few, so that a name alone is
// what an entry costs.
type catalog map[string]map[string]entry

func (c catalog) get(o *Object) (entry, bool) {
	e, ok := c[o.Namespace][o.Name]
	return e, ok
}

func (c catalog) put(e entry) {
	in := c[e.Namespace]
	if in == nil {
		in = make(map[string]entry)
		c[e.Namespace] = in
	}
	in[e.Name] = e
}

func (c catalog) remove(o *Object) {
	in := c[o.Namespace]
	if delete(in, o.Name); len(in) == 0 {
		delete(c, o.Namespace)
	}
}

// all gives every entry, in no order.
func (c catalog) all(yield func(entry) bool) {
	for _, in := range c {
		for _, e := range in {
			if !yield(e) {
				return
			}
		}
	}
}
