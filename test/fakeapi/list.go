package fakeapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// page is where a list goes on: clients hand it back unread.
type page struct {
	Version uint64 `json:"version"` // 0 for the newest
	After   string `json:"after"`   // the last key shown
}

func (p page) encode() string {
	text, _ := json.Marshal(p) // two plain fields cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

func decodePage(token string) (page, error) {
	var p page
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return page{}, apierrors.NewBadRequest("continue key is not valid: " + err.Error())
	}
	return p, nil
}

func (s *Server) list(r route, opts *internalversion.ListOptions) (runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	start, err := s.listFrom(opts)
	if err != nil {
		return nil, err
	}
	limit := opts.Limit
	if opts.ResourceVersion == "0" && !s.conf.noWatchCache {
		limit = 0 // the watch cache ignores it
	}

	all, sel := s.store.at(r.kind, start.Version), r.selection(opts)
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool {
		return key <= start.After || !sel.matches(all[key])
	})
	meta := metav1.ListMeta{ResourceVersion: format(start.Version)}
	if limit > 0 && int64(len(keys)) > limit {
		left := int64(len(keys)) - limit
		keys = keys[:limit]
		meta.Continue = page{start.Version, keys[limit-1]}.encode()
		if sel.labels.Empty() && sel.fields.Empty() { // etcd counts before it selects
			meta.RemainingItemCount = &left
		}
	}
	objects := make([]object, len(keys))
	for i, key := range keys {
		objects[i] = all[key]
	}
	return r.kind.list(objects, meta), nil
}

// listFrom decides which moment a list shows: the newest, unless the request insists on one.
func (s *Server) listFrom(opts *internalversion.ListOptions) (page, error) {
	newest := page{Version: s.store.version}
	if opts.Continue != "" {
		p, err := decodePage(opts.Continue)
		switch {
		case err != nil:
			return page{}, err
		case p.Version == 0:
			return page{s.store.version, p.After}, nil
		case p.Version < s.store.compacted:
			expired := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result.")
			expired.ErrStatus.Continue = page{After: p.After}.encode() // for an inconsistent rest
			return page{}, expired
		}
		return p, nil
	}
	version, err := parseVersion(opts.ResourceVersion)
	exact := opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		opts.ResourceVersionMatch == "" && opts.Limit > 0
	switch {
	case err != nil:
		return page{}, err
	case version == 0:
		return newest, nil
	case version > s.store.version:
		return page{}, tooLarge(version, s.store.version)
	case !exact:
		return newest, nil
	case version < s.store.compacted:
		return page{}, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return page{Version: version}, nil
}

// parseVersion takes both forms of "any version" for 0.
func parseVersion(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version %q: %v", text, err))
	}
	return version, nil
}

// tooLarge names no time to retry after: client-go would wait that long ten times over before it says anything.
func tooLarge(version, newest uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", version, newest), 0)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}
