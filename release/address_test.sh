#!/usr/bin/env bash
# address_test.sh KUSTOMIZE builds overlays on what is in a repository, by its address and a tag, and on the same in a
# directory. `make release-test` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
kustomize=$PWD/$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
git clone -q . "$tmp/clone"
git -C "$tmp/clone" tag v0.0.0-test
mkdir "$tmp/overlay"

# build BASE COMPONENT FROM [REF] prints an overlay as deploy/README.md has users write it.
build() {
	cat >"$tmp/overlay/kustomization.yaml" <<-END
		resources: ["$3/$1${4-}"]
		components: ["$3/components/$2${4-}"]
		images: [{name: image.invalid/longnames/coredns, newName: registry.example/platform/coredns, newTag: v1.2.3}]
	END
	"$kustomize" build "$tmp/overlay"
}

for base in base overlays/standalone overlays/standalone-namespaced; do
	for component in critical fixed-address openshift service-monitor; do
		build $base $component ../clone/deploy >"$tmp/path.yaml"
		build $base $component "file://$tmp/clone//deploy" '?ref=v0.0.0-test' >"$tmp/address.yaml"
		diff "$tmp/path.yaml" "$tmp/address.yaml"
		grep -q 'image: registry.example/platform/coredns:v1.2.3$' "$tmp/address.yaml"
		printf 'ok: %s with %s\n' $base $component
	done
done
