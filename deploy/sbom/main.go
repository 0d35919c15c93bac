// Command sbom prints what a Go binary is made of as a CycloneDX document in JSON. It reads what the go command has
// recorded in the binary, so it tells of what is there and not of what go.mod allows. The same binary gives the same
// document: there is neither a time nor a serial number in it.
//
// https://cyclonedx.org/specification/overview, https://pkg.go.dev/debug/buildinfo
package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// specVersion is not the newest: readers are slower than writers.
const specVersion = cdx.SpecVersion1_6

func main() {
	version := flag.String("version", "", "the `version` of the binary's own module, which a build in a checkout does not record")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: sbom [-version VERSION] BINARY")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(os.Stdout, flag.Arg(0), *version); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// write writes the document about the binary in a file.
func write(w io.Writer, path, version string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return err
	}
	sum, err := sha256Of(path)
	if err != nil {
		return err
	}
	bom, err := describe(info, version)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	bom.Metadata.Component.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, specVersion)
}

// sha256Of gives the hash of a file, in hexadecimal.
func sha256Of(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// describe makes a document of build information: the main module, which has the version that is given or else the one
// that is recorded, all modules that are linked in, and the standard library.
func describe(info *debug.BuildInfo, version string) (*cdx.BOM, error) {
	if version == "" {
		version = info.Main.Version
	}
	bom := cdx.NewBOM()
	main, err := component(&debug.Module{Path: info.Main.Path, Version: version})
	if err != nil {
		return nil, err
	}
	main.Type = cdx.ComponentTypeApplication
	bom.Metadata = &cdx.Metadata{Component: main}
	std, err := component(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})
	if err != nil {
		return nil, err
	}
	components := []cdx.Component{*std}
	for _, m := range info.Deps {
		c, err := component(m)
		if err != nil {
			return nil, err
		}
		components = append(components, *c)
	}
	bom.Components = &components
	return bom, nil
}

// component describes a module, or what has replaced it.
func component(m *debug.Module) (*cdx.Component, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	purl := packageURL(m.Path, m.Version)
	c := &cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl,
		Scope: cdx.ScopeRequired,
	}
	if m.Sum == "" {
		return c, nil
	}
	hash, err := sumOf(m.Sum)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hash}}
	return c, nil
}

// packageURL names a module as all tools do: in lower case, with a version that is escaped.
// https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md
func packageURL(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + url.QueryEscape(version)
}

// sumOf gives the SHA-256 of a line in go.sum, h1:BASE64, in hexadecimal. https://go.dev/ref/mod#go-sum-files
func sumOf(sum string) (string, error) {
	text, ok := strings.CutPrefix(sum, "h1:")
	if !ok {
		return "", fmt.Errorf("checksum %q is of an unknown kind, want one that begins with h1: as in go.sum", sum)
	}
	hash, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(hash) != sha256.Size {
		return "", fmt.Errorf("checksum %q is no SHA-256 in base64", sum)
	}
	return hex.EncodeToString(hash), nil
}
