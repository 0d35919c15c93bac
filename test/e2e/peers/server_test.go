package peers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/longnames/longnames/test/e2e/cluster"
)

// server is a CoreDNS with one plugin, and *pprof* to look into the process.
type server struct {
	*bed
	name, address, corefile string
	env                     []string
	process                 *cluster.Process
	figures
}

// newServer returns one that is not started yet.
func (b *bed) newServer(name, plugin string, env ...string) *server {
	b.servers++
	s := &server{bed: b, name: name, address: fmt.Sprintf("127.0.0.%d", 1+b.servers), env: env, figures: make(figures)}
	s.corefile = filepath.Join(b.dir, name+".Corefile")
	require.NoError(b, os.WriteFile(s.corefile, fmt.Appendf(nil, ".:53 {\nbind %[1]s\npprof %[1]s:6053\n%[2]s\n}\n", s.address,
		plugin), 0o600))
	return s
}

// newPair returns servers of longnames and *kubernetes*, with options of their own.
func (b *bed) newPair(ours, theirs string, env ...string) (longnames, kubernetes *server) {
	text := "%s {\nkubeconfig " + b.Kubeconfig() + "\nnamespaces " + b.namespace + "\n%s\n}"
	return b.newServer("longnames", fmt.Sprintf(text, "longnames "+ourZone, ours), env...),
		b.newServer("kubernetes", fmt.Sprintf(text, "kubernetes cluster.local", "pods verified\n"+theirs), env...)
}

// ourZone is what longnames serves. It names the cluster of a Service as *kubernetes* names the Service.
const ourZone = "svc.erl.internal"

func (b *bed) ourName(service string) string {
	return service + "." + b.namespace + "." + ourZone + "."
}

func (b *bed) theirName(service string) string {
	return service + "." + b.namespace + ".svc.cluster.local."
}

// run starts a process on the host. Its log is its own.
func (b *bed) run(name string, env []string, args ...string) *cluster.Process {
	b.processes++
	return b.host.Start(b, fmt.Sprintf("%s-%d", name, b.processes), env, args...)
}

// start waits until CoreDNS listens, and not until it knows anything.
func (s *server) start() {
	s.process = s.run(s.name, s.env, coredns, "-conf", s.corefile)
	s.process.Says(s, "(?m)^CoreDNS-", 0)
}

func (s *server) stop() { s.process.Stop(5 * time.Second) }

// answer is a message as it is on the wire: RFC 1035, section 4.1.1. Nobody looks closer at it than has to be.
type answer []byte

func (a answer) truncated() bool { return a[2]&2 != 0 }
func (a answer) rcode() string   { return dns.RcodeToString[int(a[3]&15)] }
func (a answer) records() int    { return int(binary.BigEndian.Uint16(a[6:])) }

// asker returns what asks one question over one connection, over and over, until the connection is closed. It offers room
// by EDNS, if size is above 0. An answer is valid until the next one.
func (s *server) asker(network, name, qtype string, size uint16) (func() (answer, error), io.Closer, error) {
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	packed, err := m.Pack()
	conn, err2 := s.host.Dial(s.Context(), network, net.JoinHostPort(s.address, "53"))
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, err
	}
	c, buffer := &dns.Conn{Conn: conn}, make([]byte, dns.MaxMsgSize)
	return func() (answer, error) {
		err := c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err2 := c.Write(packed); err2 != nil {
			return nil, errors.Join(err, err2)
		}
		n, err := c.Read(buffer)
		if err == nil && n < 12 {
			err = fmt.Errorf("got an answer of %d bytes", n)
		}
		return buffer[:n], err
	}, c, nil
}

// ask asks once.
func (s *server) ask(network, name, qtype string, size uint16) (answer, error) {
	ask, closer, err := s.asker(network, name, qtype, size)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return ask()
}

// knows waits until a question has so many answers.
func (s *server) knows(name, qtype string, n int) {
	s.soon(fmt.Sprintf("%s knows %d of %s %s", s.name, n, name, qtype), func() error {
		require.NoError(s, s.process.Ended())
		a, err := s.ask("tcp", name, qtype, 0)
		if err == nil && a.records() != n {
			err = fmt.Errorf("got %s, %d answers", a.rcode(), a.records())
		}
		return err
	})
}

// delays returns how long each of some writes takes until it is answered, in milliseconds after write has returned. It
// asks all the time, also meanwhile: what is answered before write returns counts as at once.
func (s *server) delays(network, name string, writes int, write func(to netip.Addr) error) (out []float64) {
	ask, closer, err := s.asker(network, name, "A", 4096)
	require.NoError(s, err)
	defer closer.Close()
	for range writes {
		to, acknowledged := s.bed.address(), time.Time{}
		var g errgroup.Group
		g.Go(func() error {
			err := write(to)
			acknowledged = time.Now()
			return err
		})
		data := append([]byte{0, 4}, to.AsSlice()...) // RDLENGTH, RDATA
		var got answer
		for begin := time.Now(); err == nil && !bytes.Contains(got, data); got, err = ask() {
			if time.Since(begin) > patience {
				s.Fatalf("%s is not answered within %s", to, patience)
			}
		}
		shown := time.Now()
		require.NoError(s, errors.Join(err, g.Wait()))
		out = append(out, max(shown.Sub(acknowledged), 0).Seconds()*1000)
	}
	return out
}

// heap returns the bytes of the heap, what garbage collections leave if there are any: the second one empties the pools,
// too.
func (s *server) heap(collections int) (bytes float64) {
	for range max(collections, 1) {
		// On a busy machine a collection may take longer than the 5 seconds that *pprof* has for its answer.
		s.soon(s.name+" tells of its heap", func() error {
			text, _, err := s.host.Get(fmt.Sprintf("http://%s:6053/debug/pprof/heap?debug=1&gc=%d", s.address, collections))
			if err == nil {
				bytes = s.number(`(?m)^# HeapAlloc = (\d+)$`, []byte(text))
			}
			return err
		})
	}
	return bytes
}

// cpu returns the seconds that all threads of the process have used: see proc_pid_stat(5). A tick is a hundredth.
func (s *server) cpu() float64 {
	stat := s.proc("stat")
	return (s.number(`\) \S (?:\S+ ){10}(\d+)`, stat) + s.number(`\) \S (?:\S+ ){11}(\d+)`, stat)) / 100
}

// peakRSS returns the most bytes that the process has ever had in memory.
func (s *server) peakRSS() float64 { return 1024 * s.number(`VmHWM:\s+(\d+) kB`, s.proc("status")) }

func (s *server) proc(file string) []byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.process.Pid(), file))
	require.NoError(s, err)
	return text
}

// number returns the sum of those that a pattern finds in a text. It has to match something.
func (b *bed) number(pattern string, text []byte) (sum float64) {
	all := regexp.MustCompile(pattern).FindAllSubmatch(text, -1)
	require.NotNil(b, all, "got %s, want %s", text, pattern)
	for _, found := range all {
		if len(found[1]) > 0 {
			n, err := strconv.ParseFloat(string(found[1]), 64)
			require.NoError(b, err)
			sum += n
		}
	}
	return sum
}
