package fakeapi

import (
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metascheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// route is where a request leads.
type route struct {
	request Request
	kind    *kind // nil for a path that is not served
}

func routeOf(r *http.Request) route {
	req := Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(),
		Verb: strings.ToLower(r.Method), User: commonName(r),
	}
	for _, k := range kinds {
		base := "/api/" + k.Version + "/"
		if k.Group != "" {
			base = "/apis/" + k.Group + "/" + k.Version + "/"
		}
		rest, ok := strings.CutPrefix(r.URL.Path, base)
		if !ok {
			continue
		}
		var namespace string
		if scoped, ok := strings.CutPrefix(rest, "namespaces/"); ok {
			namespace, rest, _ = strings.Cut(scoped, "/")
		}
		if rest != k.resource || r.Method != http.MethodGet {
			continue
		}
		req.Verb, req.Group, req.Resource, req.Namespace = "list", k.Group, k.resource, namespace
		if opts, err := decode(req); err == nil && opts.Watch {
			req.Verb = "watch"
		}
		return route{req, k}
	}
	return route{request: req}
}

func decode(req Request) (*internalversion.ListOptions, error) {
	opts := &internalversion.ListOptions{}
	if err := metascheme.ParameterCodec.DecodeParameters(req.Query, metav1.SchemeGroupVersion, opts); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return opts, nil
}

// options reads and checks the query with the API server's own defaults and rules.
func (r route) options(noWatchList bool) (*internalversion.ListOptions, error) {
	switch {
	case r.request.Method != http.MethodGet:
		return nil, apierrors.NewMethodNotSupported(r.request.groupResource(), r.request.Verb)
	case r.kind == nil:
		return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, r.request.Verb, schema.GroupResource{}, "", "", 0, true)
	}
	opts, err := decode(r.request)
	if err != nil {
		return nil, err
	}
	internalversion.SetListOptionsDefaults(opts, !noWatchList)
	if errs := validation.ValidateListOptions(opts, !noWatchList); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	if opts.LabelSelector == nil {
		opts.LabelSelector = labels.Everything()
	}
	if opts.FieldSelector == nil {
		opts.FieldSelector = fields.Everything()
	}
	known := r.kind.fields(r.kind.empty())
	for _, term := range opts.FieldSelector.Requirements() {
		if !known.Has(term.Field) {
			return nil, apierrors.NewBadRequest("field label not supported: " + term.Field)
		}
	}
	return opts, nil
}

// selection is the part of the objects that a request is about.
type selection struct {
	kind      *kind
	namespace string // empty for all
	labels    labels.Selector
	fields    fields.Selector
}

func (r route) selection(opts *internalversion.ListOptions) selection {
	return selection{r.kind, r.request.Namespace, opts.LabelSelector, opts.FieldSelector}
}

func (s selection) matches(o object) bool {
	return (s.namespace == "" || s.namespace == o.GetNamespace()) &&
		s.labels.Matches(labels.Set(o.GetLabels())) &&
		s.fields.Matches(s.kind.fields(o))
}
