package longnames

import (
	"net/netip"

	"github.com/longnames/longnames/kubeapi"
)

// mode is the form of a longname's host part.
type mode string

const (
	modeIP       mode = "ip"       // 10.0.0.1
	modeDNS      mode = "dns"      // 10-0-0-1.NAMESPACE.pod.DOMAIN
	modeHostname mode = "hostname" // HOSTNAME.SERVICE.NAMESPACE.svc.DOMAIN
)

// maxLongname is the length of the longest atom, and a node's name is an atom.
// https://www.erlang.org/doc/system/system_limits.html
const maxLongname = 255

// naming says how members are named. Names are never re-spelt: the BEAM compares them
// byte for byte.
type naming struct {
	mode mode
	// basename is every member's, unless basenameLabel, an index into Object.Labels,
	// is not negative.
	basename      string
	basenameLabel int
	// service replaces the one that the object tells, if it is not empty.
	service string
	domain  string // without a final dot
}

// problem is a reason for which a member has no longname, empty if it has one. It is
// the value of a metric's label too.
type problem string

const (
	noProblem        problem = ""
	invalidAddress   problem = "address"
	invalidGroup     problem = "group"
	invalidBasename  problem = "basename"
	invalidHostname  problem = "hostname"
	invalidService   problem = "service"
	invalidNamespace problem = "namespace"
	tooLong          problem = "length"
)

// leftOutProblems are all of them.
var leftOutProblems = []problem{
	invalidAddress, invalidGroup, invalidBasename, invalidHostname, invalidService, invalidNamespace, tooLong,
}

// expects says what a member would need to have no such problem.
func (n *naming) expects(p problem) string {
	switch p {
	case invalidBasename:
		return "its basename must match [0-9A-Za-z_-]+"
	case invalidHostname:
		return "mode hostname needs a hostname that is a DNS label (a pod's spec.hostname, an endpoint's hostname)"
	case invalidService:
		return "mode hostname needs a service that is a DNS label"
	case invalidNamespace:
		return "its namespace is no DNS label"
	case tooLong:
		return "its longname would be longer than 255 characters"
	}
	return string(p) // of others, the log says more
}

// longname makes the longname of a member of o and a dot, as in node.text, and returns where its
// host part begins.
func (n *naming) longname(o *kubeapi.Object, m *kubeapi.Member) (text string, host int, p problem) {
	var space [2 * maxLongname]byte
	b, host, p := n.appendLongname(space[:0], o, m)
	if p != noProblem {
		return "", 0, p
	}
	return string(append(b, '.')), host, noProblem
}

// problemOf returns why a member of o has no longname.
func (n *naming) problemOf(o *kubeapi.Object, m *kubeapi.Member) problem {
	var space [2 * maxLongname]byte
	_, _, p := n.appendLongname(space[:0], o, m)
	return p
}

func (n *naming) appendLongname(b []byte, o *kubeapi.Object, m *kubeapi.Member) (text []byte, host int, p problem) {
	basename := n.basenameOf(o)
	if !isBasename(basename) {
		return b, 0, invalidBasename
	}
	b = append(append(b, basename...), '@')
	host = len(b)
	b, p = n.appendHost(b, o, m)
	if p == noProblem && len(b) > maxLongname {
		p = tooLong
	}
	return b, host, p
}

func (n *naming) basenameOf(o *kubeapi.Object) string {
	if n.basenameLabel >= 0 {
		return o.Labels[n.basenameLabel].Value
	}
	return n.basename
}

func (n *naming) serviceOf(o *kubeapi.Object) string {
	if n.service != "" {
		return n.service
	}
	return o.Service
}

// appendHost appends the host part of the longname of a member of o.
func (n *naming) appendHost(b []byte, o *kubeapi.Object, m *kubeapi.Member) ([]byte, problem) {
	switch {
	case n.mode == modeIP:
		return m.Address.AppendTo(b), noProblem
	case !isLabel(o.Namespace):
		return b, invalidNamespace
	case n.mode == modeDNS:
		b = appendDashed(b, m.Address)
		return appendLabels(b, o.Namespace, "pod", n.domain), noProblem
	case !isLabel(m.Hostname):
		return b, invalidHostname
	case !isLabel(n.serviceOf(o)):
		return b, invalidService
	}
	return appendLabels(append(b, m.Hostname...), n.serviceOf(o), o.Namespace, "svc", n.domain), noProblem
}

// appendLabels appends each text after a dot.
func appendLabels(b []byte, texts ...string) []byte {
	for _, text := range texts {
		b = append(append(b, '.'), text...)
	}
	return b
}

// suffix is the domain that all host parts are in, with a final dot; not for mode ip.
func (n *naming) suffix() string {
	if n.mode == modeDNS {
		return "pod." + n.domain + "."
	}
	return "svc." + n.domain + "."
}

// dashed writes an address as one label, as CoreDNS' kubernetes plugin does.
// https://github.com/kubernetes/dns/blob/master/docs/specification.md
func dashed(a netip.Addr) string { return string(appendDashed(nil, a)) }

func appendDashed(b []byte, a netip.Addr) []byte {
	from := len(b)
	b = a.AppendTo(b)
	for i := from; i < len(b); i++ {
		if b[i] == '.' || b[i] == ':' {
			b[i] = '-'
		}
	}
	if b[len(b)-1] == '-' {
		b = append(b, '0')
	}
	return b
}

// isBasename reports whether text can stand before the @ of a longname.
func isBasename(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '_' && c != '-' {
			return false
		}
	}
	return text != ""
}

// isLabel reports whether text is a label of a host name (RFC 1123, section 2.1), in
// which upper case is allowed.
func isLabel(text string) bool {
	if text == "" || len(text) > 63 || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
