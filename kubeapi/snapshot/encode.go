package snapshot

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
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
		p.rest(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := json.Marshal(f.expander.expand(o))
		if err != nil {
			return err
		}
		if i < len(c.objects)-1 {
			text = append(text, ',')
		}
		if _, err := items.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	about, err := f.describe(c, sum)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, lastLine, about)
	return out.Flush()
}

func (f *file) describe(c *contents, items hash.Hash) ([]byte, error) {
	d := description{Format: format, Written: c.written, Changed: c.changed, Source: f.origin}
	for _, of := range c.suspects {
		cluster := suspects{Pulse: of.Pulse}
		for _, m := range of.Members {
			text, err := json.Marshal(f.expander.expand(m.Object))
			if err != nil {
				return nil, err
			}
			cluster.Members = append(cluster.Members, suspect{m.Reason, m.Since, m.From, text})
		}
		d.Suspects = append(d.Suspects, cluster)
	}
	var err error
	if d.Sum, err = d.seal(items); err != nil {
		return nil, err
	}
	return json.Marshal(d)
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
