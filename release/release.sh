#!/usr/bin/env bash
# release.sh VERSION REPOSITORY KUSTOMIZE makes the files of a release in bin/release. The image is not pushed: REPOSITORY is where
# it will be, and the manifests name it there by its digest. The same commit gives the same files, with the same Go and
# the same buildah. `make release` calls this.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
version=$1
repository=$2
kustomize=$3

fail() {
	printf '%s\n' "$*" >&2
	exit 1
}

[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
	fail "VERSION=$version is no version such as v0.1.0"
grep -qF "{vsn, \"${version#v}\"}" beam/src/longnames.app.src ||
	fail "VERSION=$version is not that of beam/src/longnames.app.src"
awk -v version="${version#v}" '$1 == "##" && $2 == version { found = 1 } END { exit !found }' CHANGELOG.md ||
	fail "CHANGELOG.md has no heading ## ${version#v}"
[[ -z $(git status --porcelain) ]] ||
	fail "The checkout has changes, so nobody could make the same release again: commit or stash them."

out=bin/release
name=longnames-$version
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
rm -rf $out
mkdir -p $out

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# archive DIRECTORY prints a tar file of all that is in it, in which nothing depends on the machine.
archive() {
	tar -c -C "$1" --format=ustar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
		--mode=u=rwX,go=rX --transform='s,^\./,,' .
}

# A store of its own, of the driver that works everywhere: the image is made from scratch, so there is nothing to share.
buildah=(buildah --root "$tmp/store" --runroot "$tmp/run" --storage-driver vfs)
images=()
for arch in amd64 arm64; do
	image=localhost/longnames/coredns:$arch
	make --no-print-directory image sbom GOOS=linux GOARCH=$arch VERSION="$version" IMAGE=$image BUILDAH="${buildah[*]}" \
		SBOM=$out/$name-linux-$arch.cdx.json
	images+=("$image")
	mkdir "$tmp/$arch"
	cp bin/coredns LICENSE "$tmp/$arch"
	archive "$tmp/$arch" | gzip -9n >$out/$name-linux-$arch.tgz
done

# In the form that `skopeo copy --all oci-archive:FILE docker://...` takes, and most tools besides.
"${buildah[@]}" manifest create longnames "${images[@]}" >/dev/null
"${buildah[@]}" manifest push --quiet --all --format oci --digestfile "$tmp/digest" longnames "oci:$tmp/layout:$version"
archive "$tmp/layout" >$out/$name-image.tar
digest=$(<"$tmp/digest")
printf '%s\n' "$repository:$version@$digest" >$out/$name-image.txt

kustomizations=$(find deploy/base deploy/overlays -name kustomization.yaml -printf '%h\n' | sort)
for dir in $kustomizations; do
	cat >"$tmp/kustomization.yaml" <<-END
		resources: [$(realpath --relative-to="$tmp" "$dir")]
		images: [{name: image.invalid/longnames/coredns, newName: $repository, newTag: $version, digest: "$digest"}]
	END
	file=${dir#deploy/}
	file=${file#overlays/}
	$kustomize build "$tmp" >"$out/$name-${file//\//-}.yaml"
done
for file in coredns-values coredns-servers standalone-values; do
	sed -e "s,repository: image.invalid/longnames/coredns .*,repository: $repository," -e "s,tag: edit-me,tag: $version@$digest," \
		deploy/helm/$file.yaml >$out/$name-helm-$file.yaml
done
for file in dashboard.json prometheusrule.yaml rules.yaml; do
	cp deploy/monitoring/$file $out/$name-$file
done

(cd $out && sha256sum -- * >SHA256SUMS)
cat $out/SHA256SUMS
