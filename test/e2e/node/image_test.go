package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestImage is about what `make image` and `make sbom` make. No cluster is needed.
func TestImage(t *testing.T) {
	(&bed{T: t}).each(
		part{"Image", (*bed).image},
		part{"Architectures", (*bed).architectures},
		part{"SBOM", (*bed).sbom},
	)
}

const tag = "localhost/longnames/coredns:e2e"

// source is a copy of the files in the repository, so that what the checkout has built stays as it is, in a directory
// of which a script may use: buildah, whose images are there too, and make, which knows that. Both do not heed the
// options of a make that this runs under.
func (b *bed) source() (sh func(script string) string) {
	dir := b.TempDir()
	checkout, err := filepath.Abs(checkout)
	require.NoError(b, err)
	sh = func(script string) string {
		cmd := exec.CommandContext(b.Context(), "sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MFLAGS=",
			"CHECKOUT="+checkout, "IMAGE="+tag, "PATH="+dir+"/bin:"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s: %s", script, out)
		return strings.TrimSpace(string(out))
	}
	sh(`mkdir bin
		cat >bin/buildah <<-END
			#!/bin/sh
			exec $(command -v buildah) --root $PWD/store --runroot $PWD/run --storage-driver vfs "\$@"
		END
		chmod +x bin/buildah`)
	return sh
}

// image builds it twice, at two places and times, and looks at what it has.
func (b *bed) image() {
	sh := b.source()
	sh(`for i in 1 2; do
			mkdir source$i
			(cd $CHECKOUT; git ls-files -z --cached --others --exclude-standard | tar -c --null -T -) | tar -x -C source$i
			make -C source$i image VERSION=v0.0.0-e2e COMMIT=0123456789ab SOURCE_DATE_EPOCH=1700000000
			buildah push --quiet --digestfile digest$i $IMAGE oci:layout$i
		done
		grep -q ^sha256: digest1
		cmp digest1 digest2`)
	root := sh(`buildah mount $(buildah from --pull-never $IMAGE)`)
	for script, want := range map[string]string{
		`buildah inspect --type image --format '{{with .OCIv1.Config}}{{.User}} {{.Entrypoint}} {{.WorkingDir}}
			{{- with .Labels}} {{index . "org.opencontainers.image.version"}} {{index . "org.opencontainers.image.revision"}}
			{{- end}}{{end}}' $IMAGE`: "65532:65532 [/coredns] / v0.0.0-e2e 0123456789ab",
		"ls -A " + root: "coredns", // alone
		"chroot --userspec=65532:65532 " + root + " /coredns -version": "longnames-v0.0.0-e2e, commit 0123456789ab",
	} {
		assert.Regexp(b, regexp.QuoteMeta(want)+"$", sh(script), script)
	}
	stated := regexp.MustCompile(`(\d+) MB to\s+pull, (\d+) MB on\s+disk`).FindStringSubmatch(read(b.T, deployPage))
	for i, dir := range []string{"layout2/blobs", root} {
		size := strings.Fields(sh("du -sb " + dir))[0]
		bytes, err := strconv.ParseFloat(size, 64)
		require.NoError(b, err)
		want, err := strconv.ParseFloat(stated[i+1], 64)
		require.NoError(b, err)
		assert.InEpsilon(b, want*1e6, bytes, 0.1, "%s says %q", deployPage, stated[0])
	}
}

// architectures does what deploy/README.md says, but for the binary, which takes long to compile, and for the registry,
// which is a directory.
func (b *bed) architectures() {
	sh := b.source()
	sh(`cp $CHECKOUT/Makefile $CHECKOUT/Dockerfile .
		echo a binary >bin/coredns
		printf '#!/bin/sh\nPATH=${PATH#*:}:$PWD/bin exec make -o build BUILDAH=$PWD/bin/buildah VERSION=v0 COMMIT=0 "$@"\n' >bin/make
		chmod +x bin/make`)
	script := blocks(b.T, deployPage, "More than one architecture", "sh", "")[0]
	sh(b.replaced(script, "=registry.example/platform/coredns:v1.2.3", "="+tag, "docker://$IMAGE", "oci:pushed"))
	platforms := regexp.MustCompile(`"architecture":\s*"\w+"`).FindAllString(sh("buildah manifest inspect $IMAGE"), -1)
	assert.Equal(b, []string{`"architecture": "amd64"`, `"architecture": "arm64"`}, platforms)
	sh("test -e pushed/index.json")
	// The environment is how Go itself is told.
	got := sh(`GOARCH=arm64 make image IMAGE=$IMAGE-env >&2
		buildah inspect --type image --format '{{.OCIv1.Architecture}}' $IMAGE-env`)
	assert.Regexp(b, "\narm64$", got, "from the environment")
}

// sbom checks that the SBOM lists what go.mod requires.
func (b *bed) sbom() {
	sh := b.source()
	sh("make -C $CHECKOUT sbom SBOM=$PWD/sbom.json")
	wants := []string{`"bomFormat": "CycloneDX"`}
	for _, path := range []string{"k8s.io/client-go", "k8s.io/api", "github.com/coredns/coredns", "github.com/miekg/dns"} {
		_, version, _ := strings.Cut(read(b.T, "go.mod"), "\t"+path+" ")
		wants = append(wants, `"purl": "pkg:golang/`+path+"@"+strings.Fields(version)[0]+`"`)
	}
	bom := sh("cat sbom.json")
	for _, want := range wants {
		assert.Contains(b, bom, want)
	}
}
