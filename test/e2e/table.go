package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// report prints the matrix, and gives the number of rows that failed.
func (o *options) report(outcomes []outcome) (failed int, err error) {
	if len(outcomes) == 0 {
		return 0, nil
	}
	lines := [][]string{{"fault", "questions", "a second", "wrong answers", "nodes lost", "longest answer", "result",
		"*kubernetes*: questions", "wrong answers", "nodes lost"}}
	var asked, theirs int
	for _, c := range outcomes {
		if c.err != nil {
			failed++
		}
		asked += c.ours.asked
		theirs += c.theirs.asked
		lines = append(lines, c.line())
	}
	fmt.Println()
	fmt.Print(align(lines))
	fmt.Printf("%d questions to longnames, %d to kubernetes\n", asked, theirs)
	if o.matrix == "" {
		return failed, nil
	}
	return failed, os.WriteFile(o.matrix, []byte(markdown(lines, outcomes)), 0o644) //nolint:gosec // all may read it
}

func (o *outcome) line() []string {
	result := "ok"
	if o.err != nil {
		result = "FAILED"
	}
	rate := fmt.Sprintf("%.0f", o.ours.rate())
	if o.few() {
		rate += fmt.Sprintf(" < %d", leastRate)
	}
	out := []string{o.name, strconv.Itoa(o.ours.asked), rate, kinds(o.ours.wrong), strconv.Itoa(o.ourDowns),
		o.ours.longest.Round(time.Millisecond).String(), result}
	if !o.compared {
		return append(out, "", "", "")
	}
	return append(out, strconv.Itoa(o.theirs.asked), kinds(o.theirs.wrong), strconv.Itoa(o.theirDowns))
}

func align(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			fmt.Fprintf(&out, "%-*s  ", widths[i], cell)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// markdown is the table, and what each fault is.
func markdown(lines [][]string, outcomes []outcome) string {
	var out strings.Builder
	for i, line := range lines {
		out.WriteString("| " + strings.Join(line, " | ") + " |\n")
		if i == 0 {
			out.WriteString(strings.Repeat("|---", len(line)) + "|\n")
		}
	}
	out.WriteString("\n")
	for _, o := range outcomes {
		fmt.Fprintf(&out, "* `%s`: %s\n", o.name, o.what)
	}
	return out.String()
}
