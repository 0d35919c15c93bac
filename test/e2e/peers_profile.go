package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// profile keeps what a server has to say about itself in a file for `go tool pprof`, if that is wanted.
func (p *peers) profile(of *peer, name, what string) error {
	if p.profiles == "" {
		return nil
	}
	text, err := of.look(what)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.profiles, of.name+"-"+name+".pprof"), text, 0o600)
}

// profiled does something, and keeps what the server does meanwhile, at least for as long as load is put on it.
func (p *peers) profiled(of *peer, name string, do func()) {
	var g errgroup.Group
	g.Go(func() error {
		return p.profile(of, name, fmt.Sprintf("profile?seconds=%.0f", max(p.load.Seconds(), 1)))
	})
	do()
	of.t.must(g.Wait())
}
