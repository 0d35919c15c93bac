#!/usr/bin/env bash
# test.sh makes a release of the last commit in two clones, and looks at what is in it. `make release-test` calls this.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
version=v$(sed -n 's/^ *{vsn, "\(.*\)"},$/\1/p' beam/src/longnames.app.src)
repository=registry.example/platform/coredns
failed=

# check WHAT COMMAND... says whether the command succeeds.
check() {
	local what=$1 output
	shift
	if output=$("$@" 2>&1); then
		printf 'ok: %s\n' "$what"
	else
		printf 'FAILED: %s\n%s\n' "$what" "$output"
		failed=1
	fi
}

says() { # says TEXT COMMAND...: the output of the command has the text.
	local text=$1 output
	shift
	output=$("$@") && grep -qF -- "$text" <<<"$output" || { printf 'got %s\nwant %s\n' "$output" "$text"; return 1; }
}

not() { ! "$@"; }

refused() { # refused REASON COMMAND...: the command fails, and says why.
	local reason=$1 output
	shift
	! output=$("$@" 2>&1) && grep -qF -- "$reason" <<<"$output" || { printf 'got %s\nwant %s\n' "$output" "$reason"; return 1; }
}

git clone -q "$checkout" "$tmp/clone1"
sed -i "s/^## Unreleased$/## ${version#v}/" "$tmp/clone1/CHANGELOG.md"
git -C "$tmp/clone1" -c user.name=test -c user.email=test@example.org commit -q --allow-empty -am "Release $version"
git clone -q "$tmp/clone1" "$tmp/clone2"
for i in 1 2; do
	mkdir "$tmp/clone$i/bin"
	cp bin/kustomize-* "$tmp/clone$i/bin"
	make -s -C "$tmp/clone$i" release VERSION=$version REPOSITORY=$repository >"$tmp/log$i" 2>&1 || {
		cat "$tmp/log$i"
		exit 1
	}
done
check "two clones make the same release" diff -r "$tmp/clone1/bin/release" "$tmp/clone2/bin/release"

cd "$tmp/clone1/bin/release"
file=longnames-$version
check "the checksums are those of all files" sha256sum --strict --quiet -c SHA256SUMS
check "there is a checksum for each file" diff <(cut -c67- SHA256SUMS) <(find . -type f ! -name SHA256SUMS -printf '%f\n' | LC_ALL=C sort)

commit=$(git -C "$tmp/clone1" rev-parse --short=12 HEAD)
mkdir amd64 arm64 layout
for arch in amd64 arm64; do
	tar -xf $file-linux-$arch.tgz -C $arch
	check "the archive for $arch has the binary and the license" diff <(ls $arch) <(printf 'LICENSE\ncoredns\n')
	check "the binary for $arch is for it" says "GOARCH=$arch" go version -m $arch/coredns
	check "the SBOM for $arch is of its binary" grep -q "$(sha256sum <$arch/coredns | cut -c-64)" $file-linux-$arch.cdx.json
done
check "the binary has version and commit" says "longnames-$version, commit $commit" "$(go env GOARCH)/coredns" -version

tar -xf $file-image.tar -C layout
digest=$(sed 's/.*@sha256://' $file-image.txt)
check "the index has the digest that is stated" says "$digest  -" sha256sum <"layout/blobs/sha256/$digest"
check "the archive names the index" grep -q "$digest" layout/index.json
for arch in amd64 arm64; do
	check "the image is for $arch, too" grep -Eq "\"architecture\": *\"$arch\"" "layout/blobs/sha256/$digest"
done
for label in licenses=Apache-2.0 version=$version revision="$commit" source=https://github.com/longnames/longnames; do
	check "the image has the label $label" grep -rqF "\"org.opencontainers.image.${label%%=*}\":\"${label#*=}\"" layout/blobs
done

images=$(grep -hE '^ +(- )?image: ' -- *.yaml | sed 's/^.*image: //' | sort -u)
check "manifests name the image by its digest" diff <(echo "$images") <(echo "$repository:$version@sha256:$digest")
check "values of Helm name the image by its digest" diff <(grep -A2 '^image:' $file-helm-coredns-values.yaml) \
	<(printf 'image:\n  repository: %s\n  tag: %s@sha256:%s\n' $repository $version "$digest")
check "no file names the image that has to be edited" not grep -rlE 'image\.invalid|edit-me' --include='longnames-*' .
check "the standalone CoreDNS is among the manifests" grep -q '^kind: Deployment$' $file-standalone.yaml

cd "$tmp/clone1"
for wrong in "" 0.1.0 v0.1 v1.2.3/../x; do
	check "VERSION=$wrong is refused" refused "VERSION=$wrong is no version" make -s release VERSION="$wrong"
done
check "a version that the client does not have is refused" refused "is not that of beam/src" make -s release VERSION=v999.0.0
echo >>README.md
check "a checkout with changes is refused" refused "has changes" make -s release VERSION=$version
sed -i "s/^## ${version#v}/## Unreleased/" CHANGELOG.md
check "a version that is not in CHANGELOG.md is refused" refused "has no heading" make -s release VERSION=$version

[[ ! $failed ]]
