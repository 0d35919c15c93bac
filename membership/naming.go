package membership

import (
	"net/netip"
	"strings"

	"github.com/longnames/longnames/kubeapi"
)

// Mode is the form of a longname's host part.
type Mode string

const (
	ModeIP       Mode = "ip"       // 10.0.0.1
	ModeDNS      Mode = "dns"      // 10-0-0-1.NAMESPACE.pod.DOMAIN
	ModeHostname Mode = "hostname" // HOSTNAME.SERVICE.NAMESPACE.svc.DOMAIN
)

// maxLongname is the length of the longest atom, and a node's name is an atom.
// https://www.erlang.org/doc/system/system_limits.html
const maxLongname = 255

// maxLabel is the length of the longest label of a domain name (RFC 1035, section 2.3.4).
const maxLabel = 63

// Naming says how members are named. Names are never re-spelt: the BEAM compares them byte for byte.
type Naming struct {
	Mode Mode
	// Basename is every member's, unless BasenameLabel, an index into Object.Labels, is not
	// negative.
	Basename      string
	BasenameLabel int
	// Service replaces the one that the object tells, if it is not empty.
	Service string
	// PodNames names a member without hostname by its pod.
	PodNames bool
	Domain   string // without a final dot
	// Reserved are host parts that no member may have, in lower case with a final dot: they are names of name
	// servers.
	Reserved []string
}

// Problem is why a member has no longname; empty if it has one. It is the value of a metric's label too.
type Problem string

const (
	NoProblem        Problem = ""
	InvalidAddress   Problem = "address"
	InvalidGroup     Problem = "group"
	InvalidBasename  Problem = "basename"
	InvalidHostname  Problem = "hostname"
	InvalidService   Problem = "service"
	InvalidNamespace Problem = "namespace"
	TooLong          Problem = "length"
	ReservedName     Problem = "reserved"
)

// Problems has all problems.
var Problems = []Problem{
	InvalidAddress, InvalidGroup, InvalidBasename, InvalidHostname, InvalidService, InvalidNamespace, TooLong, ReservedName,
}

// Expects returns the condition that a member with the problem does not meet.
func (n *Naming) Expects(p Problem) string {
	switch p {
	case InvalidBasename:
		return "its basename must match [0-9A-Za-z_-]+"
	case InvalidHostname:
		return "mode hostname needs a hostname that is a DNS label: its pod's spec.hostname, if spec.subdomain names the Service, or else option endpoint_pod_names"
	case InvalidService:
		return "mode hostname needs a service that is a DNS label: its pod's spec.subdomain, its slice's label kubernetes.io/service-name, or else option service"
	case InvalidNamespace:
		return "its namespace is no DNS label"
	case TooLong:
		return "its longname would be longer than 255 characters"
	case ReservedName:
		return "a pod, a Service or the name server can be called so"
	}
	return string(p) // of others, the log says more
}

// longname makes the longname of a member of o and a dot, as in Node.text, and returns where its
// host part begins.
func (n *Naming) longname(o *kubeapi.Object, m *kubeapi.Member) (text string, host int, p Problem) {
	var space [2 * maxLongname]byte
	b, host, p := n.appendLongname(space[:0], o, m)
	if p != NoProblem {
		return "", 0, p
	}
	return string(append(b, '.')), host, NoProblem
}

// problemOf returns why a member of o has no longname.
func (n *Naming) problemOf(o *kubeapi.Object, m *kubeapi.Member) Problem {
	var space [2 * maxLongname]byte
	_, _, p := n.appendLongname(space[:0], o, m)
	return p
}

