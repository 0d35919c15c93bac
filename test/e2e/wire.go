package main

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// wire stands between the CoreDNS of a stage and its API server. It does not know what it carries.
type wire struct {
	bed      *bed
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // protects following
	to    string     // the other end
	fault wireFault
	conns map[net.Conn]bool
}

// wireFault is what is wrong with a wire.
type wireFault struct {
	cut   bool          // connections end, new ones too
	delay time.Duration // all takes so much longer
	rate  int           // bytes a second, in each direction of each connection
}

func (s *stage) newWire() *wire {
	var l net.Listener
	var err error
	l, err = s.plane.listen(net.JoinHostPort(apiSide, "0"))
	s.must(err)
	w := &wire{bed: s.bed, listener: l, to: apiAddress, conns: make(map[net.Conn]bool)}
	w.wg.Go(w.accept)
	s.cleanup(w.close)
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

// now changes what is wrong, also for the connections that there are. The zero value is that nothing is.
func (w *wire) now(fault wireFault) {
	w.mu.Lock()
	w.fault = fault
	w.mu.Unlock()
	if fault.cut {
		w.cut()
	}
}

// lead changes the other end, and cuts what leads to the one before.
func (w *wire) lead(to string) {
	w.mu.Lock()
	w.to = to
	w.mu.Unlock()
	w.cut()
}

// cut ends all connections; new ones can be made.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
}

func (w *wire) state() (to string, fault wireFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to, w.fault
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		to, fault := w.state()
		if fault.cut {
			client.Close()
			continue
		}
		server, err := w.bed.plane.dial(context.Background(), "tcp", to)
		if err != nil {
			client.Close()
			continue
		}
		w.mu.Lock()
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()
		w.wg.Go(func() { w.pump(client, server) })
		w.wg.Go(func() { w.pump(server, client) })
	}
}

// chunk is what was read at once, and when.
type chunk struct {
	data []byte
	at   time.Time
}

// pump ends both directions when one ends.
func (w *wire) pump(to, from net.Conn) {
	chunks := make(chan chunk, 1024)
	done := make(chan struct{})
	w.wg.Go(func() {
		defer close(done)
		w.send(to, chunks)
		from.Close()
	})
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			select {
			case chunks <- chunk{buffer[:n], time.Now()}:
			case <-done:
			}
		}
		if err != nil {
			break
		}
	}
	close(chunks)
	<-done
	to.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
}

// wirePiece is small enough for a slow wire to become fast again soon.
const wirePiece = 128

func (w *wire) send(to io.Writer, chunks <-chan chunk) {
	for c := range chunks {
		for len(c.data) > 0 {
			_, fault := w.state()
			if rest := time.Until(c.at.Add(fault.delay)); rest > 0 {
				time.Sleep(min(rest, 100*time.Millisecond))
				continue
			}
			n := len(c.data)
			if fault.rate > 0 {
				n = min(n, wirePiece)
				time.Sleep(time.Duration(n) * time.Second / time.Duration(fault.rate))
			}
			if _, err := to.Write(c.data[:n]); err != nil {
				return
			}
			c.data = c.data[n:]
		}
	}
}

func (w *wire) close() {
	w.listener.Close()
	w.now(wireFault{})
	w.cut()
	w.wg.Wait()
}
