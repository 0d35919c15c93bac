package kubeapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

const (
	// aMoment is how long a source in a hurry waits in silence.
	aMoment    = time.Second
	silentLine = "WARNING|watch of pods|cannot be relied on: nothing has come for 1s"
	wentLine   = "WARNING|watch of pods|cannot be relied on: versions went back"
)

func hurry(w *watcher) { w.times.silence = aMoment }

// The fake API server sends bookmarks only when a test asks for it: it is silent by nature.
func TestSilentWatchIsRenewedByAFreshList(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		opts   []fakeapi.Option
		change func(*Config)
		first  string
		want   []string // requests of each round
	}{
		{"with WatchList", nil, nil, "watch -", []string{"watch -"}},
		{"cached", nil, func(c *Config) { c.Cached = true }, "watch 0", []string{"watch -"}},
		{"without WatchList", []fakeapi.Option{fakeapi.WithoutWatchList()}, nil, "watch -", []string{"watch -", "list -", "watch 3"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"), kubetest.NewPod("prod/b", "10.0.0.2"))
			w := watchWith(t, api.URL, tc.change, hurry)
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			w.reset()
			const rounds = 3
			start := time.Now()
			requests := asked(api.WaitForRequests((rounds + 1) * len(tc.want)))
			if got, want := time.Since(start), (rounds-1)*aMoment; got < want {
				t.Errorf("want %d lists to take %v at least, got %v", rounds, want, got)
			}
			want := slices.Repeat(tc.want, rounds+1)
			want[0] = tc.first
			if got := requests[:len(want)]; !slices.Equal(got, want) {
				t.Errorf("want %q, got %q", want, got)
			}
			if w.fewest < 2 || len(w.calls()) > 0 {
				t.Errorf("want no change, got %+v", w.calls())
			}
			w.log.Want(t, silentLine)
			if got := slices.Compact(w.monitor.reasons()); !slices.Equal(got, []string{WatchSilent}) {
				t.Errorf("want only silent watches, got %q", got)
			}
			w.wantSynced(t, 1)
		})
	}
}

func TestVersionsThatWentBackAreNoticed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		opts   []fakeapi.Option
		notice func(*fakeapi.Server)
		want   []string // requests after the restore
		log    string
		reason string
	}{
		{"by a bookmark", nil, func(api *fakeapi.Server) { api.Bookmark() }, []string{"watch -"}, wentLine, WatchBackwards},
		{"by an event", nil, func(api *fakeapi.Server) {
			old := kubetest.NewPod("prod/a", "10.0.0.1")
			old.ResourceVersion = "1"
			api.Send(watch.Modified, old)
		}, []string{"watch -"}, wentLine, WatchBackwards},
		{"by a bookmark, without WatchList", []fakeapi.Option{fakeapi.WithoutWatchList()}, func(api *fakeapi.Server) { api.Bookmark() }, []string{"watch -", "list -", "watch 1"}, wentLine, WatchBackwards},
		{"by silence", nil, func(api *fakeapi.Server) { api.EndWatches() }, []string{"watch 4", "watch -"}, silentLine, WatchSilent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"), kubetest.NewPod("prod/b", "10.0.0.2"))
			w := watchWith(t, api.URL, nil, func(w *watcher) {
				if tc.reason == WatchSilent {
					w.times.silence = 3 * aMoment // the first watch shall not fall silent
				}
			})
			api.WaitForWatches(1)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			seen := len(api.Requests())
			w.reset()
			api.Rewind(1)
			tc.notice(api)
			if got := asked(api.WaitForRequests(seen + len(tc.want)))[seen:]; !slices.Equal(got[:len(tc.want)], tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
			api.Put(kubetest.NewPod("prod/b", "10.0.0.9"))
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.9")
			if w.fewest < 2 {
				t.Errorf("want 2 objects at least at any time, got %d", w.fewest)
			}
			w.log.Want(t, strings.Replace(tc.log, "1s", "3s", 1))
			if got := w.monitor.reasons(); !slices.Contains(got, tc.reason) {
				t.Errorf("want %q among the reasons, got %q", tc.reason, got)
			}
		})
	}
}

