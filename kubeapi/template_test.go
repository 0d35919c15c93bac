package kubeapi

import (
	"fmt"
	"reflect"
	"runtime"
	"testing"
)

func newTemplate() *Template {
	return &Template{"prod", []Label{{"shop", true}}, "shop", []Port{{"epmd", "TCP", 4369}}, nil, nil}
}

func TestTemplatesAreSharedByWhatIsTheSame(t *testing.T) {
	shared := newTemplates()
	first := shared.shared(newTemplate())
	if second := shared.shared(newTemplate()); second != first {
		t.Errorf("got %p, want the first one, %p", second, first)
	}
	for name, edit := range map[string]func(*Template){
		"namespace":             func(o *Template) { o.Namespace = "test" },
		"no labels":             func(o *Template) { o.Labels = nil },
		"value of a label":      func(o *Template) { o.Labels[0].Value = "till" },
		"label that is not set": func(o *Template) { o.Labels[0].Set = false },
		"service":               func(o *Template) { o.Service = "till" },
		"more that is left out": func(o *Template) { o.Cut = []string{"1 x"} },
		"no ports":              func(o *Template) { o.Ports = nil },
		"name of a port":        func(o *Template) { o.Ports[0].Name = "dist" },
		"protocol":              func(o *Template) { o.Ports[0].Protocol = "UDP" },
		"invalid address":       func(o *Template) { o.Invalid = []string{"x"} },
		"number of a port":      func(o *Template) { o.Ports[0].Number++ },
	} {
		other := newTemplate()
		edit(other)
		want := *other
		if got := shared.shared(other); got != other || !reflect.DeepEqual(*got, want) || got.sameTemplate(first) {
			t.Errorf("%s: got %+v, want one of its own, %+v", name, *got, want)
		}
	}
}

func TestTemplatesThatNobodyHasAreForgotten(t *testing.T) {
	shared := newTemplates()
	kept := shared.shared(newTemplate())
	for i := range 100 * fewTemplates {
		shared.shared(&Template{Namespace: fmt.Sprint(i)})
		if i%fewTemplates == 0 {
			runtime.GC()
		}
	}
	if got, most := len(shared.known), 4*fewTemplates; got > most {
		t.Errorf("got %d that are known, want at most %d", got, most)
	}
	if got := shared.shared(newTemplate()); got != kept {
		t.Error("one that is still used has been forgotten")
	}
	runtime.KeepAlive(kept)
}
