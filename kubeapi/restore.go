package kubeapi

import "slices"

// Restore fills the source, before the first sink joins, with objects that were known earlier, as
// far as it reads such. They stay until it has read its own.
func (s *Source) Restore(objects []*Object) { s.feed.restore(objects) }

// RestoreFrom fills the source, before the first sink joins, with the objects of another one that is
// about to end. It returns false if that has none yet, or lacks what is needed here.
func (s *Source) RestoreFrom(old *Source) bool {
	objects, known := old.Objects()
	objects, ok := s.config.ReadAs(old.config, objects)
	if !known || !ok {
		return false
	}
	s.Restore(objects)
	return true
}

// ReadAs returns objects that were read for another configuration as they would have been for
// this one, whatever their namespaces. It returns false if they lack what this one asks for.
func (c *Config) ReadAs(other *Config, objects []*Object) ([]*Object, bool) {
	labels, ok := positions(other.Labels, c.Labels)
	if !ok || other.Family != c.Family && other.Family != AnyFamily {
		return nil, false
	}
	if slices.Equal(other.Labels, c.Labels) && other.Family == c.Family {
		return objects, true
	}
	shared, read := newTemplates(), make([]*Object, 0, len(objects))
	for _, o := range objects {
		read = append(read, o.reduced(labels, c.Family, shared))
	}
	return read, true
}

// positions returns the indexes of the wanted keys.
func positions(keys, wanted []string) (at []int, ok bool) {
	for _, key := range wanted {
		i := slices.Index(keys, key)
		if i < 0 {
			return nil, false
		}
		at = append(at, i)
	}
	return at, true
}

// reduced returns an object with some labels only, and the members of one family.
func (o *Object) reduced(labels []int, family Family, shared *templates) *Object {
	template := *o.Template
	template.Labels = nil
	for _, i := range labels {
		template.Labels = append(template.Labels, o.Labels[i])
	}
	less := *o
	less.Template = shared.shared(&template)
	less.Members = slices.DeleteFunc(slices.Clone(o.Members), func(m Member) bool { return !family.has(m.Address) })
	return &less
}
