package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// clockRow has a CoreDNS of its own, whose clock can be set.
func clockRow() row {
	var file string
	return row{
		name: "fault-clock-set", what: "the clock is set an hour forward, and then two hours back",
		extra: func(s *stage) *replica {
			binary, err := s.matrix.clocked()
			s.must(err)
			r := s.newExtra("clocked", "")
			file = filepath.Join(r.dir(), "clock")
			s.must(setClock(file, 0))
			r.binary, r.env = binary, []string{clockEnv + "=" + file}
			return r.readily()
		},
		try: func(s *stage) {
			for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
				s.must(setClock(file, by))
				s.must(s.extra.clockIs(by))
				s.grow()
				s.lasts(faultTime / 3)
				s.proxy.cut()
				s.lasts(faultTime / 3)
				s.calm()
				s.shrink()
			}
		},
	}
}

// clockIs is an error unless CoreDNS believes that it is so much later.
func (r *replica) clockIs(by time.Duration) error {
	response, err := r.respond("8181", "/ready")
	if err != nil {
		return err
	}
	response.Body.Close()
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return err
	}
	if off := time.Until(date) - by; off.Abs() > time.Minute {
		return fmt.Errorf("the clock of %s is off by %s, not by %s", r.name, time.Until(date), by)
	}
	return nil
}
