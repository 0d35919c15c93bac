package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeGo is a go command that lists one fuzz target, and prints what it is told to when the target is run.
const fakeGo = `#!/bin/sh
case "$*" in
*-list*) printf '%s\nok  \texample.com/fuzzed\t0.010s\n' "$TARGET" ;;
*) printf '%s\n' "$SAYS"; exit "$CODE" ;;
esac
`

// TestFuzzScriptFailsWhereTooLittleIsExecuted runs fuzz.sh on what Go prints.
func TestFuzzScriptFailsWhereTooLittleIsExecuted(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	script, err := os.ReadFile("fuzz.sh") // so that go test caches nothing about another one
	if err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(command, []byte(fakeGo), 0o700); err != nil {
		t.Fatal(err)
	}
	const passes = "\nPASS\nok  \texample.com/fuzzed\t20.100s"
	for _, tc := range []struct {
		name, target, says, code string
		want                     string // the last line; empty if the target passes
	}{
		{
			"busy", "FuzzA",
			"fuzz: elapsed: 1s, gathering baseline coverage: 11/11 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 3s, execs: 203 (68/sec), new interesting: 26 (total: 37)\n" +
				"fuzz: elapsed: 20s, execs: 5659 (354/sec), new interesting: 124 (total: 135)" + passes, "0", "",
		}, {
			"minimizes", "FuzzA",
			"fuzz: elapsed: 1s, gathering baseline coverage: 11/11 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 21s, execs: 21 (0/sec), new interesting: 0 (total: 11)" + passes, "0",
			"FuzzA: executed 10 new inputs in 20 s, want more than 60",
		}, {
			"has executed many known inputs", "FuzzA",
			"fuzz: elapsed: 3s, gathering baseline coverage: 500/500 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 6s, execs: 503 (0/sec), new interesting: 1 (total: 501)\n" +
				"fuzz: elapsed: 23s, execs: 505 (0/sec), new interesting: 2 (total: 502)" + passes, "0",
			"FuzzA: executed 5 new inputs in 20 s, want more than 60",
		}, {
			"is not done with known inputs", "FuzzA",
			"fuzz: elapsed: 0s, gathering baseline coverage: 0/500 completed\n" +
				"fuzz: elapsed: 5s, gathering baseline coverage: 402/500 completed" + passes, "0",
			"FuzzA: executed 0 new inputs in 5 s, want more than 15",
		}, {
			"is done with them at the end", "FuzzA",
			"fuzz: elapsed: 5s, gathering baseline coverage: 500/500 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 5s, execs: 500 (1/sec), new interesting: 0 (total: 500)" + passes, "0",
			"FuzzA: executed 0 new inputs in 0 s, want more than 0",
		}, {
			"is not fuzzed at all", "FuzzA", "testing: warning: no fuzz tests to fuzz" + passes, "0",
			"FuzzA: executed 0 new inputs in 0 s, want more than 0",
		}, {
			"sleeps for long", "FuzzA",
			"fuzz: elapsed: 5s, gathering baseline coverage: 5/5 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 1h1m10s, execs: 7205 (2/sec), new interesting: 0 (total: 5)" + passes, "0",
			"FuzzA: executed 7200 new inputs in 3665 s, want more than 10995",
		}, {
			"starts servers", "FuzzAnswers",
			"fuzz: elapsed: 1s, gathering baseline coverage: 5/5 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 5s, execs: 17 (3/sec), new interesting: 2 (total: 7)" + passes, "0", "",
		}, {
			"ends while an input runs", "FuzzA",
			"fuzz: elapsed: 1s, gathering baseline coverage: 11/11 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 20s, execs: 5659 (354/sec), new interesting: 124 (total: 135)\n" +
				"--- FAIL: FuzzA (20.08s)\n    context deadline exceeded\nFAIL", "1", "",
		}, {
			"finds something that exceeds a deadline", "FuzzA",
			"fuzz: elapsed: 1s, gathering baseline coverage: 11/11 completed, now fuzzing with 2 workers\n" +
				"fuzz: elapsed: 20s, execs: 5659 (354/sec), new interesting: 124 (total: 135)\n" +
				"--- FAIL: FuzzA (20.08s)\n    --- FAIL: FuzzA (0.00s)\n    context deadline exceeded\n\n" +
				"    Failing input written to testdata/fuzz/FuzzA/0\nFAIL", "1", "FAIL",
		}, {
			"finds something", "FuzzA", "fuzz: elapsed: 0s, gathering baseline coverage: 0/5 completed\nFAIL", "1", "FAIL",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), bash, "-c", string(script), "fuzz.sh", "20s", "./...")
			cmd.Env = append(os.Environ(), "GO="+command, "TARGET="+tc.target, "SAYS="+tc.says, "CODE="+tc.code)
			said, err := cmd.CombinedOutput()
			if failed := err != nil; failed != (tc.want != "") {
				t.Errorf("got error %v, want one: %t", err, tc.want != "")
			}
			got := strings.TrimSuffix(string(said), "\n")
			if want := tc.target + " (example.com/fuzzed)\n" + tc.says; !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want it to begin with %q", got, want)
			}
			if tc.want != "" && !strings.HasSuffix(got, "\n"+tc.want) {
				t.Errorf("got %q, want it to end with %q", got, tc.want)
			}
		})
	}
}
