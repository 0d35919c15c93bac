#!/bin/sh
# Installs what the end-to-end tests need from Debian, or the packages that are given, unless it is there.
set -eu

[ $# != 0 ] || set -- erlang-base bind9-dnsutils bind9 dnsperf prometheus util-linux buildah openssl mmdebstrap \
	containerd runc containernetworking-plugins nftables iptables iproute2 \
	unbound knot-resolver nsd knot ldnsutils zonemaster-cli
missing=$(for package; do
	[ "$(dpkg-query -Wf '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf ' %s' "$package"
done)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "These Debian packages are needed:$missing" >&2
	exit 1
fi
# The servers that come with packages are not to be started on this machine. https://wiki.debian.org/chroot
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 130' INT # or dash would not come to the one above
	trap 'exit 143' TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # these are words
apt-get install -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends $missing
