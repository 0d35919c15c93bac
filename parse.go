package longnames

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"github.com/miekg/dns"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

const (
	defaultTTL            = 5 // seconds
	defaultHold           = 30 * time.Second
	defaultStartupTimeout = 5 * time.Second
	defaultDomain         = "cluster.local"
	maxTTL                = 3600 // seconds
)

// parser reads one longnames block.
type parser struct {
	*caddy.Controller

	config *config
	name   string         // of the option at hand
	args   []string       // likewise
	lines  map[string]int // of the options that have been read

	groupBy       string
	basenameLabel string
}

func parse(c *caddy.Controller) (*config, error) {
	p := &parser{
		Controller: c,
		config: &config{
			port:   port{number: epmdPort},
			ttl:    defaultTTL,
			source: kubeapi.Config{Lookup: kubeapi.Endpoints, UserAgent: userAgent()},

			rules:          membership.Rules{GroupLabel: -1, Naming: membership.Naming{Mode: membership.ModeIP, BasenameLabel: -1}, Hold: defaultHold},
			startupTimeout: defaultStartupTimeout,
		},
		lines: make(map[string]int),
	}
	p.config.rules.Source = &p.config.source
	if err := p.zones(c.RemainingArgs()); err != nil {
		return nil, err
	}
	p.config.source.Log = zoneLog{p.config.name()}
	for c.NextBlock() {
		if err := p.option(c.Val()); err != nil {
			return nil, err
		}
	}
	if err := p.contradictions(); err != nil {
		return nil, err
	}
	_, held := p.lines["hold"]
	p.config.rules.Edited = len(p.config.source.Manifests) > 0 && !held
	return p.config, p.finish()
}

// zones reads the zones of the block, by default those of the server block.
func (p *parser) zones(args []string) error {
	for _, arg := range args {
		if !isZone(arg) {
			return p.Errf("expected a zone, got %q; those are names such as erl.internal, and prefixes such as 10.0.0.0/8", arg)
		}
	}
	for _, name := range plugin.OriginsFromArgsOrServerBlock(args, p.ServerBlockKeys) {
		if isMistyped(name) {
			return p.Errf("expected a zone, got %q of the server block", name)
		}
		if p.config.has(name) {
			return p.Errf("expected each zone once, got %s twice", name)
		}
		z := newZone(name)
		if _, ok := dns.IsDomainName(z.contact); !ok {
			return p.Errf("zone %s: expected a shorter one, with room for names below it", name)
		}
		p.config.zones = append(p.config.zones, z)
	}
	if !slices.ContainsFunc(p.config.zones, (*zone).hasMembers) {
		return p.Errf("expected a zone that is not reverse, for members to have names in")
	}
	return nil
}

