package kubeapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// roundTrip is a transport that a test plays.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// slowly answers after a while, with a byte after each further pause.
func slowly(answer time.Duration, bytes ...time.Duration) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		sleep := func(d time.Duration) error {
			select {
			case <-time.After(d):
				return nil
			case <-r.Context().Done():
				return r.Context().Err()
			}
		}
		if err := sleep(answer); err != nil {
			return nil, err
		}
		body, w := io.Pipe()
		go func() {
			for _, pause := range bytes {
				if err := sleep(pause); err != nil {
					w.CloseWithError(err)
					return
				}
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
			}
			w.Close()
		}()
		return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
	}
}

func TestRequestTrackerEndsInSilence(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name      string
		transport roundTrip
		think     time.Duration // before each Read
		bytes     int
		silent    bool
		lasts     time.Duration
	}{
		{"an answer in time", slowly(minute, minute, minute), 0, 2, false, 3 * minute},
		{"no answer", slowly(time.Hour), 0, 0, true, silenceLimit},
		{"an answer that stops", slowly(minute, minute, time.Hour), 0, 1, true, 2*minute + silenceLimit},
		{"one that is slow, but goes on", slowly(2*minute, 2*minute, 2*minute, 2*minute), 0, 3, false, 8 * minute},
		{"a reader who is slow", slowly(0, 0, 0), time.Hour, 2, false, 3 * time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var codes []int
				tracker := newRequestTracker(t.Context(), silenceLimit, func(code int) { codes = append(codes, code) })
				defer tracker.end()
				bytes := 0
				response, err := trackRequests(tc.transport).RoundTrip(requestWith(t, tracker.ctx))
				if err == nil {
					defer response.Body.Close()
					for ; err == nil; bytes++ {
						time.Sleep(tc.think)
						_, err = response.Body.Read(make([]byte, 1))
					}
					bytes-- // the last one brought none
				}
				if got := errors.Is(tracker.explain(err), errSilent); got != tc.silent {
					t.Errorf("silent: want %v, got %v (%v)", tc.silent, got, err)
				}
				if got := time.Since(start); got != tc.lasts || bytes != tc.bytes {
					t.Errorf("want %d bytes in %v, got %d in %v", tc.bytes, tc.lasts, bytes, got)
				}
				code := 0
				if tracker.answered {
					code = http.StatusOK
				}
				if !slices.Equal(codes, []int{code}) {
					t.Errorf("codes: want %d once, got %v", code, codes)
				}
				if tracker.lost != nil && tc.silent && tracker.answered {
					t.Errorf("want nothing lost but what was given up, got %v", tracker.lost)
				}
			})
		})
	}
}

func TestRequestTrackerExplains(t *testing.T) {
	odd := errors.New("odd")
	for _, tc := range []struct {
		name    string
		tracker requestTracker
		err     error
		want    string
	}{
		{"success", requestTracker{answered: true}, nil, WatchClosed},
		{"no answer", requestTracker{}, refused, WatchUnreachable},
		{"half an answer", requestTracker{answered: true, lost: io.ErrUnexpectedEOF}, odd, WatchUnreachable},
		{"an answer that tells of an error", requestTracker{answered: true}, broken, WatchServerError},
		{"an answer that makes no sense", requestTracker{answered: true}, odd, WatchInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.tracker.ctx = t.Context()
			err := tc.tracker.explain(tc.err)
			if tc.err == nil {
				if err != nil {
					t.Errorf("want no error, got %v", err)
				}
				return
			}
			if got := endReason(err); got != tc.want {
				t.Errorf("want %s, got %s (%v)", tc.want, got, err)
			}
		})
	}
}

func TestOtherRequestsAreNotObserved(t *testing.T) {
	response, err := trackRequests(slowly(0)).RoundTrip(requestWith(t, t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if _, ok := response.Body.(trackedBody); ok {
		t.Error("want the body as it is")
	}
}

func requestWith(t *testing.T, ctx context.Context) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://10.0.0.1/api/v1/pods", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
