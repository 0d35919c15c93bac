package main

import (
	"fmt"
	"slices"
)

// truth is what can be right to answer. When nothing changes that is one set. While members come and go, it is
// anything from the set before to the set after: who is in both is in every answer, and who is in none is in no answer.
type truth struct {
	always []string
	ever   []string
	least  int
}

func exactly(values []string) *truth {
	return &truth{always: values, ever: values, least: len(values)}
}

func between(before, after []string, least int) *truth {
	t := &truth{least: max(least, 1)}
	for _, v := range before {
		if slices.Contains(after, v) {
			t.always = append(t.always, v)
		}
	}
	t.ever = slices.Concat(before, after)
	return t
}

// The ways in which an answer can be wrong.
const (
	wrongEmpty = "empty" // also NXDOMAIN: to a client it is the same
	wrongError = "error"
	wrongFewer = "fewer"
	wrongOther = "other" // somebody who is no member
	wrongLate  = "late"
)

// kindsOfWrong is their order in a table.
var kindsOfWrong = []string{wrongEmpty, wrongError, wrongFewer, wrongOther, wrongLate}

// judge tells in which way values are wrong, if they are.
func (t *truth) judge(values []string) (kind string) {
	switch {
	case len(values) == 0:
		return wrongEmpty
	case len(values) < t.least:
		return wrongFewer
	}
	for _, v := range t.always {
		if !slices.Contains(values, v) {
			return wrongFewer
		}
	}
	for _, v := range values {
		if !slices.Contains(t.ever, v) {
			return wrongOther
		}
	}
	return ""
}

func (t *truth) String() string {
	if len(t.always) == len(t.ever) {
		return brief(t.always)
	}
	return fmt.Sprintf("%d or more of %s, among them %s", t.least, brief(t.ever), brief(t.always))
}
