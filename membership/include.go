package membership

import "github.com/longnames/longnames/kubeapi"

// Include says which candidates are listed.
type Include string

const (
	IncludeReady   Include = "ready"
	IncludeServing Include = "serving"
	IncludeAll     Include = "all"
)

// passes reports whether a candidate in m's condition is listed.
func (i Include) passes(m *kubeapi.Member) bool {
	switch i {
	case IncludeReady:
		return m.Ready && !m.Terminating
	case IncludeServing:
		return m.Serving
	}
	return true
}
