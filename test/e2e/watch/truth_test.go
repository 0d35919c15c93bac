package watch

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTruth(t *testing.T) {
	t.Parallel()
	some, more, others := []string{"a", "b"}, []string{"a", "b", "c"}, []string{"d", "e"}
	for _, test := range []struct {
		truth *Truth
		got   []string
		want  string
	}{
		{Exactly(some), []string{"b", "a"}, ""},
		{Exactly(some), nil, Empty},
		{Exactly(some), []string{"a"}, Fewer},
		{Exactly(some), []string{"a", "c"}, Fewer},
		{Exactly(some), more, Other},
		{Exactly(some), []string{"a", "b", "a"}, Other},
		{Between(some, more, 2), some, ""},
		{Between(some, more, 2), more, ""},
		{Between(more, some, 2), more, ""},
		{Between(some, more, 2), []string{"a", "c"}, Fewer},
		{Between(some, more, 2), []string{"a", "b", "d"}, Other},
		{Between(some, others, 2), []string{"a", "e"}, ""},
		{Between(some, others, 2), []string{"a"}, Fewer},
		{Between(some, others, 2), []string{"a", "a"}, Fewer},
		{Between(some, others, 0), []string{"e"}, ""},
		{Between(some, others, 0), nil, Empty},
		{Between(some, others, 1), []string{"a", "c"}, Other},
		{AtLeast(2, "a"), []string{"a", "c"}, ""},
		{AtLeast(2, "a"), []string{"b", "c"}, Fewer},
		{AtLeast(2, "a"), []string{"a"}, Fewer},
	} {
		assert.Equal(t, test.want, test.truth.kind(test.got), "%v: %s", test.got, test.truth)
	}
}
