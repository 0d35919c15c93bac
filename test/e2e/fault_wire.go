package main

import "time"

// wireRows: what can become of a connection.
func wireRows() []row {
	return []row{
		{name: "fault-connection-cut", struck: []string{"unreachable"}, what: "connections to the API server are cut, and new ones too", try: func(s *stage) {
			s.through(func() { s.proxy.now(wireFault{cut: true}) }, func() { s.proxy.now(wireFault{}) })
		}},
		{name: "fault-api-slow", struck: []string{"unreachable", "closed"}, what: "all that goes to or comes from the API server takes 5 s longer, also new connections", try: func(s *stage) {
			s.through(func() {
				s.proxy.now(wireFault{delay: 5 * time.Second})
				s.proxy.cut()
			}, func() { s.proxy.now(wireFault{}) })
		}},
		{name: "fault-api-trickles", struck: []string{"unreachable", "closed"}, what: "1 KB a second is all that comes through, also on new connections", try: func(s *stage) {
			s.through(func() {
				s.proxy.now(wireFault{rate: 1000})
				s.proxy.cut()
			}, func() { s.proxy.now(wireFault{}) })
		}},
		{name: "fault-packets-lost", what: "all packets between CoreDNS and the API server are lost, and then come through again", try: func(s *stage) {
			s.through(func() { s.everyone((*replica).vanish) }, func() { s.everyone((*replica).appear) })
		}},
	}
}

// everyone does something with each CoreDNS.
func (s *stage) everyone(do func(*replica)) {
	for _, r := range s.everyReplica() {
		do(r)
	}
}

// silence is how long it may take until it is noticed that a watch has fallen silent, with some time to do better.
const silence = 150*time.Second + 3*patience

// halfOpen is a connection of which one end knows nothing of the other's end, as when a NAT gateway has lost it.
func halfOpen(name, protocol string) row {
	what := "all packets of the connection to the API server are lost for good, which nobody is told; new ones can be made (" + protocol + ")"
	return row{name: name, what: what, struck: []string{"silent", "unreachable"}, try: func(s *stage) {
		s.everyone((*replica).vanish)
		s.everyone((*replica).move)
		s.grow()
		s.seen(silence)
		s.calm()
		s.shrink()
	}}
}
