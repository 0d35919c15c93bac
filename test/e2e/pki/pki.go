// Package pki makes the certificates by which the parts of a Kubernetes cluster know each other, as files.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a certificate authority with a directory, in which NAME.crt and NAME.key are. Its own are called ca.
type Authority struct {
	dir    string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// New makes an authority, and the key pair sa.key and sa.pub for the tokens of service accounts.
func New(dir string) (*Authority, error) {
	a := &Authority{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := a.certificate("ca", &x509.Certificate{
		Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}); err != nil {
		return nil, err
	}
	key, err := a.newKey("sa")
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	return a, a.write("sa.pub", "PUBLIC KEY", public)
}

// Dir is where the files are.
func (a *Authority) Dir() string { return a.dir }

// Path returns the path of a file.
func (a *Authority) Path(name string) string { return filepath.Join(a.dir, name) }

// Server makes a certificate for a server that has these addresses and names.
func (a *Authority) Server(name, commonName string, hosts ...string) error {
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return a.certificate(name, c)
}

// Client makes a certificate for a user of Kubernetes in groups.
func (a *Authority) Client(name, user string, groups ...string) error {
	return a.certificate(name, &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// certificate makes a key and its certificate. The first one signs itself and all others.
func (a *Authority) certificate(name string, c *x509.Certificate) error {
	key, err := a.newKey(name)
	if err != nil {
		return err
	}
	a.serial++
	c.SerialNumber = big.NewInt(a.serial)
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if a.ca == nil {
		a.ca, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.ca, key.Public(), a.key)
	if err != nil {
		return err
	}
	return a.write(name+".crt", "CERTIFICATE", der)
}

func (a *Authority) newKey(name string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, a.write(name+".key", "EC PRIVATE KEY", der)
}

func (a *Authority) write(name, kind string, der []byte) error {
	return os.WriteFile(a.Path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
