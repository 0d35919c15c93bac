#!/bin/sh
# Compares the members that libcluster's Kubernetes strategy reads from the API server with those that longnames answers
# with. See docs/migrating-from-libcluster.md.
set -eu

usage() {
	cat >&2 <<'USAGE'
usage: compare-members.sh -n NAMESPACE -l SELECTOR -b BASENAME [OPTION...] NAME

NAME is the cluster's name, as the nodes will ask for it. The options are those of Cluster.Strategy.Kubernetes:

  -n NAMESPACE  kubernetes_namespace
  -l SELECTOR   kubernetes_selector
  -b BASENAME   kubernetes_node_basename
  -m MODE       mode: ip (the default), dns or hostname
  -k LOOKUP     kubernetes_ip_lookup_mode: endpoints (the default) or pods
  -s SERVICE    kubernetes_service_name, for mode hostname
  -d DOMAIN     kubernetes_cluster_name and ".local"; by default cluster.local

  -w SECONDS    how long to try again while both differ, for pods may come and go; by default 10

Environment: KUBECTL is the command to ask the API server with, by default "kubectl"; DIG the one to ask longnames with,
by default "dig". Both are split into words: DIG="dig @127.0.0.1 -p 1053 +tcp", DIG="kubectl exec -n prod deploy/tools -- dig".

Exit code: 0 if both have the same members, 1 if not, 2 if they could not be compared.
USAGE
	exit 2
}

fail() {
	printf 'compare-members: %s\n' "$*" >&2
	exit 2
}

namespace='' selector='' basename='' service=''
mode=ip lookup=endpoints domain=cluster.local patience=10
while getopts n:l:b:m:k:s:d:w: option; do
	case $option in
	n) namespace=$OPTARG ;;
	l) selector=$OPTARG ;;
	b) basename=$OPTARG ;;
	m) mode=$OPTARG ;;
	k) lookup=$OPTARG ;;
	s) service=$OPTARG ;;
	d) domain=${OPTARG%.} ;;
	w) patience=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
if [ $# != 1 ] || [ -z "$namespace" ] || [ -z "$selector" ] || [ -z "$basename" ]; then
	usage
fi
name=${1%.}.

case $mode in
ip | dns) ;;
hostname) [ -n "$service" ] || fail "mode hostname needs -s SERVICE" ;;
*) fail "expected -m ip, dns or hostname, got $mode" ;;
esac

# What each line has: address, hostname or "-", phase.
case $lookup in
endpoints)
	template='{{range .items}}{{range .subsets}}{{range .addresses}}{{.ip}} {{or .hostname "-"}} Running{{"\n"}}{{end}}{{end}}{{end}}'
	;;
pods)
	template='{{range .items}}{{if .status.podIP}}{{.status.podIP}} {{or .spec.hostname "-"}} {{.status.phase}}{{"\n"}}{{end}}{{end}}'
	;;
*) fail "expected -k endpoints or pods, got $lookup" ;;
esac

case $patience in
'' | *[!0-9]*) fail "expected a number of seconds for -w, got $patience" ;;
esac

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# in_kubernetes makes the longnames as libcluster does: with what it would get wrong, such as the colons of an IPv6
# address in mode dns. Only the pods that have ended, which it takes for members, are put aside.
in_kubernetes() {
	# shellcheck disable=SC2086 # these are words
	${KUBECTL:-kubectl} get "$lookup" -n "$namespace" -l "$selector" -o "go-template=$template" \
		>"$tmp/objects" 2>"$tmp/errors" || fail "cannot list $lookup in namespace $namespace: $(cat "$tmp/errors")"
	awk -v basename="$basename" -v mode="$mode" -v namespace="$namespace" -v service="$service" -v domain="$domain" '
		{
			host = $1
			if (mode == "dns") {
				gsub(/\./, "-", host)
				host = host "." namespace ".pod." domain
			}
			if (mode == "hostname")
				host = ($2 == "-" ? "" : $2) "." service "." namespace ".svc." domain
			ended = $3 == "Succeeded" || $3 == "Failed"
			print ended ? "ended" : "member", basename "@" host
		}' "$tmp/objects" >"$tmp/named"
	sed -n 's/^member //p' "$tmp/named" | LC_ALL=C sort -u >"$tmp/kubernetes"
	sed -n 's/^ended //p' "$tmp/named" | LC_ALL=C sort -u >"$tmp/ended"
	[ -s "$tmp/kubernetes" ] || fail "$lookup in namespace $namespace with labels $selector: none that is a member"
}

# in_dns reads the TXT records.
in_dns() {
	# shellcheck disable=SC2086 # these are words
	${DIG:-dig} +nocmd +noall +comments +answer "$name" TXT >"$tmp/answer" 2>&1 || fail "$name TXT: $(cat "$tmp/answer")"
	status=$(sed -n 's/.*[ ,]status: \([A-Z]*\),.*/\1/p' "$tmp/answer")
	case $status in
	NOERROR) ;;
	NXDOMAIN) fail "$name TXT: NXDOMAIN: it is not the name of a cluster that has members, or nobody answers for its zone" ;;
	SERVFAIL) fail "$name TXT: SERVFAIL: the members are not known yet, see the log of CoreDNS" ;;
	*) fail "$name TXT: ${status:-no answer}: $(cat "$tmp/answer")" ;;
	esac
	awk '$4 == "TXT" { gsub(/"/, "", $5); print $5 }' "$tmp/answer" | LC_ALL=C sort -u >"$tmp/dns"
}

count() { wc -l <"$1" | tr -d ' '; }

deadline=$(($(date +%s) + patience))
while
	in_kubernetes
	in_dns
	! cmp -s "$tmp/kubernetes" "$tmp/dns"
do
	if [ "$(date +%s)" -ge "$deadline" ]; then
		echo "Not the same: $(count "$tmp/kubernetes") members in Kubernetes, $(count "$tmp/dns") in DNS."
		LC_ALL=C comm -23 "$tmp/kubernetes" "$tmp/dns" | sed 's/^/only in Kubernetes: /'
		LC_ALL=C comm -13 "$tmp/kubernetes" "$tmp/dns" | sed 's/^/only in DNS:        /'
		exit 1
	fi
	sleep 1
done
echo "The same $(count "$tmp/dns") members in Kubernetes and in DNS:"
sed 's/^/    /' "$tmp/dns"
sed 's/^/left out, for its pod has ended: /' "$tmp/ended"
