package peers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/longnames/longnames/test/e2e/build"
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
	b.Helper()
	b.servers++
	s := &server{bed: b, name: name, address: fmt.Sprintf("127.0.0.%d", 1+b.servers), env: env, figures: make(figures)}
	s.corefile = filepath.Join(b.dir, name+".Corefile")
	b.must(os.WriteFile(s.corefile, fmt.Appendf(nil, ".:53 {\nbind %[1]s\npprof %[1]s:6053\n%[2]s\n}\n", s.address, plugin), 0o600))
	return s
}

// newPair returns servers of longnames and *kubernetes*, with options of their own.
func (b *bed) newPair(ours, theirs string, env ...string) (longnames, kubernetes *server) {
	b.Helper()
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
	b.Helper()
	b.processes++
	return b.host.Start(b, fmt.Sprintf("%s-%d", name, b.processes), env, args...)
}

// start waits until CoreDNS listens, and not until it knows anything.
func (s *server) start() {
	s.Helper()
	s.process = s.run(s.name, s.env, coredns, "-conf", s.corefile)
	cluster.Eventually(s, patience, s.name+" listens", func() error {
		s.must(s.process.Ended())
		if !strings.Contains(s.process.Output(), "\nCoreDNS-") {
			return errors.New("it does not say so")
		}
		return nil
	})
}

func (s *server) stop() { s.process.Stop(5 * time.Second) }

// answer is a message as it is on the wire: RFC 1035, section 4.1.1.
type answer []byte

func (a answer) truncated() bool { return a[2]&2 != 0 }
func (a answer) rcode() string   { return dns.RcodeToString[int(a[3]&15)] }
func (a answer) records() int    { return int(binary.BigEndian.Uint16(a[6:])) }

// asker asks one question over one connection, over and over, and looks no closer at the answers than it has to.
type asker struct {
	*dns.Conn
	packed, buffer []byte
}

// newAsker has questions offer room by EDNS, if size is above 0.
func (s *server) newAsker(network, name, qtype string, size uint16) (*asker, error) {
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[qtype])
	if size > 0 {
		m.SetEdns0(size, false)
	}
	packed, err := m.Pack()
	conn, err2 := s.host.Dial(s.Context(), network, net.JoinHostPort(s.address, "53"))
	return &asker{Conn: &dns.Conn{Conn: conn}, packed: packed, buffer: make([]byte, dns.MaxMsgSize)}, errors.Join(err, err2)
}

// ask returns an answer that is valid until the next one.
func (a *asker) ask() (answer, error) {
	err := a.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err2 := a.Write(a.packed); err2 != nil {
		return nil, errors.Join(err, err2)
	}
	n, err := a.Read(a.buffer)
	if err == nil && n < 12 {
		err = fmt.Errorf("got an answer of %d bytes", n)
	}
	return a.buffer[:n], err
}

// ask asks once.
func (s *server) ask(network, name, qtype string, size uint16) (answer, error) {
	a, err := s.newAsker(network, name, qtype, size)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return a.ask()
}

// knows waits until a question has so many answers.
func (s *server) knows(name, qtype string, n int) {
	s.Helper()
	cluster.Eventually(s, patience, fmt.Sprintf("%s knows %d of %s %s", s.name, n, name, qtype), func() error {
		s.must(s.process.Ended())
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
	s.Helper()
	a, err := s.newAsker(network, name, "A", 4096)
	s.must(err)
	defer a.Close()
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
		for begin := time.Now(); err == nil && !bytes.Contains(got, data); got, err = a.ask() {
			if time.Since(begin) > patience {
				s.Fatalf("%s is not answered within %s", to, patience)
			}
		}
		shown := time.Now()
		s.must(errors.Join(err, g.Wait()))
		out = append(out, max(shown.Sub(acknowledged), 0).Seconds()*1000)
	}
	return out
}

// meanwhile does something so many times a second until the function that it returns is called, which tells how many
// times that were in a second.
func (b *bed) meanwhile(rate float64, do func(n int) error) (end func() (rate float64)) {
	begin, quit, done, n := time.Now(), make(chan struct{}), make(chan error, 1), 0
	go func() {
		var g errgroup.Group
		g.SetLimit(8)
		for ; ; n++ {
			select {
			case <-quit:
				done <- g.Wait()
				return
			case <-time.After(time.Until(begin.Add(time.Duration(float64(n) / rate * float64(time.Second))))):
				each := n
				g.Go(func() error { return do(each) })
			}
		}
	}()
	return func() float64 {
		close(quit)
		b.must(<-done)
		return float64(n) / time.Since(begin).Seconds()
	}
}

// profiled does something, and keeps a profile of the meantime, if that is wanted.
func (s *server) profiled(name string, do func()) {
	var g errgroup.Group
	if *profiles != "" {
		s.must(os.MkdirAll(*profiles, 0o755))
		g.Go(func() error {
			_, err := s.host.Run(s.Context(), build.GoCommand(), "tool", "pprof", "-proto", "-seconds", fmt.Sprintf("%.0f", max(load.Seconds(), 1)),
				"-output", filepath.Join(*profiles, s.name+"-"+name+".pprof"), "http://"+s.address+":6053/debug/pprof/profile")
			return err
		})
	}
	do()
	s.must(g.Wait())
}

// heap returns the bytes of the heap, what garbage collections leave if there are any: the second one empties the pools,
// too.
func (s *server) heap(collections int) float64 {
	var text []byte
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: s.host.Dial, DisableKeepAlives: true}}
	for range max(collections, 1) {
		// On a busy machine a collection may take longer than the 5 seconds that *pprof* has for its answer.
		cluster.Eventually(s, patience, s.name+" tells of its heap", func() error {
			response, err := client.Get(fmt.Sprintf("http://%s:6053/debug/pprof/heap?debug=1&gc=%d", s.address, collections))
			if err == nil {
				text, err = io.ReadAll(response.Body)
				response.Body.Close()
			}
			return err
		})
	}
	return s.number(`(?m)^# HeapAlloc = (\d+)$`, text)
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
	s.must(err)
	return text
}

// number returns the one in a text.
func (s *server) number(pattern string, text []byte) float64 {
	s.Helper()
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		s.Fatalf("%s: got %s, want %s", s.name, text, pattern)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	s.must(err)
	return n
}
