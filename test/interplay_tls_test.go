package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/plugin/tls"
	"github.com/miekg/dns"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tryTLS asks over TLS (RFC 7858) for a cluster that does not fit into 512 bytes, as one of
// its nodes that is not ready: it is in the answer because it asks.
func tryTLS(t *testing.T) {
	const members = 300
	endpoints := []discoveryv1.Endpoint{endpoint("web-asks", "127.0.0.1", false)}
	addresses, txt, srv := []string{"127.0.0.1"}, []string{"app@127.0.0.1"}, []string{"127.0.0.1."}
	for i := range members {
		a := fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)
		endpoints = append(endpoints, endpoint(fmt.Sprint("web-", i), a, true))
		addresses, txt, srv = append(addresses, a), append(txt, "app@"+a), append(srv, a+".")
	}
	asks := slice(endpoints...)
	asks.TypeMeta = metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
	text, err := json.Marshal(asks)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // only in a file may the address of who asks here be a member's
	write(t, dir, "slice.json", string(text))
	cert, key, trusted := certificate(t)
	address := startTLS(t, "tls://.:0 {\nbind 127.0.0.1\ntls "+cert+" "+key+
		"\nlongnames erl.internal {\nmanifests "+dir+"/slice.json\nselector app=web\nbasename app\n}\n}\n")
	for qtype, want := range map[string][]string{"A": addresses, "TXT": txt, "SRV": srv} {
		m := new(dns.Msg).SetQuestion("erl.internal.", dns.StringToType[qtype])
		answer, err := askOverTLS(address, trusted, m)
		if err != nil {
			t.Fatalf("%s: %v", qtype, err)
		}
		if answer.Truncated || answer.Len() <= dns.MinMsgSize {
			t.Errorf("%s: got %d bytes, truncated: %t, want a large answer that is whole", qtype, answer.Len(), answer.Truncated)
		}
		slices.Sort(want)
		same(t, qtype, data(answer.Answer), want)
	}
	answer, err := askOverTLS(address, trusted, new(dns.Msg).SetQuestion("nobody.erl.internal.", dns.TypeA))
	if err != nil || answer.Rcode != dns.RcodeNameError || len(answer.Ns) != 1 {
		t.Errorf("nobody: got %v %v, want NXDOMAIN with the SOA", answer, err)
	}
	if _, err := askOverTLS(address, x509.NewCertPool(), new(dns.Msg).SetQuestion("erl.internal.", dns.TypeTXT)); err == nil {
		t.Error("who does not trust the certificate: got an answer, want an error")
	}
}

func askOverTLS(address string, trusted *x509.CertPool, m *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: "tcp-tls", Timeout: 5 * time.Second, TLSConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
	answer, _, err := client.Exchange(m, address)
	return answer, err
}

// startTLS is start for a server that does not listen on UDP.
func startTLS(t *testing.T, corefile string) (address string) {
	t.Helper()
	lifecycle.Lock()
	defer lifecycle.Unlock()
	instance, err := caddy.Start(input(corefile))
	if err != nil {
		t.Fatalf("start: %v\n%s", err, corefile)
	}
	t.Cleanup(func() {
		lifecycle.Lock()
		defer lifecycle.Unlock()
		instance.ShutdownCallbacks()
		if err := instance.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return instance.Servers()[0].Addr().String()
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t *testing.T) (cert, key string, trusted *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dns"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, dir, "cert.pem", string(text))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	trusted = x509.NewCertPool()
	trusted.AppendCertsFromPEM(text)
	return dir + "/cert.pem", dir + "/key.pem", trusted
}
