package longnames

import (
	"slices"
	"strings"

	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"
)

// write sends a reply. Those that CoreDNS makes for us are only returned.
func write(w dns.ResponseWriter, r *dns.Msg, reply *reply) (int, error) {
	m := new(dns.Msg)
	m.SetReply(r)
	m.Authoritative = true
	switch reply.result {
	case refused:
		return dns.RcodeRefused, nil
	case unavailable:
		m.Authoritative = false
		m.Rcode = dns.RcodeServerFailure
		addEDE(m, w, r, dns.ExtendedErrorCodeNotReady, "members are not known yet")
	case nameError:
		m.Rcode = dns.RcodeNameError
		m.Ns = []dns.RR{reply.soa}
	case noData:
		m.Ns = []dns.RR{reply.soa}
	case success:
		answer, truncated := capToSize(w, r, reply.set)
		// Clipped, since other plugins append to it.
		m.Answer, m.Truncated = slices.Clip(copyWithOwner(answer, reply.owner)), truncated
		if glueFits(w, r, reply) {
			m.Extra = slices.Clip(reply.ownGlue())
		}
	}
	if reply.stale {
		addEDE(m, w, r, dns.ExtendedErrorCodeStaleAnswer, "members are those last known")
	}
	if err := w.WriteMsg(m); err != nil {
		return dns.RcodeSuccess, err
	}
	return dns.RcodeSuccess, nil // it is written, whatever the message's own code
}

// addEDE adds an extended error (RFC 8914) for a client that speaks EDNS. Where there is
// no room for it, it is left out rather than records.
func addEDE(m *dns.Msg, w dns.ResponseWriter, r *dns.Msg, code uint16, text string) {
	asked := r.IsEdns0()
	if asked == nil {
		return
	}
	bare := m.Extra
	m.SetEdns0(asked.UDPSize(), asked.Do())
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	m.Compress = true // as CoreDNS does if it has to
	if state := (request.Request{W: w, Req: r}); m.Len() > state.Size() {
		m.Extra = bare
	}
	m.Compress = false
}

// fitting returns how many records a client could take if they were the smallest.
func fitting(w dns.ResponseWriter, r *dns.Msg) int {
	state := request.Request{W: w, Req: r}
	return state.Size() / smallestRecord
}

// capToSize returns as many records of an answer as the client could take if they were the smallest, and
// reports whether these are not all. CoreDNS truncates further, but it takes the length of every record
// before, and most nodes of a large cluster ask like that first. Signed or not, a client asks for a
// truncated answer again (RFC 2181, section 9). Those for the client alone come last. Neither the records nor the
// list may be written to.
func capToSize(w dns.ResponseWriter, r *dns.Msg, set *rrset) (some []dns.RR, truncated bool) {
	total := set.len()
	if total > dns.MinMsgSize/smallestRecord {
		if most := fitting(w, r); total > most {
			total, truncated = most, true
		}
	}
	if set.asker == nil || total <= len(set.answer) {
		return set.answer[:total], truncated
	}
	return append(slices.Clip(set.answer), set.asker.answer[:total-len(set.answer)]...), truncated
}

// ownGlue returns the glue without host parts that several clusters share: the reply has the nodes of
// one of them only.
func (r *reply) ownGlue() []dns.RR {
	glue := r.set.glue
	if r.set.asker != nil {
		glue = append(slices.Clip(glue), r.set.asker.glue...)
	}
	if !r.by.grouped || len(r.by.tables) == 1 && r.by.tables[0].hosts.shared.Load() == 0 {
		return glue
	}
	return slices.DeleteFunc(slices.Clone(glue), func(rr dns.RR) bool { return r.by.sharesHost(strings.ToLower(rr.Header().Name)) })
}

// ednsRoom is kept free for options that we or other plugins may add to the OPT record.
const ednsRoom = 128

// glueFits reports whether the client can take the message with its glue: left out it does
// no harm, but a truncated message does. The size of signatures is not known here.
func glueFits(w dns.ResponseWriter, r *dns.Msg, reply *reply) bool {
	if len(reply.set.glue) == 0 && (reply.set.asker == nil || len(reply.set.asker.glue) == 0) {
		return false
	}
	state := request.Request{W: w, Req: r}
	size := reply.set.size
	if opt := r.IsEdns0(); opt != nil {
		size += dns.Len(opt) + ednsRoom
	}
	return !state.Do() && size <= state.Size()
}
