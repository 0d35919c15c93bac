package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/internal/kubetest"
)

// Whatever the bytes are, contents that are accepted stay the same for good. The bytes are tried as a
// file, and as the items of one whose sum is right.
func FuzzSnapshot(f *testing.F) {
	files := make(map[kubeapi.Lookup]*file)
	for _, lookup := range []kubeapi.Lookup{kubeapi.Pods, kubeapi.Endpoints} {
		c := &kubeapi.Config{Lookup: lookup, Labels: []string{"app"}, Log: &kubetest.Log{}}
		files[lookup] = fileOf(c)
		g := generator{rand.New(rand.NewPCG(1, 0))}
		objects := map[kubeapi.Lookup][]*kubeapi.Object{
			kubeapi.Pods:      {shrink(f, c, g.pod()), shrink(f, c, g.pod())},
			kubeapi.Endpoints: {shrink(f, c, g.slice()), shrink(f, c, g.slice())},
		}[lookup]
		text := textOf(f, files[lookup], objects...)
		f.Add([]byte(text))
		f.Add([]byte(text[:len(text)/2]))
		for _, edit := range []struct{ from, to string }{
			{`"format":2`, `"format":3`},
			{`"items":[`, `"items":[null,`},
			{`"items":[`, `"items":[],"items":[`},
			{`"sha256":"`, `"sha256":"0`},
			{`"longnames"`, `"longname"`},
		} {
			edited := strings.Replace(text, edit.from, edit.to, 1)
			if edited == text {
				f.Fatalf("want %s in a snapshot, got %s", edit.from, text)
			}
			f.Add([]byte(edited))
		}
		var list struct{ Items []json.RawMessage }
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			f.Fatal(err)
		}
		for _, item := range list.Items {
			f.Add([]byte(item))
		}
	}
	for _, text := range []string{"", "{", "[]", "null", kubetest.PodYAML("a"), kubetest.PodJSON("a"), kubetest.PodJSON("a") + "," + kubetest.PodJSON("a")} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range files {
			for _, text := range [][]byte{data, sealed(file, data)} {
				s, err := file.decode(bytes.NewReader(text))
				if err != nil {
					continue
				}
				var again bytes.Buffer
				if err := file.encode(t.Context(), &again, s, nil); err != nil {
					t.Fatal(err)
				}
				got, err := file.decode(&again)
				if err != nil {
					t.Fatal(err)
				}
				if !equalObjects(got.objects, s.objects) || !got.written.Equal(s.written) {
					t.Errorf("\nwant %+v\n got %+v", s, got)
				}
			}
		}
	})
}

// sealed is a file with these lines of items, and with the sum that belongs to them.
func sealed(f *file, items []byte) []byte {
	if len(items) > 0 && !bytes.HasSuffix(items, []byte("\n")) {
		items = append(bytes.Clone(items), '\n')
	}
	sum := sha256.New()
	sum.Write(items)
	d := description{Format: format, Written: writtenAt, Source: f.origin}
	d.Sum, _ = d.seal(sum)
	about, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	return fmt.Appendf(nil, "%s%s"+lastLine, firstLine, items, about)
}
