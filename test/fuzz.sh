#!/usr/bin/env bash
# fuzz.sh TIME PACKAGE... runs each fuzz target of the packages for that time, one after the other. It fails where a
# target finds something, and where it does next to nothing, which would look like a target that finds nothing.
# GO is the go command, and TESTFLAGS are for go test.
set -euo pipefail
exec </dev/null

go=${GO:-go}
time=$1
shift

# least TARGET prints how many new inputs a second are enough. Two cores with ten processes on them execute 10 at least,
# and mostly 20 to 70. A target that sleeps, or whose inputs are minimized all the time, executes one or two.
least() {
	case $1 in
	FuzzAnswers) echo 1 ;; # starts a server for each, and asks it hundreds of questions
	*) echo 3 ;;
	esac
}

seconds() {
	[[ $1 =~ ^(([0-9]+)h)?(([0-9]+)m)?([0-9]+)s$ ]]
	echo $((BASH_REMATCH[2] * 3600 + BASH_REMATCH[4] * 60 + BASH_REMATCH[5]))
}

# judge TARGET shows what go test prints, and fails if the target has failed, or passed with too few executions. Now and
# then, go test takes the end of its own -fuzztime for a failure; then it names no input.
judge() {
	local elapsed='^fuzz: elapsed: ([0-9hms]+), ' counts=', execs: ([0-9]+) .*, new interesting: ([0-9]+) \(total: ([0-9]+)\)$'
	local line now=0 began=0 executed=0 passed='' failed='' few
	while IFS= read -r line; do
		printf '%s\n' "$line"
		if [[ $line =~ $elapsed ]]; then
			now=$(seconds "${BASH_REMATCH[1]}")
		fi
		if [[ $line == *', now fuzzing '* ]]; then
			began=$now
		elif [[ $line =~ $counts ]]; then
			# Without the inputs that are known: they may be many, and Go executes them before it fuzzes.
			executed=$((BASH_REMATCH[1] - (BASH_REMATCH[3] - BASH_REMATCH[2])))
		elif [[ $line == ok* || $line == '    context deadline exceeded' ]]; then
			passed=1
		elif [[ $line == *'Failing input written to '* ]]; then
			failed=1
		fi
	done
	if [[ $failed || ! $passed ]]; then
		return 1
	fi
	few=$(($(least "$1") * (now - began)))
	if ((executed <= few)); then
		printf '%s: executed %d new inputs in %d s, want more than %d\n' "$1" "$executed" $((now - began)) "$few"
		return 1
	fi
}

list=$("$go" test -list '^Fuzz' "$@") || {
	printf '%s\n' "$list"
	exit 1
}
targets=() # each with its package
names=()
while read -r word package _; do
	case $word in
	Fuzz*) names+=("$word") ;;
	ok)
		targets+=("${names[@]/%/ $package}")
		names=()
		;;
	esac
done <<<"$list"
if ((${#targets[@]} == 0)); then
	printf 'no fuzz targets in %s\n' "$*"
	exit 1
fi

for each in "${targets[@]}"; do
	read -r target package <<<"$each"
	printf '%s (%s)\n' "$target" "$package"
	# By default, Go minimizes each input that covers new code, for up to a minute. As long as most inputs do, it would
	# do nothing else. What fails is hardly minimized either; TESTFLAGS='-fuzzminimizetime 1m' does that.
	# shellcheck disable=SC2086 # flags are words
	{ "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "$package" ${TESTFLAGS-} || true; } | judge "$target"
done
