#!/usr/bin/env bash
# demo.sh shows what clients are told while a member leaves and while nobody can be asked about members. It serves a copy
# of Corefile.example and of the files here, and ends with an error if an answer is not what it says. `make demo` builds
# bin/coredns and calls it. PORT is where it listens.
set -euo pipefail
cd "$(dirname "$0")/.."
coredns=$PWD/bin/coredns
port=${PORT:-1053}

command -v dig >/dev/null || {
	echo 'dig is missing. It is in the package bind9-dnsutils, bind-utils or bind.' >&2
	exit 1
}

# CoreDNS shares its port with others, so their answers would be taken for its own.
if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
	echo "Something listens on port $port already, maybe 'make run'. Stop it, or choose another PORT." >&2
	exit 1
fi

dir=$(mktemp -d)
cp -R examples "$dir"
sed "s/^\.:1053 /.:$port /" Corefile.example >"$dir/Corefile"
(cd "$dir" && exec "$coredns" -conf Corefile >log 2>&1) &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

slices=$dir/examples/deployment.yaml # the EndpointSlice of Service shop

ask() { dig @127.0.0.1 -p "$port" +short +tries=1 +timeout=2 shop.erl.internal TXT 2>&1 | sort; }

members() { printf '"shop@%s"\n' "$@"; }

show() { printf '$ dig @127.0.0.1 -p %s +short shop.erl.internal TXT\n%s\n' "$port" "$(ask)"; }

fail() {
	printf 'The answer is\n%s\nand not\n%s\n\nCoreDNS says:\n' "$(ask)" "$1"
	cat "$dir/log"
	exit 1
}

# becomes ADDRESS... waits until these are the members, and shows that.
becomes() {
	local want deadline=$((SECONDS + 10))
	want=$(members "$@")
	until [[ $(ask) == "$want" ]]; do
		((SECONDS < deadline)) && kill -0 $server 2>/dev/null || fail "$want"
		sleep 0.1
	done
	show
}

# stays ADDRESS... asks for five seconds, in which the answer is always that.
stays() {
	local want asked=0 deadline=$((SECONDS + 5))
	want=$(members "$@")
	while ((SECONDS < deadline)); do
		[[ $(ask) == "$want" ]] || fail "$want"
		asked=$((asked + 1))
	done
	printf 'Asked %d times in five seconds, the answer always was\n%s\n' $asked "$want"
}

# change SED-SCRIPT edits the EndpointSlice, at once.
change() {
	sed "$1" "$slices" >"$dir/new"
	mv "$dir/new" "$slices"
}

printf '\nA Service has two endpoints that are ready, and one that is not. Two nodes are in the cluster.\n\n'
becomes 10.1.0.11 10.1.0.12

printf '\nThe third becomes ready, and is a member.\n\n'
change 's/ready: false, serving: false/ready: true, serving: true/'
becomes 10.1.0.11 10.1.0.12 10.1.0.13

printf '\nThe pod of the second is deleted. That is announced: its endpoint terminates, and it is no longer a member.\n\n'
change '/10\.1\.0\.12/{n;s/ready: true, serving: true, terminating: false/ready: false, serving: true, terminating: true/;}'
becomes 10.1.0.11 10.1.0.13

printf '\nWhere the objects come from cannot be read any more. Nobody is thrown out.\n\n'
cp "$slices" "$dir/saved"
printf 'The server is currently unable to handle the request.\n' >"$dir/new"
mv "$dir/new" "$slices"
stays 10.1.0.11 10.1.0.13
logged=$(grep -F deployment.yaml "$dir/log") || fail "$(members 10.1.0.11 10.1.0.13), with a line in the log about deployment.yaml"
printf '\nCoreDNS has logged it:\n%s\n' "$logged"

printf '\nIt can be read again. Meanwhile the second has come back, and the first fails its readiness probe. That may be a\n'
printf 'fault of the probe: for half a minute, by default, the first is suspect and stays.\n\n'
sed -e '/10\.1\.0\.11/{n;s/ready: true, serving: true/ready: false, serving: false/;}' \
	-e '/10\.1\.0\.12/{n;s/ready: false, serving: true, terminating: true/ready: true, serving: true, terminating: false/;}' \
	"$dir/saved" >"$dir/new"
mv "$dir/new" "$slices"
becomes 10.1.0.11 10.1.0.12 10.1.0.13
stays 10.1.0.11 10.1.0.12 10.1.0.13
