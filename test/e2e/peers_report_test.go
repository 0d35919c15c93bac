package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuantile(t *testing.T) {
	var figures []float64
	for i := 200; i > 0; i-- {
		figures = append(figures, float64(i))
	}
	for share, want := range map[float64]float64{0: 1, 0.5: 101, 0.99: 199, 1: 200} {
		if got := quantile(figures, share); got != want {
			t.Errorf("quantile %v is %v, want %v", share, got, want)
		}
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median is %v", got)
	}
}

func TestTablesGoBetweenTheirMarks(t *testing.T) {
	p := &peers{table: filepath.Join(t.TempDir(), "page.md")}
	p.compare("work", "whoami", [2]string{"30/s", "20/s"}, 30, 20, "≥ 1", true)
	p.compare("both at once", "kubernetes", [2]string{"0 ms", "0 ms"}, 0, 0, "≤ 1", true)
	p.compare("no goal", "kubernetes", [2]string{"1/s", "2/s"}, 1, 2, "", false)
	p.costs = []cost{{nodes: 10, clients: "none", requests: 2, bytes: megabyte, cpu: 1}}
	before, after := "# Page\n\n"+tableBegin, tableEnd+"\nProse.\n"
	if err := os.WriteFile(p.table, []byte(before+"old\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.write("facts"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.table)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || strings.Contains(got, "old") {
		t.Errorf("the page became\n%s", got)
	}
	for _, want := range []string{"facts", "| work | 30/s | whoami 20/s | 1.50 | ≥ 1 | ok |", "| 10 | none | 2 | 1.00 MB | 1.0 s |",
		"| both at once | 0 ms | kubernetes 0 ms |  | ≤ 1 | ok |", "| no goal | 1/s | kubernetes 2/s | 0.50 |  |  |", "Side by side.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\n\n\n") || strings.Contains(got, "made up") {
		t.Errorf("the page has empty lines or tables:\n%s", got)
	}
	p.table = filepath.Join(t.TempDir(), "none.md")
	if err := os.WriteFile(p.table, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.write("facts"); err == nil {
		t.Error("a page without marks was written to")
	}
}

func TestWrap(t *testing.T) {
	word := strings.Repeat("é", 59) + "."
	for text, want := range map[string]string{
		"":                                      "",
		"a  b\nc":                               "a b c",
		word + " " + word[2:]:                   word + " " + word[2:],
		word + " " + word:                       word + "\n" + word,
		strings.Repeat("x", 130) + " " + "more": strings.Repeat("x", 130) + "\nmore",
	} {
		if got := wrap(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestPerfResult(t *testing.T) {
	const said = `Statistics:

  Queries sent:         50010
  Queries completed:    50000 (99.98%)
  Queries lost:         10 (0.02%)

  Response codes:       NOERROR 50000 (100.00%)
  Average packet size:  request 45, response 280
  Run time (s):         1.000000
  Queries per second:   50000.500000
`
	for _, c := range []struct {
		what, from, to string
		good           bool
	}{
		{"all is well", "", "", true},
		{"some are refused", "NOERROR 50000 (100.00%)", "NOERROR 49000 (98.00%), REFUSED 1000 (2.00%)", false},
		{"many are lost", "completed:    50000", "completed:    49000", false},
		{"they are truncated", "response 280", "response 45", false},
		{"one of 10 members is missing", "response 280", "response 256", false},
		{"it tells no size", "Average packet size", "Average", false},
	} {
		rate, completed, err := perfResult(strings.Replace(said, c.from, c.to, 1), 280)
		if (err == nil) != c.good || c.good && (rate != 50000.5 || completed != 50000) {
			t.Errorf("%s: got %v answers a second, %v in all and %v; want 50000.5, 50000 and no error: %t", c.what, rate, completed, err, c.good)
		}
	}
}

func TestPeakOf(t *testing.T) {
	const trace = `gc 1 @0.013s 4%: 0.03+1.1+0.01 ms clock, 0.06+0.2/0.9/0+0.03 ms cpu, 3->4->2 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @0.020s 5%: 0.03+1.1+0.01 ms clock, 0.06+0.2/0.9/0+0.03 ms cpu, 51->53->20 MB, 52 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 3 @0.030s 5%: 0.03+1.1+0.01 ms clock, 0.06+0.2/0.9/0+0.03 ms cpu, 40->41->20 MB, 42 MB goal, 0 MB stacks, 0 MB globals, 2 P
`
	if got, err := peakOf(trace); got != 53 || err != nil {
		t.Errorf("got %v and %v, want 53", got, err)
	}
	if got, err := peakOf("[INFO] nothing of that kind\n"); err == nil {
		t.Errorf("got %v without any collection, want an error", got)
	}
}
