package kubeapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"strings"
)

// identity is equal for sources that read the same in the same way.
type identity struct {
	origin      Origin
	labels      string // their keys in order, since Objects have only values
	ports       string // that are not left out
	cached      bool
	partial     bool
	credentials [sha256.Size]byte
	log         Logger
}

func newIdentity(c *Config, server string, namespaces []string) identity {
	return identity{
		origin: newOrigin(c, server, namespaces),
		labels: strings.Join(c.Labels, " "),
		ports:  words(c.Ports),
		cached: c.Cached, partial: c.Partial,
		log: c.Log,
	}
}

func (id identity) same(other identity) bool {
	return maps.Equal(id.origin, other.origin) && id.labels == other.labels && id.ports == other.ports &&
		id.cached == other.cached && id.partial == other.partial && id.credentials == other.credentials && id.log == other.log
}

// identity reads files of which a running source would not notice a change. Certificates and
// tokens are not among them.
func (conn *connection) identity(c *Config) (identity, error) {
	id := newIdentity(c, conn.config.Host, conn.namespaces)
	authority, err := conn.authority()
	if err != nil {
		return identity{}, err
	}
	// All clusters have their API server at much the same address, but each has its own CA.
	if prints := fingerprints(authority); len(prints) > 0 {
		id.origin[authorityPart] = words(prints)
	}
	hash := sha256.New()
	// The URL may have a password, and there may be a token now where there was none.
	fmt.Fprintf(hash, "%q %t %q %q %q %q\n", conn.config.Host, conn.config.WrapTransport != nil,
		c.Context, c.ServiceAccount, c.CertFile, c.KeyFile)
	fmt.Fprintf(hash, "%q %q\n", conn.config.CAFile, authority)
	if c.Kubeconfig != "" {
		data, err := os.ReadFile(c.Kubeconfig)
		if err != nil {
			return identity{}, fmt.Errorf("credentials: %w", err)
		}
		fmt.Fprintf(hash, "%q %q\n", c.Kubeconfig, data)
	}
	hash.Sum(id.credentials[:0])
	return id, nil
}

// fingerprints returns one for each certificate, so that a bundle with one more is recognized.
func fingerprints(authority []byte) (prints []string) {
	for {
		block, rest := pem.Decode(authority)
		if block == nil {
			return prints
		}
		sum := sha256.Sum256(block.Bytes)
		prints, authority = append(prints, hex.EncodeToString(sum[:8])), rest
	}
}

// authority returns the certificates that the API server's is checked against, if any.
func (conn *connection) authority() ([]byte, error) {
	if len(conn.config.CAData) > 0 || conn.config.CAFile == "" {
		return conn.config.CAData, nil
	}
	data, err := os.ReadFile(conn.config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("credentials: %w", err)
	}
	return data, nil
}
