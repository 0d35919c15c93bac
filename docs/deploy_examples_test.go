package docs_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/longnames/longnames/internal/markdown"
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
		FullnameOverride          string
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
		{"full name", values.FullnameOverride, base.Name},
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

// No example asks for more than the Pod Security level restricted allows.
func TestClientsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	tried := 0
	for path, text := range readAll(t, "../examples/clients") {
		for _, of := range objects(t, []markdown.Snippet{{Where: path, Text: text}}, nil) {
			for _, object := range of {
				var pod corev1.PodTemplateSpec
				switch o := object.(type) {
				case *appsv1.Deployment:
					pod = o.Spec.Template
				case *appsv1.StatefulSet:
					pod = o.Spec.Template
				default:
					continue
				}
				tried++
				result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
				if !result.Allowed {
					t.Errorf("%s: got %s", path, result.ForbiddenDetail())
				}
				// The name of an image's user does not tell Kubernetes that it is not root's.
				if user := pod.Spec.SecurityContext.RunAsUser; user == nil {
					t.Errorf("%s: got no number of the user", path)
				}
			}
		}
	}
	if want := 6; tried != want {
		t.Errorf("got %d examples, want %d", tried, want)
	}
}

// The example fits the manifests that are deployed.
func TestDeploymentIsAClusterOfTheBase(t *testing.T) {
	const path = "../examples/clients/deployment.yaml"
	service := decode[corev1.Service](t, path, "Service")
	options := optionsIn(t, read(t, "../deploy/base/Corefile"))[0]
	for _, label := range []string{options["selector"], strings.TrimPrefix(options["basename"], "label ")} {
		if got := service.Labels[label]; got != "shop" {
			t.Errorf("label %s of the Service: got %q, want shop", label, got)
		}
	}
	env := decode[appsv1.Deployment](t, path, "Deployment").Spec.Template.Spec.Containers[0].Env
	i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "DNS_CLUSTER_QUERY" })
	if want := service.Name + ".$(POD_NAMESPACE).svc.erl.internal."; i < 0 || env[i].Value != want {
		t.Errorf("got environment %v, want DNS_CLUSTER_QUERY=%s", env, want)
	}
}

// The label that a page gives to a namespace is the one that the policy lets in.
func TestLabelOfNamespacesIsThatOfThePolicy(t *testing.T) {
	policy := decode[networkingv1.NetworkPolicy](t, "../deploy/base/networkpolicy.yaml", "NetworkPolicy")
	for key, value := range policy.Spec.Ingress[0].From[0].NamespaceSelector.MatchLabels {
		commands(t, `^kubectl label namespace prod `+regexp.QuoteMeta(key+"="+value)+`$`)
	}
}

// Users paste it in place of the base's: other clusters are served as before.
func TestRabbitMQCorefileServesWhatTheBaseServes(t *testing.T) {
	base, corefile := read(t, "../deploy/base/Corefile"), markdown.Read(t, "rabbitmq.md").Snippets("corefile")[0].Text
	got, want := words(t, corefile)[0], words(t, base)[0]
	for _, of := range []map[string]string{got, want} {
		delete(of, "zones")
		delete(of, "longnames")
	}
	if !maps.Equal(got, want) {
		t.Errorf("got plugins %q, want %q", got, want)
	}
	options, others := optionsIn(t, corefile), optionsIn(t, base)[0]
	others["selector"] += ",longnames.dev/mode!=hostname"
	if len(options) != 2 || !maps.Equal(options[1], others) {
		t.Errorf("got blocks %q, want a second one with %q", options, others)
	}
}