func (n *Naming) appendLongname(b []byte, o *kubeapi.Object, m *kubeapi.Member) (text []byte, host int, p Problem) {
	basename := n.basenameOf(o)
	switch {
	case len(basename) >= maxLongname: // a label's value may be of any length
		return b, 0, TooLong
	case !IsBasename(basename):
		return b, 0, InvalidBasename
	}
	b = append(append(b, basename...), '@')
	host = len(b)
	b, p = n.appendHost(b, o, m)
	switch {
	case p != NoProblem:
	case len(b) > maxLongname:
		p = TooLong
	case n.isReserved(b[host:]):
		p = ReservedName
	}
	return b, host, p
}

func (n *Naming) isReserved(host []byte) bool {
	for _, name := range n.Reserved {
		if len(host) == len(name)-1 && strings.EqualFold(string(host), name[:len(host)]) {
			return true
		}
	}
	return false
}

// namesAny reports whether any member has a longname, mostly at the cost of one.
func (n *Naming) namesAny(objects []*kubeapi.Object) bool {
	for _, o := range objects {
		for i := range o.Members {
			if n.problemOf(o, &o.Members[i]) == NoProblem {
				return true
			}
		}
	}
	return false
}

func (n *Naming) basenameOf(o *kubeapi.Object) string {
	if n.BasenameLabel >= 0 {
		return o.Labels[n.BasenameLabel].Value
	}
	return n.Basename
}

func (n *Naming) hostnameOf(m *kubeapi.Member) string {
	if n.PodNames && m.Hostname == "" {
		return m.Pod()
	}
	return m.Hostname
}

func (n *Naming) serviceOf(o *kubeapi.Object) string {
	if n.Service != "" {
		return n.Service
	}
	return o.Service
}

// appendHost appends the host part of the longname of a member of o.
func (n *Naming) appendHost(b []byte, o *kubeapi.Object, m *kubeapi.Member) ([]byte, Problem) {
	switch {
	case n.Mode == ModeIP:
		return m.Address.AppendTo(b), NoProblem
	case !isNamespace(o.Namespace):
		return b, InvalidNamespace
	case n.Mode == ModeDNS:
		b = appendDashed(b, m.Address)
		return appendLabels(b, o.Namespace, "pod", n.Domain), NoProblem
	case !IsLabel(n.hostnameOf(m)):
		return b, InvalidHostname
	case !IsLabel(n.serviceOf(o)):
		return b, InvalidService
	}
	return appendLabels(append(b, n.hostnameOf(m)...), n.serviceOf(o), o.Namespace, "svc", n.Domain), NoProblem
}

// appendLabels appends each text after a dot.
func appendLabels(b []byte, texts ...string) []byte {
	for _, text := range texts {
		b = append(append(b, '.'), text...)
	}
	return b
}

// Suffix returns the domain that all host parts are in, with a final dot; not for ModeIP.
func (n *Naming) Suffix() string {
	if n.Mode == ModeDNS {
		return "pod." + n.Domain + "."
	}
	return "svc." + n.Domain + "."
}

// Dashed writes an address as one label, as CoreDNS' kubernetes plugin does.
// https://github.com/kubernetes/dns/blob/master/docs/specification.md
func Dashed(a netip.Addr) string {
	var space [maxLabel]byte
	return string(appendDashed(space[:0], a))
}

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

// IsBasename reports whether text can stand before the @ of a longname.
func IsBasename(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '_' && c != '-' {
			return false
		}
	}
	return text != ""
}

// IsLabel reports whether text is a label of a host name (RFC 1123, section 2.1), in
// which upper case is allowed.
func IsLabel(text string) bool {
	if text == "" || len(text) > maxLabel || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isAlphanumeric(c) && c != '-' {
			return false
		}
	}
	return true
}

// isGroup reports whether a group can be called so: a DNS label, or one that has underscores inside.
func isGroup(text string) bool {
	return len(text) <= maxLabel && IsLabel(strings.ReplaceAll(text, "_", "x")) && text[0] != '_'
}

// isNamespace reports whether a namespace can be called so. Two that differ in case would share their names.
func isNamespace(text string) bool { return IsLabel(text) && text == strings.ToLower(text) }

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
