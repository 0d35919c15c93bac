package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/kubeapi"
)

// decoded are the contents of one file.
type decoded struct {
	// objects are *corev1.Pod or *discoveryv1.EndpointSlice, as looked up.
	objects []metav1.Object
	// others counts the objects of other kinds, which are not read any further.
	others map[string]int
	// broken has an error for each document or object that cannot be used, with its place.
	broken []error
	// blank is set for a file without any document, not even an empty List.
	blank bool
	// anyNames are taken, since no person has written them.
	anyNames bool
}

// decode reads Kubernetes objects from YAML or JSON: any number of documents, each an
// object or a list of them. A broken one never keeps the others from being read.
func decode(data []byte, lookup kubeapi.Lookup) *decoded {
	d := &decoded{others: make(map[string]int), blank: true}
	for i, doc := range documents(data) {
		d.document(fmt.Sprintf("document %d", i+1), doc, lookup)
	}
	return d
}

// documents splits a file. JSON objects may follow each other, YAML documents stand
// between lines of ---. apimachinery's YAMLReader refuses a document that begins in the line of its ---, and
// drops the one before as well; its YAMLOrJSONDecoder accepts duplicate keys.
func documents(data []byte) (docs [][]byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if utilyaml.IsJSONBuffer(data) {
		decoder := json.NewDecoder(bytes.NewReader(data))
		end := int64(0)
		for {
			var doc json.RawMessage
			if decoder.Decode(&doc) != nil {
				break // the end, or YAML: that may begin with a brace too
			}
			docs = append(docs, doc)
			end = decoder.InputOffset()
		}
		data = data[end:]
	}
	var doc []byte
	for line := range bytes.Lines(data) {
		rest, begins := bytes.CutPrefix(line, []byte("---"))
		if !begins || (len(rest) > 0 && !unicode.IsSpace(rune(rest[0]))) {
			doc = append(doc, line...)
			continue
		}
		docs = appendDocument(docs, doc)
		doc = bytes.Clone(rest) // a comment, or already content
	}
	return appendDocument(docs, doc)
}

func appendDocument(docs [][]byte, doc []byte) [][]byte {
	if len(bytes.TrimSpace(doc)) == 0 {
		return docs
	}
	return append(docs, doc)
}

// DecodeObject reads one object in JSON: a *corev1.Pod or a *discoveryv1.EndpointSlice, as looked up. Where
// is its place, for errors. Its names are as the API server had them.
func DecodeObject(where string, text []byte, lookup kubeapi.Lookup) (metav1.Object, error) {
	d := &decoded{others: make(map[string]int), anyNames: true}
	d.object(where, text, metav1.TypeMeta{APIVersion: "v1"}, lookup)
	switch {
	case len(d.broken) > 0:
		return nil, d.broken[0]
	case len(d.objects) == 0:
		return nil, fmt.Errorf("%s: expected an object of lookup %s, got %s", where, lookup, kinds(d.others))
	}
	return d.objects[0], nil
}

// header is the part of an object that all kinds have, and lists.
type header struct {
	metav1.TypeMeta `json:",inline"`

	Metadata struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

func (d *decoded) document(where string, doc []byte, lookup kubeapi.Lookup) {
	text := doc
	if !json.Valid(doc) { // not all JSON is YAML to its parser: neither tabs nor \ud83d\ude00
		var err error
		if text, err = yaml.YAMLToJSONStrict(doc); err != nil {
			d.blank = false
			d.fail(where, err)
			return
		}
	}
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return // nothing but comments
	}
	d.blank = false
	d.object(where, text, metav1.TypeMeta{}, lookup)
}

// object reads one object, or a list. Items of a typed list need not repeat their type.
func (d *decoded) object(where string, text []byte, inherited metav1.TypeMeta, lookup kubeapi.Lookup) {
	var h header
	if err := unmarshal(text, &h); err != nil {
		d.fail(where, err)
		return
	}
	if h.Kind == "" && h.APIVersion == "" {
		h.TypeMeta = inherited
	}
	if h.Kind == "" || h.APIVersion == "" {
		d.fail(where, errors.New("expected a Kubernetes object, with apiVersion and kind"))
		return
	}
	if item, isList := strings.CutSuffix(h.Kind, "List"); isList {
		if inherited.APIVersion != "" {
			d.fail(where, errors.New("expected an object, got a list in a list"))
			return
		}
		of := metav1.TypeMeta{APIVersion: h.APIVersion, Kind: item}
		for i, text := range h.Items {
			d.object(fmt.Sprintf("%s, item %d", where, i+1), text, of, lookup)
		}
		return
	}
	where = fmt.Sprintf("%s, %s %s/%s", where, h.Kind, h.Metadata.Namespace, h.Metadata.Name)
	var obj metav1.Object
	switch {
	case lookup == kubeapi.Pods && h.APIVersion == "v1" && h.Kind == "Pod":
		obj = &corev1.Pod{}
	case lookup == kubeapi.Endpoints && h.APIVersion == discoveryv1.SchemeGroupVersion.String() && h.Kind == "EndpointSlice":
		obj = &discoveryv1.EndpointSlice{}
	default:
		d.others[h.APIVersion+" "+h.Kind]++
		return
	}
	if err := unmarshal(text, obj); err != nil {
		d.fail(where, err)
		return
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(metav1.NamespaceDefault)
	}
	if err := checkMeta(obj); err != nil && !d.anyNames {
		d.fail(where, err)
		return
	}
	d.objects = append(d.objects, obj)
}

func (d *decoded) fail(where string, err error) {
	d.broken = append(d.broken, fmt.Errorf("%s: %w", where, err))
}

// unmarshal ignores unknown fields. The case of known ones counts, and none may stand twice.
func unmarshal(text []byte, into any) error {
	twice, err := kjson.UnmarshalStrict(text, into, kjson.DisallowDuplicateFields)
	if err == nil && len(twice) > 0 {
		return twice[0]
	}
	return err
}

// checkMeta checks names as an API server does.
func checkMeta(obj metav1.Object) error {
	if errs := validation.IsDNS1123Subdomain(obj.GetName()); len(errs) > 0 {
		return fmt.Errorf("metadata.name %q: %s", obj.GetName(), errs[0])
	}
	if errs := validation.IsDNS1123Label(obj.GetNamespace()); len(errs) > 0 {
		return fmt.Errorf("metadata.namespace %q: %s", obj.GetNamespace(), errs[0])
	}
	return nil
}

// kinds returns the counts as a text.
func kinds(count map[string]int) string {
	texts := make([]string, 0, len(count))
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		texts = append(texts, fmt.Sprintf("%d of %s", count[kind], kind))
	}
	return strings.Join(texts, ", ")
}
