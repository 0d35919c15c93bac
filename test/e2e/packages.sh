#!/bin/sh
# Installs what the end-to-end tests need from Debian, unless it is there.
set -eu

packages=
need() { # FILE PACKAGE
	[ -e "$1" ] || packages="$packages $2"
}
need /usr/bin/erlc erlang-base
need /usr/bin/dig bind9-dnsutils
need /usr/sbin/named bind9
need /usr/bin/dnsperf dnsperf
need /usr/bin/prometheus prometheus
need /usr/bin/unshare util-linux
need /usr/bin/buildah buildah
need /usr/bin/openssl openssl
need /usr/bin/mmdebstrap mmdebstrap
need /usr/bin/containerd containerd
need /usr/sbin/runc runc
need /usr/lib/cni/ptp containernetworking-plugins
need /usr/sbin/nft nftables
need /usr/sbin/iptables-restore iptables
command -v ip >/dev/null || packages="$packages iproute2"
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "These Debian packages are needed:$packages" >&2
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
apt-get install -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends $packages
