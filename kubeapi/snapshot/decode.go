package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/manifest"
)

// decode reads line by line: a large cluster is not in memory a second time. It reads all lines before
// it judges any item, for the description stands in the last line.
func (f *file) decode(r io.Reader) (*contents, error) {
	lines, sum := bufio.NewReader(r), sha256.New()
	if first, _ := lines.ReadString('\n'); first != firstLine {
		return nil, errors.New("expected a snapshot, as this plugin writes it")
	}
	start, end, _ := strings.Cut(lastLine, "%s")
	var items items
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, errors.New("expected a snapshot, but it ends too early")
		}
		text, isLast := bytes.CutPrefix(line, []byte(start))
		if !isLast {
			sum.Write(line)
			items.add(f, bytes.TrimRight(line, ",\n"))
			continue
		}
		if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
			return nil, errors.New("expected a snapshot, but something stands after it")
		}
		about, err := parse(bytes.TrimSuffix(text, []byte(end)))
		if err != nil {
			return nil, fmt.Errorf("longnames: %w", err)
		}
		if err := f.origin.Check(about.Source); err != nil {
			return nil, err
		}
		if sum, err := about.seal(sum); err != nil || sum != about.Sum {
			return nil, errors.Join(err, fmt.Errorf("it was changed or damaged: expected sha256 %q, got %q", about.Sum, sum))
		}
		if items.err != nil {
			return nil, items.err
		}
		suspects, err := f.suspects(about)
		if err != nil {
			return nil, err
		}
		changed := about.Changed
		if changed.IsZero() {
			changed = about.Written
		}
		return &contents{objects: items.objects, suspects: suspects, written: about.Written, changed: changed}, nil
	}
}

// parse reads the description. The format comes first: in another one the rest may mean something else.
func parse(text []byte) (about *description, err error) {
	var v struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	if v.Format != format {
		return nil, fmt.Errorf("expected format %d, got %d", format, v.Format)
	}
	err = json.Unmarshal(text, &about)
	return about, err
}

// items are those read so far, up to the first that cannot be used.
type items struct {
	objects []*kubeapi.Object
	err     error
}

func (i *items) add(f *file, text []byte) {
	if i.err != nil {
		return
	}
	var o *kubeapi.Object
	if o, i.err = f.object(fmt.Sprintf("item %d", len(i.objects)+1), text); i.err == nil {
		i.objects = append(i.objects, o)
	}
}

func (f *file) suspects(about *description) (all []kubeapi.Suspects, err error) {
	for _, of := range about.Suspects {
		cluster := kubeapi.Suspects{Pulse: of.Pulse}
		for i, m := range of.Members {
			o, err := f.object(fmt.Sprintf("suspect %d", i+1), m.Object)
			if err != nil {
				return nil, err
			}
			cluster.Members = append(cluster.Members, kubeapi.Suspect{Object: o, Reason: m.Reason, Since: m.Since, From: m.From})
		}
		all = append(all, cluster)
	}
	return all, nil
}

func (f *file) object(where string, text []byte) (*kubeapi.Object, error) {
	obj, err := manifest.DecodeObject(where, text, f.lookup)
	if err != nil {
		return nil, err
	}
	return f.shrinker.Shrink(obj)
}
