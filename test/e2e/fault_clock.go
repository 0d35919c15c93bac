package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// clockRow has CoreDNS of its own, whose clock can be set.
func clockRow() row {
	var file string
	return row{
		name: "fault-clock-set", what: "the clock is set an hour forward, and then two hours back",
		extras: func(s *stage) []*replica {
			binary, err := s.matrix.clocked()
			s.must(err)
			extras := s.newExtras("clocked")
			file = filepath.Join(s.dir, "clock")
			s.must(setClock(file, 0))
			for _, r := range extras {
				r.binary, r.env = binary, []string{clockEnv + "=" + file}
			}
			s.each(extras, (*replica).readily)
			return extras
		},
		try: func(s *stage) {
			for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
				s.must(setClock(file, by))
				for _, r := range s.extras {
					s.must(r.clockIs(by))
				}
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
