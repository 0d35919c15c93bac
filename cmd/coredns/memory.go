package main

import "github.com/KimMachineGun/automemlimit/memlimit"

// limitMemory makes Go collect garbage more often as memory gets near a limit, that of the container, instead of
// being killed there: from nine tenths of it on, for not all memory is Go's. GOMEMLIMIT in the environment comes
// first, and without a limit nothing changes. A manifest could not say so: it knows the limit, but no part of it.
func limitMemory(limit memlimit.Provider) {
	_, _ = memlimit.Set(memlimit.WithProvider(limit)) // an error is a machine without cgroups
}
