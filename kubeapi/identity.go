package kubeapi

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"strings"
)

// identity tells what a source reads, and how.
type identity struct {
	origin      origin
	labels      string // their keys in order, since Objects have only values
	cached      bool
	credentials [sha256.Size]byte
	log         Logger
}

func (c *Config) identity(server string, namespaces []string) identity {
	return identity{
		origin: c.origin(server, namespaces),
		labels: strings.Join(c.Labels, " "),
		cached: c.Cached,
		log:    c.Log,
	}
}

func (id identity) same(other identity) bool {
	return maps.Equal(id.origin, other.origin) && id.labels == other.labels && id.cached == other.cached &&
		id.credentials == other.credentials && id.log == other.log
}

// identity reads files of which a running source would not notice a change. Certificates and
// tokens are not among them.
func (conn *connection) identity(c *Config) (identity, error) {
	id := c.identity(conn.config.Host, conn.namespaces)
	hash := sha256.New()
	// The URL may have a password, and there may be a token now where there was none.
	fmt.Fprintf(hash, "%q %t %q %q %q %q\n", conn.config.Host, conn.config.WrapTransport != nil,
		c.Context, c.ServiceAccount, c.CertFile, c.KeyFile)
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
