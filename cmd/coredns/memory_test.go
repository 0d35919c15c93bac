package main

import (
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestLimitMemory(t *testing.T) {
	const unlimited, mebi = math.MaxInt64, 1 << 20
	unset := func(t *testing.T, name string) {
		t.Helper()
		t.Setenv(name, "") // so that it is what it was afterwards
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	failing := func(err error) memlimit.Provider { return func() (uint64, error) { return 0, err } }
	for _, tc := range []struct {
		name  string
		limit memlimit.Provider
		env   string
		want  int64
	}{
		{name: "limit of a container", limit: memlimit.Limit(170 * mebi), want: 153 * mebi},
		{name: "no limit", limit: failing(memlimit.ErrNoLimit), want: unlimited},
		{name: "no cgroup", limit: failing(memlimit.ErrNoCgroup), want: unlimited},
		{name: "the environment says another", limit: memlimit.Limit(170 * mebi), env: "100MiB", want: unlimited}, // Go has read it at the start
	} {
		t.Run(tc.name, func(t *testing.T) {
			unset(t, "AUTOMEMLIMIT")
			unset(t, "GOMEMLIMIT")
			if tc.env != "" {
				t.Setenv("GOMEMLIMIT", tc.env)
			}
			before := debug.SetMemoryLimit(unlimited)
			t.Cleanup(func() { debug.SetMemoryLimit(before) })
			limitMemory(tc.limit)
			if got := debug.SetMemoryLimit(-1); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
