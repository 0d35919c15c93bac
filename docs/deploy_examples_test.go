package docs_test

import (
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

// decode decodes the one object of a kind in YAML, as strictly as an API server can.
func decode[T any](t *testing.T, path, kind string) *T {
	t.Helper()
	for doc := range strings.SplitSeq(read(t, path), "\n---\n") {
		if strings.Contains("\n"+doc, "\nkind: "+kind+"\n") {
			object := new(T)
			if err := yaml.UnmarshalStrict([]byte(doc), object); err != nil {
				t.Fatalf("%s: %s: %v", path, kind, err)
			}
			return object
		}
	}
	t.Fatalf("%s has no %s", path, kind)
	return nil
}

// A release of Helm's chart beside the cluster's DNS is like the base.
func TestHelmStandaloneIsLikeTheBase(t *testing.T) {
	var values struct {
		IsClusterService          bool
		NameOverride              string
		ReplicaCount              *int32
		PodDisruptionBudget       struct{ MaxUnavailable int }
		Resources                 corev1.ResourceRequirements
		ServiceAccount            struct{ Create bool }
		TopologySpreadConstraints []corev1.TopologySpreadConstraint
		Servers                   []chartServer
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "../deploy/helm/standalone-values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	if values.IsClusterService || !values.ServiceAccount.Create {
		t.Errorf("got cluster service %t, account %t, want false and true", values.IsClusterService, values.ServiceAccount.Create)
	}
	base := decode[appsv1.Deployment](t, "../deploy/base/deployment.yaml", "Deployment")
	pod := base.Spec.Template.Spec
	corefile := strings.Replace(read(t, "../deploy/base/Corefile"), ":1053", ":53", 1)
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"name", values.NameOverride, base.Name},
		{"replicas", values.ReplicaCount, base.Spec.Replicas},
		{"disruption budget", values.PodDisruptionBudget.MaxUnavailable, 1},
		{"resources", values.Resources, pod.Containers[0].Resources},
		{"spread over nodes", values.TopologySpreadConstraints, pod.TopologySpreadConstraints[:1]},
		{"Corefile", words(t, chartCorefile(values.Servers)), words(t, corefile)},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
}

const phoenixPath = "../examples/phoenix.yaml"

// https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
func TestPhoenixIsRestricted(t *testing.T) {
	pod := decode[appsv1.Deployment](t, phoenixPath, "Deployment").Spec.Template.Spec
	container := pod.Containers[0].SecurityContext
	if pod.SecurityContext == nil || container == nil || container.Capabilities == nil {
		t.Fatal("the pod or its container has no security context, or the latter no capabilities")
	}
	for _, tc := range []struct {
		name      string
		got, want any
	}{
		{"runAsNonRoot", ptr.Deref(pod.SecurityContext.RunAsNonRoot, false), true},
		{"seccompProfile", ptr.Deref(pod.SecurityContext.SeccompProfile, corev1.SeccompProfile{}), corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		{"allowPrivilegeEscalation", ptr.Deref(container.AllowPrivilegeEscalation, true), false},
		{"capabilities", *container.Capabilities, corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		{"containers", len(pod.Containers) + len(pod.InitContainers), 1},
		{"enforced level", decode[corev1.Namespace](t, phoenixPath, "Namespace").Labels["pod-security.kubernetes.io/enforce"], "restricted"},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.got, tc.want)
		}
	}
	if user := ptr.Deref(pod.SecurityContext.RunAsUser, 0); user == 0 {
		t.Errorf("got user %d, want the number of one that is not root", user)
	}
}

// The example fits the manifests that are deployed.
func TestPhoenixIsAClusterOfTheBase(t *testing.T) {
	service := decode[corev1.Service](t, phoenixPath, "Service")
	container := decode[appsv1.Deployment](t, phoenixPath, "Deployment").Spec.Template.Spec.Containers[0]
	options := optionsIn(t, read(t, "../deploy/base/Corefile"))[0]
	if _, ok := service.Labels[options["selector"]]; !ok {
		t.Errorf("got labels %v of the Service, want %q, which the Corefile selects", service.Labels, options["selector"])
	}
	basename := service.Labels[strings.TrimPrefix(options["basename"], "label ")]
	if want := `"` + basename + `@${POD_IP}"`; basename == "" || !strings.Contains(read(t, phoenixPath), want) {
		t.Errorf("got no RELEASE_NODE %s", want)
	}
	want := service.Name + "." + service.Namespace + ".svc.erl.internal."
	for _, env := range container.Env {
		if env.Name == "DNS_CLUSTER_QUERY" && env.Value != want {
			t.Errorf("got query %s, want %s", env.Value, want)
		}
	}
	policy := decode[networkingv1.NetworkPolicy](t, "../deploy/base/networkpolicy.yaml", "NetworkPolicy")
	namespace := decode[corev1.Namespace](t, phoenixPath, "Namespace")
	for key, value := range policy.Spec.Ingress[0].From[0].NamespaceSelector.MatchLabels {
		if got := namespace.Labels[key]; got != value {
			t.Errorf("got label %s=%s of the namespace, want %s, which the policy lets in", key, got, value)
		}
	}
}
