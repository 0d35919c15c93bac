package kubeapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/longnames/longnames/kubeapi/internal/kubetest"
	"github.com/longnames/longnames/test/fakeapi"
)

func TestRequestsAreToldWithVerbAndCode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		opts  []fakeapi.Option
		fault func(*fakeapi.Server)
		want  []string // the first ones
	}{
		{"a streamed list", nil, nil, []string{"watch 200"}},
		{"a list, then a watch", []fakeapi.Option{fakeapi.WithoutWatchList()}, nil, []string{"watch 422", "list 200", "watch 200"}},
		{"forbidden", nil, func(api *fakeapi.Server) { api.Fail(http.StatusForbidden, metav1.StatusReasonForbidden, "no") }, []string{"watch 403"}},
		{"broken", nil, func(api *fakeapi.Server) {
			api.Fail(http.StatusInternalServerError, metav1.StatusReasonInternalError, "no")
		}, []string{"watch 500"}},
		{"away", nil, func(api *fakeapi.Server) { api.Stop() }, []string{"watch 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			api := fakeapi.New(t, tc.opts...)
			if tc.fault != nil {
				tc.fault(api)
			}
			w := watchAPI(t, api, nil)
			kubetest.Eventually(t, func() (bool, string) {
				got := w.monitor.requested()
				return len(got) >= len(tc.want), fmt.Sprintf("requests: want %q, got %q", tc.want, got)
			})
			if got := w.monitor.requested()[:len(tc.want)]; !slices.Equal(got, tc.want) {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

// As many as the API server has seen, over all that can happen to a watch.
func TestEveryRequestIsToldOnce(t *testing.T) {
	t.Parallel()
	api := fakeapi.New(t)
	api.Put(kubetest.NewPod("prod/a", "10.0.0.1"))
	w := watchAPI(t, api, nil)
	w.synced(t, api, 1, "prod/a 10.0.0.1")
	api.Cut()
	api.WaitForOpened(2)
	api.Compact()
	api.EndWatches()
	api.WaitForOpened(3)
	kubetest.Eventually(t, func() (bool, string) {
		var want, got []string
		for _, r := range api.Requests() {
			want = append(want, r.Verb)
		}
		for _, text := range w.monitor.requested() {
			verb, _, _ := strings.Cut(text, " ")
			got = append(got, verb)
		}
		return slices.Equal(got, want), fmt.Sprintf("want %q, got %q", want, got)
	})
}

// A request that was ended from here has no status.
func TestWhatIsToldOfARequestWithoutAnswer(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(cancel context.CancelFunc, tracker *requestTracker)
		want []int
	}{
		{"nothing comes", func(context.CancelFunc, *requestTracker) {}, []int{0}},
		{"nobody wants it any more", func(cancel context.CancelFunc, _ *requestTracker) { cancel() }, nil},
		{"it is let go", func(_ context.CancelFunc, tracker *requestTracker) { tracker.end() }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var got []int
				tracker := newRequestTracker(ctx, silenceLimit, func(code int) { got = append(got, code) })
				defer tracker.end()
				time.AfterFunc(time.Second, func() { tc.end(cancel, tracker) })
				if response, err := trackRequests(slowly(time.Hour)).RoundTrip(requestWith(t, tracker.ctx)); err == nil {
					response.Body.Close()
					t.Fatal("want no answer, got one")
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("codes: want %v, got %v", tc.want, got)
				}
			})
		})
	}
}
