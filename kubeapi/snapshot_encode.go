package kubeapi

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"
)

// snapshotFormat counts up with every change that older versions would misread.
const snapshotFormat = 1

// description stands after the items of a snapshot.
type description struct {
	Format  int       `json:"format"`
	Written time.Time `json:"written"`
	Source  origin    `json:"source"`
	// Version and Form are no longer written. In older files, they count for Sum.
	Version uint64 `json:"version,omitempty"`
	Form    string `json:"form,omitempty"`
	// Suspects are members that were listed besides the items, by cluster.
	Suspects []suspectsDescription `json:"suspects,omitempty"`
	// Sum is over the compact JSON of the items and of the rest of the description, so
	// that nothing can be lost or changed unnoticed.
	Sum string `json:"sha256,omitempty"`
}

// suspectsDescription is Suspects.
type suspectsDescription struct {
	Most    int                  `json:"most"`
	Few     time.Time            `json:"few,omitzero"`
	Enough  time.Time            `json:"enough,omitzero"`
	Probes  time.Time            `json:"probes,omitzero"`
	Returns time.Time            `json:"returns,omitzero"`
	Members []suspectDescription `json:"members"`
}

// suspectDescription is a Suspect.
type suspectDescription struct {
	Reason string          `json:"reason"`
	Since  time.Time       `json:"since"`
	From   time.Time       `json:"from"`
	Object json.RawMessage `json:"object"`
}

// seal gives the sum, of which that of the items is known.
func (d description) seal(sum hash.Hash) (string, error) {
	d.Sum = ""
	text, err := json.Marshal(d)
	sum.Write(text)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// encode writes item by item: a large cluster does not stand in memory a second time.
func (f *snapshotFile) encode(ctx context.Context, w io.Writer, s *snapshot) error {
	out := &indenter{w: bufio.NewWriter(&limitedWriter{w, f.limit, f.limit}), sum: sha256.New()}
	out.text("{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\",\n  \"items\": [")
	for i, o := range s.objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if i > 0 {
			out.text(",")
		}
		out.text("\n    ")
		out.json("    ", f.expander.expand(o))
		if out.err != nil {
			return out.err
		}
	}
	d := description{Format: snapshotFormat, Written: s.written, Source: f.origin}
	for _, of := range s.suspects {
		cluster := suspectsDescription{Most: of.Most, Few: of.Few.UTC(), Enough: of.Enough.UTC(), Probes: of.Probes.UTC(), Returns: of.Returns.UTC()}
		for _, m := range of.Members {
			text, err := json.Marshal(f.expander.expand(m.Object))
			if err != nil {
				return err
			}
			cluster.Members = append(cluster.Members, suspectDescription{m.Reason, m.Since.UTC(), m.From.UTC(), text})
		}
		d.Suspects = append(d.Suspects, cluster)
	}
	sum, err := d.seal(out.sum)
	if err != nil {
		return err
	}
	d.Sum = sum
	out.text("\n  ],\n  \"longnames\": ")
	out.json("  ", d)
	out.text("\n}\n")
	if out.err != nil {
		return out.err
	}
	return out.w.Flush()
}

// indenter writes JSON for people, and sums up what it says. It does nothing more after
// an error.
type indenter struct {
	w   *bufio.Writer
	sum hash.Hash
	buf bytes.Buffer
	err error
}

func (i *indenter) text(s string) {
	if i.err == nil {
		_, i.err = i.w.WriteString(s)
	}
}

func (i *indenter) json(prefix string, v any) {
	compact, err := json.Marshal(v)
	if i.err != nil || err != nil {
		i.err = err
		return
	}
	i.sum.Write(compact)
	i.buf.Reset()
	if i.err = json.Indent(&i.buf, compact, prefix, "  "); i.err == nil {
		_, i.err = i.w.Write(i.buf.Bytes())
	}
}

// limitedWriter fails at what is too much.
type limitedWriter struct {
	w     io.Writer
	limit int64
	left  int64
}

// Write implements io.Writer.
func (l *limitedWriter) Write(p []byte) (int, error) {
	l.left -= int64(len(p))
	if l.left < 0 {
		return 0, fmt.Errorf("expected at most %d bytes, got more", l.limit)
	}
	return l.w.Write(p)
}
