package longnames

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/membership"
)

// option is a word that may begin a line of a longnames block.
type option struct {
	args     string // as the README writes them
	min, max int    // number of arguments; no maximum if it is negative
	read     func(p *parser) error
}

// options has all options, by name.
var options = map[string]option{
	"namespaces":         {"NAMESPACE...", 1, -1, readNamespaces},
	"selector":           {"EXPRESSION", 1, -1, readSelector},
	"lookup":             {"endpoints|pods", 1, 1, readLookup},
	"include":            {"ready|serving|all", 1, 1, readInclude},
	"group_by":           {"LABEL", 1, 1, readGroupBy},
	"basename":           {"NAME | label LABEL", 1, 2, readBasename},
	"mode":               {"ip|dns|hostname", 1, 1, readMode},
	"service":            {"NAME", 1, 1, readService},
	"endpoint_pod_names": {"", 0, 0, readEndpointPodNames},
	"cluster_domain":     {"DOMAIN", 1, 1, readClusterDomain},
	"family":             {"ipv4|ipv6", 1, 1, readFamily},
	"port":               {"NUMBER | NAME", 1, 1, readPort},
	"ttl":                {"SECONDS", 1, 1, readTTL},
	"fallthrough":        {"[ZONES...]", 0, -1, readFallthrough},
	"hold":               {"DURATION", 1, 1, readHold},
	"kubeconfig":         {"FILE [CONTEXT]", 1, 2, readKubeconfig},
	"endpoint":           {"URL", 1, 1, readEndpoint},
	"tls":                {"CERT KEY CACERT", 3, 3, readTLS},
	"service_account":    {"DIR", 1, 1, readServiceAccount},
	"cached":             {"", 0, 0, readCached},
	"manifests":          {"FILE...", 1, -1, readManifests},
	"snapshot":           {"FILE", 1, 1, readSnapshot},
	"startup_timeout":    {"DURATION", 1, 1, readStartupTimeout},
}

func readNamespaces(p *parser) error {
	p.config.source.Namespaces = slices.Clone(p.args)
	if err := p.config.source.ValidateNamespaces(); err != nil {
		return p.wrong("%v", err)
	}
	return nil
}

func readSelector(p *parser) error {
	text := strings.Join(p.args, " ")
	if err := kubeapi.CheckSelector(text); err != nil {
		return p.wrong("%v", err)
	}
	p.config.source.Selector = text
	return nil
}

func readLookup(p *parser) error {
	return choose(p, &p.config.source.Lookup, kubeapi.Endpoints, kubeapi.Pods)
}

func readInclude(p *parser) error {
	return choose(p, &p.config.rules.Include, membership.IncludeReady, membership.IncludeServing, membership.IncludeAll)
}

func readMode(p *parser) error {
	return choose(p, &p.config.rules.Naming.Mode, membership.ModeIP, membership.ModeDNS, membership.ModeHostname)
}

func readFamily(p *parser) error {
	return choose(p, &p.config.source.Family, kubeapi.IPv4, kubeapi.IPv6)
}

// choose reads one of several words.
func choose[T ~string](p *parser, into *T, words ...T) error {
	if !slices.Contains(words, T(p.args[0])) {
		texts := make([]string, 0, len(words))
		for _, w := range words {
			texts = append(texts, string(w))
		}
		return p.wrong("expected %s, got %q", strings.Join(texts, " or "), p.args[0])
	}
	*into = T(p.args[0])
	return nil
}

func readGroupBy(p *parser) error {
	p.groupBy = p.args[0]
	if err := kubeapi.CheckLabelKey(p.groupBy); err != nil {
		return p.wrong("%v", err)
	}
	return nil
}

