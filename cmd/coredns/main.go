// Command coredns is CoreDNS with all its standard plugins and longnames.
package main

import (
	"fmt"
	"log"
	"runtime/debug"
	"slices"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/coredns/coredns/core/dnsserver"
	_ "github.com/coredns/coredns/core/plugin" // The standard plugins.
	"github.com/coredns/coredns/coremain"

	"github.com/longnames/longnames"
)

// version and commit are set by the linker; see the Makefile.
var version, commit string

func main() {
	limitMemory(memlimit.FromCgroup)
	if err := addDirective(); err != nil {
		log.Fatal(err)
	}
	info, _ := debug.ReadBuildInfo()
	longnames.Version = versionOf(version, info)
	// CoreDNS prints this below its own version, which stays as it is: the chaos plugin and others report that one.
	coremain.GitCommit = release(longnames.Version, commit)
	coremain.Run()
}

// addDirective gives longnames its place in the plugin chain. It stands where kubernetes does, because it answers
// from the same kind of data, and before it, because its zones may lie inside the cluster domain.
func addDirective() error {
	directives, err := insertBefore(dnsserver.Directives, "longnames", "kubernetes")
	if err != nil {
		return err
	}
	return dnsserver.SetDirectives(directives) // refuses a second longnames
}

// insertBefore returns a copy of list with name directly before next. A list without next is an error: anywhere
// else, name would be asked too early or not at all.
func insertBefore(list []string, name, next string) ([]string, error) {
	i := slices.Index(list, next)
	if i < 0 {
		return nil, fmt.Errorf("no place for directive %q: this CoreDNS has no directive %q", name, next)
	}
	return slices.Insert(slices.Clone(list), i, name), nil
}

// release returns what -version tells of us: longnames-VERSION and, if it is known, the commit.
func release(version, commit string) string {
	if commit == "" {
		return "longnames-" + version
	}
	return "longnames-" + version + ", commit " + commit
}

// versionOf returns what the linker was told or else, for a plain `go install`, what the go command recorded.
func versionOf(linked string, info *debug.BuildInfo) string {
	switch {
	case linked != "":
		return linked
	case info == nil || info.Main.Version == "" || info.Main.Version == "(devel)":
		return "devel"
	default:
		return info.Main.Version
	}
}
