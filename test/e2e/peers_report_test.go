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
	p.ratio("work", "whoami", "%.0f/s", 30, 20, "≥ 1", atLeastRatio(1))
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
	for _, want := range []string{"facts", "| work | 30/s | whoami 20/s | 1.50 | ≥ 1 | ok |", "| 10 | none | 2 | 1.00 MB | 1.0 s |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	p.table = filepath.Join(t.TempDir(), "none.md")
	if err := os.WriteFile(p.table, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.write("facts"); err == nil {
		t.Error("a page without marks was written to")
	}
}