func readBasename(p *parser) error {
	if len(p.args) == 2 {
		if p.args[0] != "label" {
			return p.wrong("expected %q, got %q", "NAME | label LABEL", strings.Join(p.args, " "))
		}
		p.basenameLabel = p.args[1]
		if err := kubeapi.CheckLabelKey(p.basenameLabel); err != nil {
			return p.wrong("%v", err)
		}
		return nil
	}
	if p.args[0] == "label" {
		return p.wrong("expected the key of a label after the word label")
	}
	if !membership.IsBasename(p.args[0]) {
		return p.wrong("expected letters, digits, _ and -, got %q", p.args[0])
	}
	p.config.rules.Naming.Basename = p.args[0]
	return nil
}

func readService(p *parser) error {
	if !membership.IsLabel(p.args[0]) {
		return p.wrong("expected the name of a Service, got %q", p.args[0])
	}
	p.config.rules.Naming.Service = p.args[0]
	return nil
}

func readEndpointPodNames(p *parser) error {
	p.config.rules.Naming.PodNames = true
	return nil
}

func readClusterDomain(p *parser) error {
	domain, err := cleanDomain(p.args[0])
	if err != nil {
		return p.wrong("%v", err)
	}
	p.config.rules.Naming.Domain = domain
	return nil
}

func readPort(p *parser) error {
	n, err := strconv.Atoi(p.args[0])
	if err == nil && n >= 1 && n <= 65535 {
		p.config.port = port{number: uint16(n)}
		return nil
	}
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return p.wrong("expected a number from 1 to 65535, got %s", p.args[0])
	}
	if err := kubeapi.CheckPortName(p.args[0]); err != nil {
		return p.wrong("%v", err)
	}
	p.config.port = port{name: p.args[0]}
	return nil
}

func readTTL(p *parser) error {
	seconds, err := strconv.Atoi(p.args[0])
	if err != nil || seconds < 0 || seconds > maxTTL {
		return p.wrong("expected seconds from 0 to %d, got %q", maxTTL, p.args[0])
	}
	p.config.ttl = uint32(seconds)
	return nil
}

func readFallthrough(p *parser) error {
	for _, arg := range p.args {
		if !isZone(arg) {
			return p.wrong("expected a zone, got %q", arg)
		}
	}
	p.config.fall.SetZonesFromArgs(p.args)
	return nil
}

func readHold(p *parser) error { return readDuration(p, &p.config.rules.Hold) }

func readKubeconfig(p *parser) error {
	p.config.source.Kubeconfig = p.path(p.args[0])
	if len(p.args) == 2 {
		p.config.source.Context = p.args[1]
	}
	return nil
}

func readEndpoint(p *parser) error {
	if err := kubeapi.CheckEndpoint(p.args[0]); err != nil {
		return p.wrong("%v", err)
	}
	p.config.source.Endpoint = p.args[0]
	return nil
}

func readTLS(p *parser) error {
	s := &p.config.source
	s.CertFile, s.KeyFile, s.CAFile = p.path(p.args[0]), p.path(p.args[1]), p.path(p.args[2])
	return nil
}

func readServiceAccount(p *parser) error {
	p.config.source.ServiceAccount = p.path(p.args[0])
	return nil
}

func readCached(p *parser) error {
	p.config.source.Cached = true
	return nil
}

func readManifests(p *parser) error {
	for _, pattern := range p.args {
		p.config.source.Manifests = append(p.config.source.Manifests, p.path(pattern))
	}
	return nil
}

func readSnapshot(p *parser) error {
	p.config.source.Snapshot = p.path(p.args[0])
	return nil
}

func readStartupTimeout(p *parser) error { return readDuration(p, &p.config.startupTimeout) }

func readDuration(p *parser, into *time.Duration) error {
	d, err := time.ParseDuration(p.args[0])
	if err != nil || d < 0 {
		return p.wrong("expected a duration like 5s, got %q", p.args[0])
	}
	*into = d
	return nil
}

// path returns a path, which is relative to the root of the server block as a zone file's is.
func (p *parser) path(name string) string {
	if root := p.root(); root != "" && !filepath.IsAbs(name) {
		return filepath.Join(root, name)
	}
	return name
}
