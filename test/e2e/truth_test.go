package main

import "testing"

func TestTruth(t *testing.T) {
	t.Parallel()
	some, more, others := []string{"a", "b"}, []string{"a", "b", "c"}, []string{"d", "e"}
	for _, test := range []struct {
		truth *truth
		got   []string
		want  string
	}{
		{exactly(some), []string{"b", "a"}, ""},
		{exactly(some), nil, wrongEmpty},
		{exactly(some), []string{"a"}, wrongFewer},
		{exactly(some), []string{"a", "c"}, wrongFewer},
		{exactly(some), more, wrongOther},
		{between(some, more, 2), some, ""},
		{between(some, more, 2), more, ""},
		{between(more, some, 2), more, ""},
		{between(some, more, 2), []string{"a", "c"}, wrongFewer},
		{between(some, more, 2), []string{"a", "b", "d"}, wrongOther},
		{between(some, others, 2), []string{"a", "e"}, ""},
		{between(some, others, 2), []string{"a"}, wrongFewer},
		{between(some, others, 0), []string{"e"}, ""},
		{between(some, others, 0), nil, wrongEmpty},
		{between(some, others, 1), []string{"a", "c"}, wrongOther},
	} {
		if kind := test.truth.judge(test.got); kind != test.want {
			t.Errorf("%v is %q, want %q: %s", test.got, kind, test.want, test.truth)
		}
	}
}