// A connection whose other end is gone takes requests, and brings nothing. HTTP/1.1 gives it up with
// the request. Over HTTP/2, the next request would use it again, if it did not fail a ping.
func TestHalfOpenConnectionIsGivenUp(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	for _, tc := range []struct {
		name  string
		opts  []fakeapi.Option
		hurry func(*watcher)
	}{
		{"HTTP/1.1", nil, hurry},
		{"HTTP/2", []fakeapi.Option{fakeapi.WithTLS()}, hurry},
		{"HTTP/2, by pings alone", []fakeapi.Option{fakeapi.WithTLS()}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			api := fakeapi.New(t, tc.opts...)
			p := newProxy(t, api)
			api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
			dir := t.TempDir()
			w := watchWith(t, p.URL, func(c *Config) {
				if strings.HasPrefix(p.URL, "https:") {
					c.CertFile, c.KeyFile, c.CAFile = api.WriteTLS(dir)
				}
			}, tc.hurry)
			w.eventually(t, "prod/a 10.0.0.1")
			w.reset()
			before := p.connections()
			p.lose()
			api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
			w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
			if got := p.connections(); got <= before {
				t.Errorf("want a new connection, got %d as before", got)
			}
			if w.fewest < 1 {
				t.Error("want the known member to stay, got none for a while")
			}
		})
	}
}

func TestNoAnswerAtAll(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	p := newProxy(t, api)
	p.dead.Store(true)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w := watchWith(t, p.URL, nil, func(w *watcher) { w.times.silence, w.times.settle = 3*time.Second, aMoment })
	w.log.Eventually(t, lostLine+"|nothing has come for 3s")
	w.wantSynced(t, 0)
	if got := w.monitor.timesHeard(); got > 0 {
		t.Errorf("want no sign of life, got %d", got)
	}
	p.dead.Store(false)
	w.eventually(t, "prod/a 10.0.0.1")
	w.log.Eventually(t, lostLine, regainedLine)
	if got := w.monitor.reasons(); len(got) == 0 || got[0] != WatchSilent {
		t.Errorf("want watches that were silent, got %q", got)
	}
}

// script answers requests for pods in JSON, and keeps what was asked: watches without
// their initial events if streamed is not set.
type script struct {
	streamed bool
	list     func(w http.ResponseWriter, r *http.Request)
	watch    func(w http.ResponseWriter, r *http.Request, n int) // the nth request

	mu    sync.Mutex
	asked []string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	verb := "list"
	if q.Has("watch") {
		verb = "watch"
	}
	s.mu.Lock()
	s.asked = append(s.asked, verb+" "+q.Get("resourceVersion"))
	n := len(s.asked)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case verb == "list":
		s.list(w, r)
	case q.Has("sendInitialEvents") && !s.streamed:
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	default:
		s.watch(w, r, n)
		_ = http.NewResponseController(w).Flush()
	}
}

func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *script) serve(t *testing.T) (url string) {
	t.Helper()
	api := httptest.NewServer(s)
	t.Cleanup(api.Close)
	return api.URL
}

const (
	podList  = `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[` + aPod + `]}`
	aPod     = `{"kind":"Pod","apiVersion":"v1","metadata":{"namespace":"prod","name":"a","resourceVersion":"2"},"status":{"podIP":"10.0.0.1"}}`
	addedPod = `{"type":"ADDED","object":` + aPod + `}` + "\n"
	lastPod  = `{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"5","annotations":{"k8s.io/initial-events-end":"true"}}}}` + "\n"
)

// stall sends nothing any more until the client has had enough.
func stall(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// A proxy that holds streams back must not keep members from being known.
func TestStreamedListThatDoesNotComeIsReplacedByAList(t *testing.T) {
	t.Parallel()
	event := func(version string) string {
		return `{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"` + version + `"}}}` + "\n"
	}
	for _, tc := range []struct {
		name   string
		cached bool
		stream string // that comes of it
		reason string
		want   []string
	}{
		{"not at all", false, "", WatchSilent, []string{"watch ", "list "}},
		{"half", false, addedPod, WatchSilent, []string{"watch ", "list "}},
		{"half, from the cache", true, addedPod, WatchSilent, []string{"watch 0", "list "}},
		{"versions go back in it", false, event("9") + event("4"), WatchBackwards, []string{"watch ", "list "}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := &script{
				streamed: true,
				list:     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, podList) },
				watch: func(w http.ResponseWriter, r *http.Request, _ int) {
					fmt.Fprint(w, tc.stream)
					stall(w, r)
				},
			}
			w := watchWith(t, api.serve(t), func(c *Config) { c.Cached = tc.cached }, hurry)
			w.eventually(t, "prod/a 10.0.0.1")
			if got := api.requests()[:2]; !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
			if got := w.monitor.reasons(); got[0] != tc.reason {
				t.Errorf("want reason %q first, got %q", tc.reason, got)
			}
		})
	}
}

