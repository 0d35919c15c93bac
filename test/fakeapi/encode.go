package fakeapi

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

var (
	scheme = runtime.NewScheme()
	codecs = serializer.NewCodecFactory(scheme)
)

func init() {
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(discoveryv1.AddToScheme(scheme))
}

// encoding is one of the forms that an API server speaks. Its serializers write objects as they are, kind included,
// and never write to them: stored objects are shared.
type encoding struct{ runtime.SerializerInfo }

// negotiate takes the first media type of the Accept header that it knows, and JSON if there is nothing to choose by.
func negotiate(accept string) (enc encoding, acceptable bool) {
	infos := codecs.SupportedMediaTypes()
	json, _ := runtime.SerializerInfoForMediaType(infos, runtime.ContentTypeJSON)
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, _, _ := strings.Cut(part, ";")
		switch mediaType = strings.TrimSpace(mediaType); mediaType {
		case "", "*/*", "application/*", runtime.ContentTypeJSON:
			return encoding{json}, true
		case runtime.ContentTypeProtobuf:
			info, ok := runtime.SerializerInfoForMediaType(infos, mediaType)
			return encoding{info}, ok
		}
	}
	return encoding{json}, false
}

func (e encoding) streamType() string {
	if e.MediaType == runtime.ContentTypeJSON {
		return e.MediaType
	}
	return e.MediaType + ";stream=watch"
}

// encode puts what has no protobuf form as JSON into the protobuf envelope, which is how clients can tell.
func (e encoding) encode(obj runtime.Object) ([]byte, error) {
	var buf bytes.Buffer
	err := e.Serializer.Encode(obj, &buf)
	if !protobuf.IsNotMarshalable(err) {
		return buf.Bytes(), err
	}
	json, _ := negotiate("")
	raw, err := json.encode(obj)
	if err != nil {
		return nil, err
	}
	version, kind := obj.GetObjectKind().GroupVersionKind().ToAPIVersionAndKind()
	buf.Reset()
	err = e.Serializer.Encode(&runtime.Unknown{
		TypeMeta: runtime.TypeMeta{APIVersion: version, Kind: kind}, Raw: raw, ContentType: runtime.ContentTypeJSON,
	}, &buf)
	return buf.Bytes(), err
}

func (e encoding) writeFrame(w io.Writer, f frame) error {
	switch {
	case f.end:
		return errEnd
	case f.raw != nil:
		_, err := w.Write(f.raw)
		return err
	}
	event := &metav1.WatchEvent{Type: string(f.event.Type)}
	if f.event.Object != nil {
		raw, err := e.encode(f.event.Object)
		if err != nil {
			return err
		}
		event.Object.Raw = raw
	}
	var buf bytes.Buffer
	if err := e.StreamSerializer.Encode(event, &buf); err != nil {
		return err
	}
	_, err := e.StreamSerializer.Framer.NewFrameWriter(w).Write(buf.Bytes())
	return err
}

// writeObject drops a write error: the client is gone, and the test sees that from its side.
func writeObject(w http.ResponseWriter, enc encoding, code int, obj runtime.Object) {
	body, err := enc.encode(obj)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", enc.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(body) //nolint:gosec // no browser reads it, and it is no HTML
}

func writeError(w http.ResponseWriter, enc encoding, err error) {
	status := statusOf(err).(*metav1.Status)
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	writeObject(w, enc, int(status.Code), status)
}

func notAcceptable() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + runtime.ContentTypeJSON + ", " + runtime.ContentTypeProtobuf,
	}}
}