// option reads one line of the block.
func (p *parser) option(name string) error {
	o, ok := options[name]
	if !ok {
		return p.Errf("unknown option %q: expected one of %s", name, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
	}
	if line, ok := p.lines[name]; ok {
		return p.Errf("option %s: expected once, but line %d has it already", name, line)
	}
	p.name, p.lines[name] = name, p.Line()
	p.args = p.RemainingArgs()
	expected := strings.TrimSpace(name + " " + o.args)
	if p.NextArg() { // only a brace is left over
		return p.wrong("expected %q, got a block", expected)
	}
	if len(p.args) < o.min || o.max >= 0 && len(p.args) > o.max {
		return p.wrong("expected %q, got %d arguments", expected, len(p.args))
	}
	if slices.Contains(p.args, "") {
		return p.wrong("expected %q, got an empty argument", expected)
	}
	return o.read(p)
}

// wrong returns an error about the option at hand.
func (p *parser) wrong(format string, args ...any) error {
	return p.Errf("option %s: %s", p.name, fmt.Sprintf(format, args...))
}

// contradictions looks for options that exclude each other.
func (p *parser) contradictions() error {
	for _, pair := range []struct{ one, other, why string }{
		{"manifests", "kubeconfig", "members come either from files or from an API server"},
		{"manifests", "endpoint", "members come either from files or from an API server"},
		{"manifests", "tls", "members come either from files or from an API server"},
		{"manifests", "service_account", "members come either from files or from an API server"},
		{"manifests", "cached", "members come either from files or from an API server"},
		{"manifests", "snapshot", "members come from files already"},
		{"kubeconfig", "endpoint", "a kubeconfig names the API server itself"},
		{"kubeconfig", "tls", "a kubeconfig has the credentials itself"},
		{"kubeconfig", "service_account", "a kubeconfig has the credentials itself"},
		{"tls", "service_account", "credentials are either a certificate or a token"},
	} {
		if p.has(pair.one) && p.has(pair.other) {
			return p.Errf("expected either %s (line %d) or %s (line %d): %s",
				pair.one, p.lines[pair.one], pair.other, p.lines[pair.other], pair.why)
		}
	}
	if p.has("tls") && !strings.HasPrefix(p.config.source.Endpoint, "https:") {
		return p.Errf("option tls (line %d): expected option endpoint with it, with an https URL", p.lines["tls"])
	}
	for _, option := range []string{"service", "endpoint_pod_names"} {
		if p.has(option) && p.config.rules.Naming.Mode != membership.ModeHostname {
			return p.Errf("option %s (line %d): expected mode hostname with it, since mode %s has no hostname or service in its names",
				option, p.lines[option], p.config.rules.Naming.Mode)
		}
	}
	if !p.has("selector") && p.groupBy == "" {
		return p.Errf("expected option selector or option group_by, which select the members")
	}
	if !p.has("basename") && p.groupBy == "" {
		return p.Errf("expected option basename, to say what stands before the @")
	}
	return nil
}

func (p *parser) has(option string) bool {
	_, ok := p.lines[option]
	return ok
}

// finish fills in what follows from several options.
func (p *parser) finish() error {
	c := p.config
	if c.rules.Include == "" {
		c.rules.Include = membership.IncludeReady
		if c.source.Lookup == kubeapi.Pods {
			c.rules.Include = membership.IncludeAll
		}
	}
	if c.rules.Naming.Domain == "" {
		domain, err := cleanDomain(os.Getenv("CLUSTER_DOMAIN"))
		if err != nil && c.rules.Naming.Mode != membership.ModeIP {
			return p.Errf("environment CLUSTER_DOMAIN: %v", err)
		}
		c.rules.Naming.Domain = domain
	}
	if p.groupBy != "" {
		c.rules.GroupLabel = p.label(p.groupBy)
		c.source.Partial = true
		if c.source.Selector != "" {
			c.source.Selector += ","
		}
		c.source.Selector += p.groupBy // only what has the label
		if !p.has("basename") {
			p.basenameLabel = p.groupBy
		}
	}
	if p.basenameLabel != "" {
		c.rules.Naming.BasenameLabel = p.label(p.basenameLabel)
	}
	c.source.Ports = c.port.names()
	c.source.Monitor = c.monitor()
	c.place()
	c.reserve()
	if z := c.clash(); z != nil {
		return p.Errf("zone %s: expected svc.%s or another one, since with group_by clusters in it could be called as host parts are", z.name, c.rules.Naming.Domain)
	}
	return nil
}

// label asks for the value of a label with every object, and returns its index there.
func (p *parser) label(key string) int {
	labels := &p.config.source.Labels
	if at := slices.Index(*labels, key); at >= 0 {
		return at
	}
	*labels = append(*labels, key)
	return len(*labels) - 1
}

// isZone reports whether text names a zone, or several as an address prefix can.
func isZone(text string) bool {
	names := plugin.Host(text).NormalizeExact()
	return len(names) > 0 && !slices.ContainsFunc(names, isMistyped)
}

// isMistyped reports whether the name of a zone was meant to be something else: CoreDNS takes an address, and a
// prefix that is none, such as 10.244.0.0/33, for a name, and so it does with a pattern. No top-level domain is a
// number (RFC 3696, section 2), nor has one a slash.
func isMistyped(name string) bool {
	name = strings.TrimSuffix(name, ".")
	top := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.Atoi(top)
	return err == nil || strings.Contains(top, "/") || strings.HasPrefix(name, "*.")
}

// cleanDomain takes the final dot off a domain name. Empty is the default.
func cleanDomain(text string) (string, error) {
	domain := strings.TrimSuffix(text, ".")
	switch _, isName := dns.IsDomainName(domain); {
	case text == "":
		return defaultDomain, nil
	case domain == "cluster":
		return "", errors.New(`expected a whole domain, such as cluster.local, got "cluster": libcluster alone appends .local`)
	case !isName, !areLabels(domain):
		return "", fmt.Errorf("expected a domain name, got %q", text)
	}
	return domain, nil
}

// areLabels reports whether a name consists of labels of host names.
func areLabels(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if !membership.IsLabel(label) {
			return false
		}
	}
	return true
}

// root returns the directory that relative paths start from.
func (p *parser) root() string {
	return dnsserver.GetConfig(p.Controller).Root
}
