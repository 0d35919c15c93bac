package kubeapi

import "slices"

// RestoreFrom tells, before the first sink joins, what another source knows, which is about
// to end. It is false if that is nothing, or lacks what is needed here.
func (s *Source) RestoreFrom(old *Source) bool {
	objects, known := old.Objects()
	objects, ok := s.config.ReadAs(old.config, objects)
	if !known || !ok {
		return false
	}
	s.Restore(objects)
	return true
}

// ReadAs gives objects that were read for another configuration as they would have been for
// this one, whatever their namespaces. It is false if they lack what this one asks for.
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

// positions tells where the wanted keys stand among those that there are.
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

// reduced gives an object with only some labels, and the members of one family.
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
