package kubeapi

import (
	"reflect"
	"testing"
)

// A field that same does not look at is one whose changes get lost.
func TestSameLooksAtEverythingButTheVersion(t *testing.T) {
	full := func() *Object {
		return &Object{
			Template: &Template{"prod", []Label{{"shop", true}}, "shop", []Port{{"epmd", "TCP", 4369}}, []string{"x"}, []string{"1 x"}},
			Name:     "a", Version: 5, Created: 7,
			Members: []Member{{ID: "a", IsPod: true, Hostname: "a", Address: addr("10.0.0.1"), Ready: true, Serving: true}},
		}
	}
	if !full().Same(full()) {
		t.Fatal("want an object the same as its equal")
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Object]()) {
		if field.Name == "Template" {
			continue // its fields are visible, too
		}
		t.Run(field.Name, func(t *testing.T) {
			o := full()
			reflect.ValueOf(o).Elem().FieldByIndex(field.Index).SetZero()
			if got, want := o.Same(full()), field.Name == "Version"; got != want {
				t.Errorf("want %v, got %v", want, got)
			}
		})
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Member]()) {
		if field.Name == "Terminating" {
			continue
		}
		t.Run("Member."+field.Name, func(t *testing.T) {
			o := full()
			reflect.ValueOf(&o.Members[0]).Elem().FieldByIndex(field.Index).SetZero()
			if o.Same(full()) {
				t.Error("want a difference")
			}
		})
	}
}
