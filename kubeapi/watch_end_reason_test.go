package kubeapi

import (
	"errors"
	"fmt"
	"io"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReasonsOfWatchesThatEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"in good order", errClosed, WatchClosed},
		{"silence", untrustedWatch{fmt.Errorf("%w for a while", errSilent)}, WatchSilent},
		{"versions that went back", untrustedWatch{errBackwards}, WatchBackwards},
		{"410 Expired", expired, WatchExpired},
		{"410 Gone", gone, WatchExpired},
		{"a version that is too new", behind, WatchExpired},
		{"401", apierrors.NewUnauthorized("who?"), WatchUnauthorized},
		{"403", forbidden, WatchForbidden},
		{"404", apierrors.NewNotFound(podResource, ""), WatchServerError},
		{"429", overloaded, WatchThrottled},
		{"500", broken, WatchServerError},
		{"503", apierrors.NewServiceUnavailable("not yet"), WatchServerError},
		{"an error without a code", &apierrors.StatusError{ErrStatus: metav1.Status{}}, WatchUnreachable},
		{"refused", refused, WatchUnreachable},
		{"a lost connection", unreachable{io.ErrUnexpectedEOF}, WatchUnreachable},
		{"junk", undecodable{errors.New("junk")}, WatchInvalid},
		{"junk that tells of an error", undecodable{broken}, WatchInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := endReason(tc.err); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
		})
	}
}
