#!/bin/sh
# Runs what its arguments are after `erl`, in a network namespace with the addresses that nodes of test/cluster.erl have.
set -eu

map=
[ "$(id -u)" = 0 ] || map=--map-root-user
# shellcheck disable=SC2016,SC2086 # it is the inner shell's, and one word or none
exec unshare --net $map sh -euc '
	ip link set lo up
	i=0
	while [ $i -lt 30 ]; do
		i=$((i + 1))
		ip address add "fd00::$i/128" dev lo
	done
	exec erl "$@"' sh "$@"