// An API server, or a proxy, that ends each watch after an event must not be flooded.
func TestWatchThatIsEndedAgainAndAgain(t *testing.T) {
	t.Parallel()
	api := &script{
		list: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, podList) },
		watch: func(w http.ResponseWriter, _ *http.Request, _ int) {
			fmt.Fprint(w, strings.ReplaceAll(lastPod, `"5"`, `"6"`))
		},
	}
	start := time.Now()
	w := watchWith(t, api.serve(t), nil, nil)
	w.eventually(t, "prod/a 10.0.0.1")
	const watches = 3
	kubetest.Eventually(t, func() (bool, string) {
		got := len(w.monitor.reasons())
		return got >= watches, fmt.Sprintf("want %d watches, got %d", watches, got)
	})
	if got, want := time.Since(start), (watches-1)*shortestWatch; got < want {
		t.Errorf("want %d watches to take %v at least, got %v", watches, want, got)
	}
}

func TestListThatStallsIsAskedForAgain(t *testing.T) {
	t.Parallel()
	lists := 0
	api := &script{
		list: func(w http.ResponseWriter, r *http.Request) {
			if lists++; lists == 1 {
				fmt.Fprint(w, podList[:20])
				stall(w, r)
				return
			}
			fmt.Fprint(w, podList)
		},
		watch: func(w http.ResponseWriter, r *http.Request, _ int) { stall(w, r) },
	}
	w := watchWith(t, api.serve(t), nil, hurry)
	w.eventually(t, "prod/a 10.0.0.1")
	want := []string{"watch ", "list ", "watch ", "list "}
	if got := api.requests(); len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("want %q, got %q", want, got)
	}
	w.log.Want(t, lostLine+"|cannot list pods|nothing has come for 1s", regainedLine)
}

// A watch that opens well and then ends in an error, again and again, is one line.
func TestErrorsThatRepeatAreToldOnce(t *testing.T) {
	t.Parallel()
	const no500 = `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"etcd"}}`
	for _, tc := range []struct {
		name   string
		sends  string
		log    string
		reason string
	}{
		{"an error", no500, "ERROR API server answers 500", WatchServerError},
		{"junk", "junk", junkLine, WatchInvalid},
		{"half an object", addedPod[:60], lostLine + "|closed at once", WatchClosed},
		{"an unknown event", strings.Replace(addedPod, "ADDED", "SIDEWAYS", 1), junkLine, WatchInvalid},
		{"an object of an unknown kind", strings.Replace(addedPod, `"Pod"`, `"Odd"`, 1), junkLine, WatchInvalid},
		{"nothing", "", lostLine + "|closed at once", WatchClosed},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", tc.name, streamed), func(t *testing.T) {
				t.Parallel()
				api := &script{
					streamed: streamed,
					list:     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, podList) },
					watch: func(w http.ResponseWriter, r *http.Request, _ int) {
						if r.URL.Query().Has("sendInitialEvents") {
							fmt.Fprint(w, addedPod, lastPod)
						}
						fmt.Fprint(w, tc.sends)
					},
				}
				w := watchWith(t, api.serve(t), nil, nil)
				kubetest.Eventually(t, func() (bool, string) {
					got := w.monitor.reasons()
					return len(got) >= 4, fmt.Sprintf("want 4 watches that ended, got %q", got)
				})
				w.stop()
				if got := slices.Compact(w.monitor.reasons()); !slices.Equal(got, []string{tc.reason}) {
					t.Errorf("want only %q, got %q", tc.reason, got)
				}
				w.log.Want(t, tc.log)
				w.want(t, "prod/a 10.0.0.1")
			})
		}
	}
}

// After a 410, a reflector asks for no version, and after another one again, at once.
func TestServerThatKnowsNoVersionIsNotFlooded(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w := watchAPI(t, api, nil)
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	api.Fail(410, metav1.StatusReasonExpired, "")
	start := time.Now()
	api.Cut()
	w.log.Eventually(t, "ERROR API server answers 500")
	requests := len(api.WaitForRequests(8))
	if limit := 10 + 10*int(time.Since(start)/time.Second); requests > limit {
		t.Errorf("want %d requests at most, got %d", limit, requests)
	}
	api.Recover()
	api.Put(kubetest.NewPod("prod/b", "10.0.0.2"))
	w.eventually(t, "prod/a 10.0.0.1", "prod/b 10.0.0.2")
	w.log.Eventually(t, "ERROR API server answers 500", regainedLine)
}
