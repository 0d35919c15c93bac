// Package release_test tests what is beside the code: workflows, and what CoreDNS' own site gets.
package release_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// workflow is what these tests look at in a workflow of GitHub.
type workflow struct {
	Jobs map[string]struct {
		Strategy struct{ Matrix map[string][]string }
		Steps    []struct{ Uses, Run string }
	}
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	paths, err := filepath.Glob("../.github/workflows/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no workflows: %v", err)
	}
	found := make(map[string]workflow)
	for _, path := range paths {
		var w workflow
		if err := yaml.Unmarshal(read(t, path), &w); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found[path] = w
	}
	return found
}

var (
	target = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):.*## `)
	run    = regexp.MustCompile(`^make (\S+|\$\{\{ matrix\.(\w+) \}\})(?: [A-Z]+=\S+(?: github\.\w+ \}\})?)*$`)
	pinned = regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40}$`)
)

// A step of a workflow can be tried without GitHub only if it is in the Makefile.
func TestWorkflowsRunMakeTargetsAlone(t *testing.T) {
	var targets []string
	for _, found := range target.FindAllSubmatch(read(t, "../Makefile"), -1) {
		targets = append(targets, string(found[1]))
	}
	seen := 0
	for path, w := range workflows(t) {
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				if step.Run == "" {
					continue
				}
				call := run.FindStringSubmatch(step.Run)
				if call == nil {
					t.Errorf("%s: %s runs %q, want a make target", path, name, step.Run)
					continue
				}
				called := []string{call[1]}
				if call[2] != "" {
					called = job.Strategy.Matrix[call[2]]
				}
				for _, each := range called {
					seen++
					if !slices.Contains(targets, each) {
						t.Errorf("%s: %s makes %q, want one of %q", path, name, each, targets)
					}
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("got %d targets, want those of tests and of a release", seen)
	}
}

// A tag can be moved to other code; a commit cannot.
func TestActionsArePinned(t *testing.T) {
	seen := 0
	for path, w := range workflows(t) {
		for name, job := range w.Jobs {
			for _, step := range job.Steps {
				if step.Uses == "" {
					continue
				}
				seen++
				if !pinned.MatchString(step.Uses) {
					t.Errorf("%s: %s uses %q, want an action at a commit", path, name, step.Uses)
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no workflow uses an action")
	}
}

func TestDependenciesOfAllModulesAreUpdated(t *testing.T) {
	var config struct {
		Updates []struct {
			Ecosystem   string `json:"package-ecosystem"`
			Directories []string
		}
	}
	if err := yaml.Unmarshal(read(t, "../.github/dependabot.yml"), &config); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, update := range config.Updates {
		if update.Ecosystem == "gomod" {
			got = append(got, update.Directories...)
		}
	}
	for _, pattern := range []string{"../go.mod", "../*/go.mod", "../*/*/go.mod", "../*/*/*/go.mod"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			want = append(want, "/"+strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), ".."), "/"))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
