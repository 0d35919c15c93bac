package snapshot

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
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
)

// format counts up with every change that older versions would misread.
const format = 2

// A file has a line for each item, between these two. The last one has the description.
const (
	firstLine = `{"apiVersion":"v1","kind":"List","items":[` + "\n"
	lastLine  = `],"longnames":%s}` + "\n"
)

// description stands beside the items of the List.
type description struct {
	Format  int       `json:"format"`
	Written time.Time `json:"written"`
	// Changed is by when the contents had changed for the last time, to a second; older files lack it.
	Changed time.Time      `json:"changed,omitzero"`
	Source  kubeapi.Origin `json:"source"`
	// Suspects are kubeapi.Suspects, of each cluster.
	Suspects []suspects `json:"suspects,omitempty"`
	// Sum is over the lines of the items and the rest of the description, so
	// that nothing can be lost or changed unnoticed.
	Sum string `json:"sha256,omitempty"`
}

type suspects struct {
	kubeapi.Pulse
	Members []suspect `json:"members"`
}

type suspect struct {
	Reason string          `json:"reason"`
	Since  time.Time       `json:"since"`
	From   time.Time       `json:"from"`
	Object json.RawMessage `json:"object"`
}

// seal returns the sum, to which items have been written already.
func (d description) seal(items hash.Hash) (string, error) {
	d.Sum = ""
	text, err := json.Marshal(d)
	items.Write(text)
	return hex.EncodeToString(items.Sum(nil)), err
}

// encode writes item by item: a large cluster is not in memory a second time.
func (f *file) encode(ctx context.Context, w io.Writer, c *contents, p *pacer) error {
	sum, out := sha256.New(), bufio.NewWriter(&limitedWriter{w, f.limit, f.limit})
	items := io.MultiWriter(out, sum)
	fmt.Fprint(out, firstLine)
	for i, o := range c.objects {
		end := ",\n"
		if i == len(c.objects)-1 {
			end = "\n"
		}
		text, err := f.text(ctx, o, p)
		if err != nil {
			return err
		}
		if _, err := items.Write(append(text, end...)); err != nil {
			return err
		}
	}
	start, end, _ := strings.Cut(lastLine, "%s")
	fmt.Fprint(out, start)
	if err := f.describe(ctx, items, c, p); err != nil {
		return err
	}
	fmt.Fprint(sum, "}")
	fmt.Fprintf(out, `,"sha256":"%x"}%s`, sum.Sum(nil), end)
	return out.Flush()
}

// text returns an object as JSON, after a rest if one is due.
func (f *file) text(ctx context.Context, o *kubeapi.Object, p *pacer) ([]byte, error) {
	p.rest(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return json.Marshal(f.expander.expand(o))
}

// describe writes the description but for its sum and the final brace, as seal has it.
func (f *file) describe(ctx context.Context, w io.Writer, c *contents, p *pacer) error {
	if err := open(w, description{Format: format, Written: c.written, Changed: c.changed, Source: f.origin}, "}"); err != nil {
		return err
	}
	before, after := `,"suspects":[`, ""
	for _, of := range c.suspects {
		fmt.Fprint(w, before)
		if err := open(w, suspects{of.Pulse, []suspect{}}, "]}"); err != nil {
			return err
		}
		before, after = ",", "]"
		for i, m := range of.Members {
			text, err := f.text(ctx, m.Object, p)
			if err != nil {
				return err
			}
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			if err := open(w, suspect{m.Reason, m.Since, m.From, text}, ""); err != nil {
				return err
			}
		}
		fmt.Fprint(w, "]}")
	}
	_, err := fmt.Fprint(w, after)
	return err
}

// open writes a value as JSON, without its end.
func open(w io.Writer, v any, end string) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(bytes.TrimSuffix(text, []byte(end)))
	}
	return err
}

// limitedWriter fails where more than the limit is written.
type limitedWriter struct {
	w           io.Writer
	limit, left int64
}

// Write implements io.Writer.
func (l *limitedWriter) Write(p []byte) (int, error) {
	l.left -= int64(len(p))
	if l.left < 0 {
		return 0, fmt.Errorf("expected at most %d bytes, got more", l.limit)
	}
	return l.w.Write(p)
}
