package test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/metrics"
	"github.com/miekg/dns"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/test/fakeapi"
)

// unknownToo has two blocks, of which late.internal cannot be read.
func unknownToo(t *testing.T, more string) string {
	t.Helper()
	api := fakeapi.New(t)
	api.Fail(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "not yet")
	return "internal:0 {\nbind 127.0.0.1\n" + more + "\n" + block("erl.internal", podsAt(t, "10.0.0.1"), "") + `
		longnames late.internal {
			endpoint ` + api.URL + `
			namespaces prod
			selector app=web
			basename app
			startup_timeout 10ms
		}
	}`
}

// tryLog asks for one answer of each class.
func tryLog(t *testing.T) {
	const format = `log . "{type} {name} {class}: {rcode} {>rflags}"`
	success := "[INFO] TXT erl.internal. IN: NOERROR qr,aa,rd"
	denial := []string{
		"[INFO] A nobody.erl.internal. IN: NXDOMAIN qr,aa,rd",
		"[INFO] AAAA erl.internal. IN: NOERROR qr,aa,rd",
	}
	failure := []string{
		"[INFO] AXFR erl.internal. IN: REFUSED qr,rd",
		"[INFO] TXT late.internal. IN: SERVFAIL qr,rd",
	}
	for _, tc := range []struct {
		name, plugin string
		want         []string
	}{
		{"all", format, slices.Concat(denial, failure, []string{success})},
		{"success", format + " {\nclass success\n}", []string{success}},
		{"denial", format + " {\nclass denial\n}", denial},
		{"error", format + " {\nclass error\n}", failure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, unknownToo(t, tc.plugin))
			messages := listenToLog(t)
			// A line is written once the answer has been sent: all of the first round are there before
			// the last ones of the second, also those of other classes.
			askForEachClass(s)
			askForEachClass(s)
			want := slices.Concat(tc.want, tc.want)
			var got []string
			eventually(t, fmt.Sprintf("%d lines", len(want)), func() bool {
				got = messages.lines("[INFO] ")
				return len(got) >= len(want)
			})
			slices.Sort(got)
			slices.Sort(want)
			same(t, "lines", got, want)
		})
	}
	t.Run("the standard format", func(t *testing.T) {
		s := start(t, unknownToo(t, "log"))
		messages := listenToLog(t)
		s.wants("erl.internal.", "TXT", "app@10.0.0.1")
		want := regexp.MustCompile(`^\[INFO\] 127\.0\.0\.1:\d+ - \d+ "TXT IN erl\.internal\. udp \d+ false 1232" NOERROR qr,aa,rd \d+ [\d.]+s$`)
		eventually(t, "a line", func() bool { return len(messages.lines("[INFO] ")) > 0 })
		if got := messages.lines("[INFO] "); len(got) != 1 || !want.MatchString(got[0]) {
			t.Errorf("got %q, want one line like %s", got, want)
		}
	})
}

func askForEachClass(s *server) {
	s.tb.Helper()
	s.wants("erl.internal.", "TXT", "app@10.0.0.1")
	s.wantsRcode("nobody.erl.internal.", "A", "NXDOMAIN")
	s.wants("erl.internal.", "AAAA")
	s.wantsRcode("late.internal.", "TXT", "SERVFAIL")
	s.wantsRcode("erl.internal.", "AXFR", "REFUSED")
}

// tryErrors checks that no question is an error of CoreDNS: why one cannot be answered is in our own log.
func tryErrors(t *testing.T) {
	messages := listenToLog(t)
	s := start(t, unknownToo(t, "errors"))
	for range 3 {
		askForEachClass(s)
	}
	same(t, "errors", messages.lines("[ERROR] plugin/errors"), []string{})
	eventually(t, "longnames says why late.internal is not known", func() bool {
		return len(messages.lines("[ERROR] plugin/longnames: late.internal. API server answers 503")) == 1
	})
}

// responses gives how many answers prometheus has counted in a zone, by response code.
func responses(t *testing.T, address, zone string) map[string]int {
	t.Helper()
	_, text := httpGet(t, "http://"+address+"/metrics")
	out := make(map[string]int)
	line := regexp.MustCompile(`(?m)^coredns_dns_responses_total\{.*rcode="(\w+)",.*zone="` + regexp.QuoteMeta(zone) + `"\} (\d+)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		out[m[1]] += n
	}
	return out
}

func tryPrometheus(t *testing.T) {
	address := freeAddress(t)
	s := start(t, unknownToo(t, "prometheus "+address))
	want := responses(t, address, "internal.")
	for rcode, more := range map[string]int{"NOERROR": 2, "NXDOMAIN": 1, "SERVFAIL": 1, "REFUSED": 1} {
		want[rcode] += more
	}
	askForEachClass(s)
	// An answer is counted once it has been sent.
	eventually(t, fmt.Sprintf("answers are counted as %v", want), func() bool {
		return maps.Equal(responses(t, address, "internal."), want)
	})
	_, text := httpGet(t, "http://"+address+"/metrics")
	if want := "coredns_longnames_members"; !strings.Contains(text, "\n"+want+"{") {
		t.Errorf("metrics: got none of %s", want)
	}
}

// tryNSID wants both in one answer, ours and that of nsid.
func tryNSID(t *testing.T) {
	s := start(t, unknownToo(t, "nsid replica-1"))
	for _, tc := range []struct {
		name string
		want string
	}{
		{"erl.internal.", "NOERROR [replica-1]"},
		{"late.internal.", fmt.Sprintf("SERVFAIL [%d replica-1]", dns.ExtendedErrorCodeNotReady)},
	} {
		m := new(dns.Msg).SetQuestion(tc.name, dns.TypeTXT)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID})
		answer, err := s.exchange(m, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %s", dns.RcodeToString[answer.Rcode], options(t, answer)); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}
