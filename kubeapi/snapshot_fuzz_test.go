package kubeapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever the bytes are, what is accepted stays the same for good. They are tried as a
// file, and as the items of one whose sum is right.
func FuzzSnapshot(f *testing.F) {
	files := make(map[Lookup]*snapshotFile)
	for _, lookup := range []Lookup{Pods, Endpoints} {
		c := &Config{Lookup: lookup, Labels: []string{"app"}, Log: &recordingLog{}}
		files[lookup] = snapshotFileOf(c)
		g := generator{rand.New(rand.NewPCG(1, 0))}
		s := files[lookup].shrinker
		objects := map[Lookup][]*Object{
			Pods:      {s.pod(g.pod()), s.pod(g.pod())},
			Endpoints: {s.slice(g.slice()), s.slice(g.slice())},
		}[lookup]
		text := textOf(f, files[lookup], objects...)
		f.Add([]byte(text))
		f.Add([]byte(text[:len(text)/2]))
		for _, edit := range []struct{ from, to string }{
			{`"format": 1`, `"format": 2`},
			{`"items": [`, `"items": [null, `},
			{`"items": [`, `"items": [], "items": [`},
			{`"sha256": "`, `"sha256": "0`},
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
	for _, text := range []string{"", "{", "[]", "null", podYAML("a"), podJSON("a"), podJSON("a") + "," + podJSON("a")} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range files {
			for _, text := range [][]byte{data, sealed(file, data)} {
				s, err := file.decode(bytes.NewReader(text))
				if err != nil {
					continue
				}
				for _, o := range s.objects {
					checkObject(t, o)
				}
				var again bytes.Buffer
				if err := file.encode(t.Context(), &again, s); err != nil {
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

// sealed is a file with these items, and with the sum that belongs to them.
func sealed(f *snapshotFile, items []byte) []byte {
	sum := sha256.New()
	decoder := json.NewDecoder(bytes.NewReader(fmt.Appendf(nil, "[%s]", items)))
	if _, err := decoder.Token(); err != nil {
		return nil
	}
	for decoder.More() {
		var item json.RawMessage
		if decoder.Decode(&item) != nil {
			break
		}
		var compact bytes.Buffer
		if json.Compact(&compact, item) != nil {
			break
		}
		sum.Write(compact.Bytes())
	}
	d := description{Format: snapshotFormat, Written: writtenAt, Source: f.origin, Version: 7}
	d.Sum, _ = d.seal(sum)
	about, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"List","items":[%s],"longnames":%s}`, items, about)
}
