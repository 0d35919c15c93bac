package cluster

import "testing"

func TestMounted(t *testing.T) {
	const mountinfo = `30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
32 30 0:28 /pods/a /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	tests := []struct {
		name, controllers, root, at string
	}{
		{"Named", "name=systemd", "/", "/sys/fs/cgroup/systemd"},
		{"Several", "cpu,cpuacct", "/pods/a", "/sys/fs/cgroup/cpu,cpuacct"},
		{"OneOfSeveral", "cpuacct", "/pods/a", "/sys/fs/cgroup/cpu,cpuacct"},
		{"Missing", "memory", "", ""},
		{"OneMissing", "cpu,memory", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if root, at := mounted(mountinfo, tt.controllers); root != tt.root || at != tt.at {
				t.Errorf("got %q at %q, want %q at %q", root, at, tt.root, tt.at)
			}
		})
	}
}
