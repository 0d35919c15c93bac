package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What docs/clients.md says of clients is what is tried of them: the same clients, modes and types, in the same order.
func TestClientTableIsThatOfThePage(t *testing.T) {
	text, err := os.ReadFile(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| Client | Strategy | Modes | Asks for |")
	if !found {
		t.Fatalf("%s: got no table of clients", clientsPage)
	}
	table, _, _ = strings.Cut(table, "\n\n")
	link := regexp.MustCompile(`^\[(.*)\]\(#.*\)$`)
	var got []string
	for row := range strings.Lines(table) {
		cells := strings.Split(row, " | ")
		if !strings.HasPrefix(row, "| [") || len(cells) < 4 {
			continue
		}
		cells[0] = link.ReplaceAllString(strings.TrimPrefix(cells[0], "| "), "$1")
		got = append(got, strings.ReplaceAll(strings.Join(cells[:4], "; "), "`", ""))
	}
	want := make([]string, 0, len(clientTable))
	for _, c := range clientTable {
		want = append(want, strings.Join([]string{c.name, c.strategy, strings.Join(c.modes, ", "), strings.Join(c.types, ", ")}, "; "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got in %s:\n%s\nwant, as clientTable has it:\n%s", clientsPage, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each client that has a manifest of its own on the page is one of the products, or is RabbitMQ, which runs itself.
func TestProductsAreThoseOfThePage(t *testing.T) {
	all, err := snippets(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{"RabbitMQ"}
	for _, p := range products {
		got = append(got, p.client)
	}
	var want []string
	for _, c := range clientTable {
		if slices.ContainsFunc(all, func(s snippet) bool { return s.section == c.name && s.language == "yaml" }) {
			want = append(want, c.name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("got products %q, want %q", got, want)
	}
}

func TestSnippetsOfListsAreNotIndented(t *testing.T) {
	all, err := snippets(clientsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.section == "The way of a question" && strings.HasPrefix(s.text, " ") {
			t.Errorf("got %q, want it without its indentation", s.text)
		}
	}
	if i := slices.IndexFunc(all, func(s snippet) bool { return s.language == "yaml" && strings.HasPrefix(s.text, "spec:\n") }); i < 0 {
		t.Errorf("got no change to a manifest in %d snippets", len(all))
	}
}
