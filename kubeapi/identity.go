package kubeapi

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
)

// identity tells what a source reads, and from where. Two sources with equal ones tell the
// same.
type identity struct {
	Server     string // the API server's URL, or patterns of files
	Lookup     Lookup
	Namespaces string // separated by spaces; empty for all
	Selector   string
	Labels     string // their keys, separated by spaces
	Family     Family

	// The following make a difference to how it is read only.
	cached      bool
	credentials [sha256.Size]byte
	log         Logger
}

func (c *Config) identity(server string) identity {
	return identity{
		Server:     server,
		Lookup:     c.Lookup,
		Namespaces: strings.Join(c.Namespaces, " "),
		Selector:   c.Selector,
		Labels:     strings.Join(c.Labels, " "),
		Family:     c.Family,
		cached:     c.Cached,
		log:        c.Log,
	}
}

// identity reads files of which a running source would not notice a change. Certificates and
// tokens are not among them.
func (conn *connection) identity(c *Config) (identity, error) {
	id := c.identity(conn.config.Host)
	id.Namespaces = strings.Join(conn.namespaces, " ")
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q %q\n", c.Context, c.ServiceAccount, c.CertFile, c.KeyFile)
	for _, path := range []string{c.Kubeconfig, conn.config.CAFile} {
		if path == "" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return identity{}, fmt.Errorf("credentials: %w", err)
		}
		fmt.Fprintf(hash, "%q %d\n", path, len(data))
		hash.Write(data)
	}
	hash.Sum(id.credentials[:0])
	return id, nil
}
