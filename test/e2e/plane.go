package main

import (
	"slices"
	"strings"
)

// partNamed is a part of the control plane.
func (b *bed) partNamed(name string) *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.parts, func(p *process) bool { return strings.HasPrefix(p.name, name) })
	return b.parts[i]
}

// respawn starts a part of the control plane that has ended.
func (b *bed) respawn(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range b.parts {
		if strings.HasPrefix(p.name, name) {
			again := p.command
			again.name += "+"
			fresh, err := start(b.plane.name, b.dir, again)
			if err != nil {
				return err
			}
			b.parts[i] = fresh
		}
	}
	return nil
}

// away ends the API server, and the controllers, which would take their time to find it again.
func (b *bed) away() {
	b.partNamed("kube-controller-manager").stop(0)
	b.partNamed("kube-apiserver").stop(0)
}

// back starts them again.
func (t *trial) back() {
	t.must(t.respawn("kube-apiserver"))
	t.within(4*patience, "the API server is ready", func() error {
		return t.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(t.ctx).Error()
	})
	t.must(t.respawn("kube-controller-manager")) // it would not wait for long
}
