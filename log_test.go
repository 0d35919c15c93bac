package longnames

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi"
	"github.com/longnames/longnames/kubeapi/manifest"
)

const forged = "2026/01/01 00:00:00 [ERROR] plugin/longnames: erl.internal. Cluster erl.internal.: no longer members: all"

// hostile is what nothing in Kubernetes may be called, and what everything is called here.
var hostile = []string{
	"web\n" + forged, "web\r\n" + forged + "\r\n", "\x1b[2K\x1b[1A" + forged, "web\u2028" + forged, "web\u0085" + forged,
	"\u202e" + forged, "\xff\xfe\x80", "\x00", " \t", `"` + forged, "%s%d%!", strings.Repeat("\n"+forged, 500),
	"erl.internal. Cluster erl.internal.: no longer members: all",
}

// ofUs matches a line that the plugin logs as it has to be.
var ofUs = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(INFO|WARNING|ERROR)\] plugin/longnames: (.*)$`)

// checkLines wants lines that print, and of which none is, or begins as, one that says something else.
func checkLines(t *testing.T, what, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		m := ofUs.FindStringSubmatch(line)
		switch {
		case m == nil:
			t.Errorf("%s: got the line %.200q, want all lines to be of the plugin", what, line)
		case strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(line):
			t.Errorf("%s: got the line %.200q, want no character that does not print", what, line)
		case strings.HasPrefix(m[2], "erl.internal. Cluster erl.internal.: no longer members: all"):
			t.Errorf("%s: got the line %.200q, which is made up", what, line)
		case len(m[2]) > 5*maxLine: // if nothing prints
			t.Errorf("%s: got a line of %d bytes", what, len(line))
		}
	}
}

// setter sets the string of some index among all that an object has, or could have.
type setter struct {
	left int
	text string
	path string // of the one that was set
}

func (s *setter) visit(v reflect.Value, path string, depth int) {
	if s.path != "" || depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		if s.left == 0 {
			v.SetString(s.text)
			s.path = path
		}
		s.left--
	case reflect.Pointer:
		if was := reflect.ValueOf(v.Interface()); v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			if s.visit(v.Elem(), path, depth+1); s.path == "" {
				v.Set(was) // for that it is there may mean something
			}
			return
		}
		s.visit(v.Elem(), path, depth+1)
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if s.visit(v.Index(0), path+"[0]", depth+1); s.path == "" {
				v.SetZero()
			}
			return
		}
		for i := range v.Len() {
			s.visit(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case reflect.Map:
		if v.Type() != reflect.TypeFor[map[string]string]() {
			return
		}
		for _, k := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			if s.visit(value, path+"["+k.String()+"]", depth+1); s.path != "" {
				v.SetMapIndex(k, value)
				return
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				s.visit(v.Field(i), path+"."+f.Name, depth+1)
			}
		}
	}
}

func hostilePod() any {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "prod", Labels: map[string]string{"app": "web", "other": "web"}},
		Spec: corev1.PodSpec{Hostname: "web-0", Subdomain: "web", Containers: []corev1.Container{{
			Ports: []corev1.ContainerPort{{Name: "dist", ContainerPort: 9100, Protocol: corev1.ProtocolTCP}}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func hostileSlice() any {
	name, host, port := "dist", "web-0", int32(9100)
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "web-abcde", Namespace: "prod", Labels: map[string]string{
			"app": "web", "other": "web", discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Hostname: &host,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "web-0"}}},
	}
}

// labelValues gives all label values of all metrics.
func labelValues(t *testing.T) map[string]bool {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				all[f.GetName()+" "+l.GetName()+"="+l.GetValue()] = true
			}
		}
	}
	return all
}

// Whatever an object has in whichever field, it forges no line of the log, and no metric has a label of it.
func TestObjectsCannotForgeLogLines(t *testing.T) {
	blocks := map[string]string{
		"hostname": "longnames erl.internal {\n group_by app\n mode hostname\n port dist\n hold 1m\n}",
		"dns":      "longnames erl.internal {\n selector any\n basename label other\n mode dns\n port none\n}",
		"ip":       "longnames erl.internal 10.0.0.0/8 {\n selector any\n basename app\n port none\n}",
	}
	for kind, object := range map[string]func() any{"pod": hostilePod, "slice": hostileSlice} {
		for name, block := range blocks {
			c := configOf(t, block)
			shrinker := kubeapi.NewShrinker(&c.source)
			good, err := shrinker.Shrink(object())
			if err != nil {
				t.Fatal(err)
			}
			run := func(o *kubeapi.Object) string {
				return logged(t, func() {
					table := tableOf(c)
					a := auditOf(table)
					defer a.close()
					for _, changes := range [][]kubeapi.Change{{{New: o}}, {{Old: o}}, {{New: good}}, {{Old: good, New: o}}, {{Old: o}}} {
						table.Apply(changes)
						a.scan()
					}
				})
			}
			run(good)
			before, fields, lines := labelValues(t), 0, 0
			for _, text := range []string{strings.Join(hostile[:len(hostile)-2], ""), hostile[len(hostile)-2], hostile[len(hostile)-1]} {
				for n := 0; ; n++ {
					o, s := object(), &setter{left: n, text: text}
					if s.visit(reflect.ValueOf(o).Elem(), "", 0); s.path == "" {
						break
					}
					fields++
					shrunk, err := shrinker.Shrink(o)
					if err != nil {
						t.Fatal(err)
					}
					got := run(shrunk)
					lines += strings.Count(got, "\n")
					checkLines(t, fmt.Sprintf("%s, %s, %s = %.20q", name, kind, s.path, text), got)
				}
			}
			if fields < 100 || lines < fields {
				t.Errorf("%s, %s: got %d fields and %d lines, want more", name, kind, fields, lines)
			}
			for label := range labelValues(t) {
				if !before[label] {
					t.Errorf("%s, %s: got a metric with the new label %.200q", name, kind, label)
				}
			}
		}
	}
}

// Nor does what files have, or what others say.
func TestOthersCannotForgeLogLines(t *testing.T) {
	for _, text := range hostile {
		what := fmt.Sprintf("%.20q", text)
		checkLines(t, what+" by a block", logged(t, func() {
			var l kubeapi.Logger = zoneLog{"a.internal."}
			l.Infof("%s", text)
			l.Warningf("%v", errors.New(text))
			l.Errorf("%s: %v", text, netip.Addr{})
			l.Debugf("%s", text)
		}))
		checkLines(t, what+" without a block", logged(t, func() { log.Warningf("x %s", text) }))
		for _, format := range []string{
			"kind: %s\nmetadata: {name: a}\n", "kind: Pod\napiVersion: v1\nmetadata: {name: %s}\n", "%s: [\n",
			"kind: Pod\napiVersion: v1\nmetadata: {name: a, namespace: %s}\n", "kind: Pod\napiVersion: %s\nmetadata: {name: a}\n",
			"kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {hostname: {%s: 1}}\n",
		} {
			file := filepath.Join(t.TempDir(), "members.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, format, strings.ReplaceAll(fmt.Sprintf("%q", text), `\x`, `\u00`)), 0o600); err != nil {
				t.Fatal(err)
			}
			checkLines(t, what+" in a file", logged(t, func() {
				source, err := manifest.New(kubeapi.Config{Lookup: kubeapi.Pods, Manifests: []string{file}, Log: zoneLog{"a.internal."}})
				if err != nil {
					zoneLog{"a.internal."}.Errorf("%v", err) // CoreDNS does not start
					return
				}
				table := newTable(configOf(t, ipBlock))
				source.Join(table)
				<-table.done
				<-source.Leave(table)
			}))
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, text := range hostile[:len(hostile)-2] {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		line := zoneLog{}.line("%s", text)
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(line) {
			t.Errorf("got %q, want what prints", line)
		}
		isPlain := utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
		if isPlain && len(text) <= maxLine && line != text {
			t.Errorf("got %q, want %q as it is", line, text)
		}
	})
}
