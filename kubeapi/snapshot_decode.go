package kubeapi

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// decode reads item by item. All is read before anything is judged: only the description
// at the end tells what may be expected of the items.
func (f *snapshotFile) decode(r io.Reader) (*snapshot, error) {
	d := &snapshotDecoder{
		json:     json.NewDecoder(bufio.NewReader(r)),
		sum:      sha256.New(),
		lookup:   f.lookup,
		shrinker: f.shrinker,
		known:    make(map[key]bool),
	}
	if err := d.list(); err != nil {
		return nil, explain(err)
	}
	if d.kind != (metav1.TypeMeta{APIVersion: "v1", Kind: "List"}) {
		return nil, fmt.Errorf("expected a v1 List, got %q", d.kind.APIVersion+" "+d.kind.Kind)
	}
	about, err := d.description()
	if err != nil {
		return nil, err
	}
	if err := f.origin.check(about.Source); err != nil {
		return nil, err
	}
	sum, err := about.seal(d.sum)
	if err != nil {
		return nil, err
	}
	if sum != about.Sum {
		return nil, fmt.Errorf("it was changed or damaged: expected sha256 %q, got %q", about.Sum, sum)
	}
	if d.broken != nil {
		return nil, d.broken
	}
	s := &snapshot{objects: d.objects, written: about.Written}
	for _, of := range about.Suspects {
		cluster := Suspects{Most: of.Most, Few: of.Few, Enough: of.Enough, Probes: of.Probes, Returns: of.Returns}
		for i, m := range of.Members {
			o, err := d.object(fmt.Sprintf("suspect %d", i+1), m.Object)
			if err != nil {
				return nil, err
			}
			cluster.Members = append(cluster.Members, Suspect{o, m.Reason, m.Since, m.From})
		}
		s.suspects = append(s.suspects, cluster)
	}
	return s, nil
}

// explain tells of a file that is no JSON, or no longer.
func explain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("expected a v1 List in JSON, but it ends too early")
	}
	return fmt.Errorf("expected a v1 List in JSON: %w", err)
}

// snapshotDecoder reads one snapshot.
type snapshotDecoder struct {
	json     *json.Decoder
	lookup   Lookup
	shrinker shrinker

	kind    metav1.TypeMeta
	about   json.RawMessage
	sum     hash.Hash // of the items
	objects []*Object
	known   map[key]bool
	broken  error // of the first item that cannot be used
}

// list reads the file up to its end.
func (d *snapshotDecoder) list() error {
	if err := d.expect(json.Delim('{')); err != nil {
		return err
	}
	seen := make(map[any]bool)
	for d.json.More() {
		name, err := d.json.Token()
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("expected %q once", name)
		}
		seen[name] = true
		if err := d.member(name); err != nil {
			return err
		}
	}
	if err := d.expect(json.Delim('}')); err != nil {
		return err
	}
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after it")
	}
	return nil
}

// member reads the value of a member of the list.
func (d *snapshotDecoder) member(name json.Token) error {
	switch name {
	case "apiVersion":
		return d.json.Decode(&d.kind.APIVersion)
	case "kind":
		return d.json.Decode(&d.kind.Kind)
	case "items":
		return d.items()
	case "longnames":
		return d.json.Decode(&d.about)
	}
	return d.json.Decode(new(json.RawMessage)) // such as the metadata of a List of kubectl's
}

func (d *snapshotDecoder) items() error {
	if err := d.expect(json.Delim('[')); err != nil {
		return err
	}
	var compact bytes.Buffer
	for i := 1; d.json.More(); i++ {
		var text json.RawMessage
		if err := d.json.Decode(&text); err != nil {
			return err
		}
		compact.Reset()
		if err := json.Compact(&compact, text); err != nil {
			return err
		}
		d.sum.Write(compact.Bytes())
		if d.broken == nil {
			d.broken = d.item(fmt.Sprintf("item %d", i), text)
		}
	}
	return d.expect(json.Delim(']'))
}

// object reads one.
func (d *snapshotDecoder) object(where string, text []byte) (*Object, error) {
	one := &decoded{others: make(map[string]int)}
	one.object(where, text, metav1.TypeMeta{APIVersion: "v1"}, d.lookup)
	if len(one.broken) > 0 {
		return nil, one.broken[0]
	}
	if len(one.objects) == 0 {
		return nil, fmt.Errorf("%s: expected what lookup %s takes, got %s", where, d.lookup, kinds(one.others))
	}
	return d.shrinker.shrink(one.objects[0])
}

// item takes in one object.
func (d *snapshotDecoder) item(where string, text []byte) error {
	o, err := d.object(where, text)
	if err != nil {
		return err
	}
	k := key{o.Namespace, o.Name}
	if d.known[k] {
		return fmt.Errorf("%s: expected %s/%s once", where, k.namespace, k.name)
	}
	d.known[k] = true
	d.objects = append(d.objects, o)
	return nil
}

// description reads what the file says of itself. The format comes first: in another one
// the rest may mean something else.
func (d *snapshotDecoder) description() (*description, error) {
	if d.about == nil {
		return nil, errors.New(`expected a snapshot, got a List without the member "longnames"`)
	}
	var v struct {
		Format int `json:"format"`
	}
	if err := unmarshal(d.about, &v); err != nil {
		return nil, fmt.Errorf("longnames: %w", err)
	}
	if v.Format != snapshotFormat {
		return nil, fmt.Errorf("expected format %d, got %d", snapshotFormat, v.Format)
	}
	about := &description{}
	if err := unmarshal(d.about, about); err != nil {
		return nil, fmt.Errorf("longnames: %w", err)
	}
	return about, nil
}

func (d *snapshotDecoder) expect(want json.Delim) error {
	got, err := d.json.Token()
	if err == nil && got != want {
		err = fmt.Errorf("expected %v, got %v", want, got)
	}
	return err
}
