package longnames

import "testing"

// What a reload does to those that vanish depends on whether the same is asked for.
func TestBlocksThatSelectTheSame(t *testing.T) {
	const block = "selector app=web\n basename app"
	for _, tc := range []struct {
		name, block string
		want        bool
	}{
		{"the same", block, true},
		{"another include, hold and mode", block + "\n include all\n hold 0\n mode hostname", true},
		{"another selector", "selector team=a\n basename app", false},
		{"a group", block + "\n group_by app", false},
		{"other namespaces", block + "\n namespaces test", false},
		{"pods", block + "\n lookup pods", false},
		{"another family", block + "\n family ipv4", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			one, other := configOf(t, "longnames erl.internal {\n "+block+"\n}"), configOf(t, "longnames erl.internal {\n "+tc.block+"\n}")
			if got := one.selectsAs(other); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}
