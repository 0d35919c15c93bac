package process

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/longnames/longnames/test/e2e/build"
	"github.com/longnames/longnames/test/e2e/cluster"
)

// program is a name server of somebody else, as Debian packages it. In its fields, $DIR is a directory of its own, $ADDRESS
// and $PORT where it listens, $SERVER an address of CoreDNS, and $OTHER that of another one.
type program struct {
	path, args string
	config     string
	anchor     string // to trust a key: name, flags, protocol, algorithm and key
}

// start starts one on a host, and waits until it listens.
func (p *program) start(t *testing.T, h *cluster.Host, name, address, port string, servers []string, more string) {
	t.Helper()
	dir := t.TempDir()
	values := map[string]string{"DIR": dir, "ADDRESS": address, "PORT": port, "SERVER": servers[0], "OTHER": servers[len(servers)-1]}
	expand := func(text string) string { return os.Expand(text, func(key string) string { return values[key] }) }
	write(t, dir+"/conf", expand(p.config+more))
	// A copy: AppArmor keeps the packaged one, by its path, in directories of its own.
	command := filepath.Join(dir, filepath.Base(p.path))
	require.NoError(t, build.CopyFile(command, p.path))
	process := h.Daemons(t, name, nil, append([]string{command}, strings.Fields(expand(p.args))...)...)
	soon(t, name+" listens", func() error {
		require.NoError(t, process.Ended())
		conn, err := h.Dial(t.Context(), "tcp", net.JoinHostPort(address, port))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

var unbound = program{path: "/usr/sbin/unbound", args: "-d -c $DIR/conf", config: `remote-control:
  control-enable: no
server:
  interface: $ADDRESS@$PORT
  access-control: 10.0.0.0/8 allow
  do-ip6: no
  num-threads: 1
  username: ""
  chroot: ""
  directory: ""
  pidfile: ""
  use-syslog: no
  unblock-lan-zones: yes
  module-config: "validator iterator"
  qname-minimisation-strict: yes
  use-caps-for-id: yes
  aggressive-nsec: yes
  rrset-roundrobin: no
`, anchor: "  trust-anchor: \"%s DNSKEY %d %d %d %s\"\n"}

const namedArgs = "-g -4 -n 1 -c $DIR/conf"

var named = program{path: "/usr/sbin/named", args: namedArgs, config: `options {
	directory "$DIR";
	pid-file none;
	session-keyfile "$DIR/session.key";
	listen-on port $PORT { $ADDRESS; };
	empty-zones-enable no;
	qname-minimization strict;
	dnssec-validation yes;
};
controls { };
`, anchor: "trust-anchors { %s static-key %d %d %d \"%s\"; };\n"}

var kresd = program{path: "/usr/sbin/kresd", args: "-n -c $DIR/conf $DIR", config: `net.ipv6 = false
net.listen('$ADDRESS', $PORT)
cache.size = 10 * MB
cache.min_ttl(0)
trust_anchors.remove('.')
for _, each in ipairs({'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew'}) do modules.unload(each) end
`, anchor: "trust_anchors.add('%s DNSKEY %d %d %d %s')\n"}

// secondaryProgram is one with what its configuration has for a zone: before its primaries, for each of them, and after.
// None needs to ask by itself: it is told.
type secondaryProgram struct {
	*program
	zone, primary, end string
}

var secondaryPrograms = map[string]secondaryProgram{
	"BIND": {&program{path: "/usr/sbin/named", args: namedArgs, config: `options {
	directory "$DIR";
	pid-file none;
	session-keyfile "$DIR/session.key";
	listen-on port $PORT { $ADDRESS; };
	recursion no;
	notify no;
	dnssec-validation no;
	allow-transfer { any; };
	max-records-per-type 0;
	min-refresh-time 3600;
};
controls { };
`}, "zone %q { type secondary; file %[1]q; primaries {", " %s;", " }; };\n"},
	"NSD": {&program{path: "/usr/sbin/nsd", args: "-d -c $DIR/conf", config: `server:
  ip-address: $ADDRESS@$PORT
  server-count: 1
  username: ""
  zonesdir: "$DIR"
  database: ""
  zonelistfile: "$DIR/list"
  xfrdfile: ""
  xfrdir: "$DIR"
  pidfile: ""
remote-control:
  control-enable: no
`}, "zone:\n  name: %s\n  zonefile: %[1]s\n  provide-xfr: 0.0.0.0/0 NOKEY\n  min-refresh-time: 3600\n",
		"  request-xfr: %s NOKEY\n  allow-notify: %[1]s NOKEY\n", ""},
	"Knot": {&program{path: "/usr/sbin/knotd", args: "-c $DIR/conf", config: `server:
  rundir: $DIR
  listen: $ADDRESS@$PORT
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: $DIR
log:
  - target: stderr
    any: info
remote:
  - id: $SERVER
    address: $SERVER
  - id: $OTHER
    address: $OTHER
acl:
  - id: all
    action: [notify, transfer]
zone:
`}, "  - domain: %s\n    acl: all\n    zonefile-sync: -1\n    refresh-min-interval: 3600\n", "    master: %s\n", ""},
}
