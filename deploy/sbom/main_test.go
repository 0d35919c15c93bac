package main

import (
	"bytes"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func TestDescribe(t *testing.T) {
	const (
		sum = "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
		hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	)
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "example.org/main", Version: "(devel)"},
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: sum},
			{Path: "example.org/b", Version: "v2.0.0", Replace: &debug.Module{Path: "example.org/c", Version: "v3.0.0", Sum: sum}},
			{Path: "example.org/D", Version: "v4.0.0+incompatible"},
		},
	}
	tests := []struct {
		name, version, want string
	}{
		{name: "version given", version: "v1.2.3", want: "pkg:golang/example.org/main@v1.2.3"},
		{name: "version recorded", want: "pkg:golang/example.org/main@%28devel%29"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			bom, err := describe(info, tc.version)
			if err != nil {
				t.Fatal(err)
			}
			if got := bom.Metadata.Component; got.PackageURL != tc.want || got.Type != cdx.ComponentTypeApplication {
				t.Errorf("got %s %s, want application %s", got.Type, got.PackageURL, tc.want)
			}
			var got []string
			for _, c := range *bom.Components {
				line := c.PackageURL
				if c.Hashes != nil {
					line += " " + (*c.Hashes)[0].Value
				}
				got = append(got, line)
			}
			want := []string{
				"pkg:golang/std@1.26.8",
				"pkg:golang/example.org/a@v1.0.0 " + hex,
				"pkg:golang/example.org/c@v3.0.0 " + hex,
				"pkg:golang/example.org/d@v4.0.0%2Bincompatible",
			}
			if !slices.Equal(got, want) {
				t.Errorf("got components\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestDescribeRefusesAnotherChecksum(t *testing.T) {
	for _, sum := range []string{"h2:AAAA", "h1:not base64", "h1:AAAA"} {
		info := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.org/a", Version: "v1.0.0", Sum: sum}}}
		if _, err := describe(info, ""); err == nil || !strings.Contains(err.Error(), "example.org/a") {
			t.Errorf("checksum %q: got error %v, want one that names the module", sum, err)
		}
	}
}

// The test is a Go binary itself, linked with the library.
func TestWriteTellsOfABinary(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := write(out, binary, "v1.2.3"); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Errorf("got two documents of one binary:\n%s\n%s", first.String(), second.String())
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(&first, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == "github.com/CycloneDX/cyclonedx-go" }) {
		t.Errorf("got %d components without the library", len(*bom.Components))
	}
	if got := len((*bom.Metadata.Component.Hashes)[0].Value); got != 64 {
		t.Errorf("got a hash of %d digits, want 64", got)
	}
}

func TestWriteRefusesWhatIsNoGoBinary(t *testing.T) {
	var out bytes.Buffer
	if err := write(&out, "main.go", ""); err == nil {
		t.Error("got no error for a text file")
	}
}
