package kubeapi

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Lookup is the kind of object that members are taken from.
type Lookup string

// The kinds of objects that can be looked up.
const (
	Endpoints Lookup = "endpoints" // EndpointSlices of discovery.k8s.io/v1
	Pods      Lookup = "pods"      // Pods of core/v1
)

// Family is an address family.
type Family string

// The families. AnyFamily is a pod's primary address and every address of an endpoint.
const (
	AnyFamily Family = ""
	IPv4      Family = "ipv4"
	IPv6      Family = "ipv6"
)

func (f Family) has(a netip.Addr) bool {
	return f == AnyFamily || (f == IPv4) == a.Is4()
}

// AllNamespaces stands in Config.Namespaces for all of them.
const AllNamespaces = "*"

// Logger takes messages for the operator, printf style.
type Logger interface {
	Debugf(format string, v ...any)
	Infof(format string, v ...any)
	Warningf(format string, v ...any)
	Errorf(format string, v ...any)
}

// Config says what to read, and from where.
type Config struct {
	Lookup Lookup
	// Namespaces are names, or AllNamespaces alone. None means the one of the
	// service account or of the kubeconfig's context; for manifests, all.
	Namespaces []string
	// Partial makes namespaces independent of each other: one that the API server forbids does not keep a
	// NamespaceSink from the others.
	Partial bool
	// Selector is a label selector as `kubectl get -l` takes it; empty is everything.
	Selector string
	// Labels are the keys of the labels whose values Objects shall carry.
	Labels []string
	// Ports are names of ports that Objects shall carry whatever else is left out, see MaxPorts.
	Ports  []string
	Family Family

	// Kubeconfig is a file, Context one of its contexts (default: the current one).
	Kubeconfig string
	Context    string
	// Endpoint is the URL of an API server, by default that of the environment which
	// Kubernetes gives to containers.
	Endpoint string
	// CertFile, KeyFile and CAFile are PEM files: a client certificate for Endpoint.
	CertFile, KeyFile, CAFile string
	// ServiceAccount is a directory with the files token, ca.crt and namespace, by
	// default the one that Kubernetes mounts.
	ServiceAccount string
	// Cached lets the first list come from the API server's cache, which may be
	// behind, but is cheap.
	Cached bool
	// UserAgent is sent to the API server.
	UserAgent string

	// Manifests are glob patterns of files to read instead of an API server.
	Manifests []string

	// Snapshot is a file that keeps the last known objects of an API server, for a start
	// while that cannot be reached. There is none if it is empty.
	Snapshot string

	Log     Logger
	Monitor Monitor
}

// ValidateNamespaces returns an error if Namespaces are not valid.
func (c *Config) ValidateNamespaces() error {
	if len(c.Namespaces) == 1 && c.Namespaces[0] == AllNamespaces {
		return nil
	}
	for i, ns := range c.Namespaces {
		if slices.Contains(c.Namespaces[:i], ns) {
			return fmt.Errorf("expected each namespace once, got %s twice", ns)
		}
		if ns == AllNamespaces {
			return fmt.Errorf("expected either %s or names, got both", AllNamespaces)
		}
		if errs := validation.IsDNS1123Label(ns); len(errs) > 0 {
			return fmt.Errorf("%q is no namespace: %s", ns, errs[0])
		}
	}
	return nil
}

// CheckSelector returns an error if text is no label selector.
func CheckSelector(text string) error {
	if _, err := labels.Parse(text); err != nil {
		return fmt.Errorf("%q is no label selector: %w", text, err)
	}
	return nil
}

// The labels that controllers give to objects of one kind alone.
var controllersLabels = map[Lookup][]string{
	Pods: {
		appsv1.DefaultDeploymentUniqueLabelKey, appsv1.ControllerRevisionHashLabelKey, appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel,
		batchv1.JobNameLabel, batchv1.JobCompletionIndexAnnotation,
	},
	Endpoints: {
		discoveryv1.LabelServiceName, discoveryv1.LabelManagedBy, corev1.IsHeadlessService, "multicluster.kubernetes.io/service-name",
	},
}

// ForeignLabels returns the keys of labels that are asked for, but that only objects of the other kind have.
func (c *Config) ForeignLabels() []string {
	asked := slices.Clone(c.Labels)
	if selector, err := labels.Parse(c.Selector); err == nil {
		requirements, _ := selector.Requirements()
		for _, r := range requirements {
			if !slices.Contains([]selection.Operator{selection.DoesNotExist, selection.NotEquals, selection.NotIn}, r.Operator()) {
				asked = append(asked, r.Key())
			}
		}
	}
	other := map[Lookup]Lookup{Pods: Endpoints, Endpoints: Pods}[c.Lookup]
	slices.Sort(asked)
	return slices.DeleteFunc(slices.Compact(asked), func(key string) bool { return !slices.Contains(controllersLabels[other], key) })
}

// CheckLabelKey returns an error if text is not the key of a label.
func CheckLabelKey(text string) error {
	if errs := validation.IsQualifiedName(text); len(errs) > 0 {
		return fmt.Errorf("%q is no label key: %s", text, errs[0])
	}
	return nil
}

// CheckPortName returns an error if text cannot be the name of a port of a container or an
// endpoint.
func CheckPortName(text string) error {
	if errs := validation.IsDNS1123Label(text); len(errs) > 0 {
		return fmt.Errorf("%q is no port name: %s", text, errs[0])
	}
	return nil
}

// CheckEndpoint returns an error if text is not the URL of an API server.
func CheckEndpoint(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return fmt.Errorf("expected a URL like https://10.0.0.1:6443, got %q", text)
	}
	return nil
}
