package kubeapi

import "slices"

// RestoreFrom tells, before the first sink joins, what another source knows, which is about
// to end. It is false if that is nothing, or lacks what is needed here.
func (s *Source) RestoreFrom(old *Source) bool {
	objects, version, known := old.Objects()
	from, to := old.config, s.config
	labels, ok := positions(from.Labels, to.Labels)
	if !known || !ok || from.Family != to.Family && from.Family != AnyFamily {
		return false
	}
	if !slices.Equal(from.Labels, to.Labels) || from.Family != to.Family {
		shared := newTemplates()
		for i, o := range objects {
			objects[i] = o.reduced(labels, to.Family, shared)
		}
	}
	s.Restore(objects, version)
	return true
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
