package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// auditPolicy has an API server take down what service accounts have asked for, once it has begun to answer.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
`

// auditArgs are for the API server of a name.
func (b *bed) auditArgs(name string) ([]string, error) {
	policy := filepath.Join(b.dir, "audit.yaml")
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + b.auditLog(name)}, os.WriteFile(policy, []byte(auditPolicy), 0o600)
}

func (b *bed) auditLog(name string) string { return filepath.Join(b.dir, name+".audit") }

// firstRead gives the options of the first request of CoreDNS' that an API server has taken, by list or by watch.
func (t *trial) firstRead(api, account, verb string) url.Values {
	var first url.Values
	t.soon("the API server has taken down the first "+verb, func() error {
		text, err := os.ReadFile(t.auditLog(api))
		if err != nil {
			return err
		}
		var at time.Time
		for line := range bytes.Lines(text) {
			var event struct {
				Verb       string    `json:"verb"`
				RequestURI string    `json:"requestURI"`
				Received   time.Time `json:"requestReceivedTimestamp"`
				User       struct {
					Username string `json:"username"`
				} `json:"user"`
			}
			if json.Unmarshal(line, &event) != nil || // it is being written
				event.Verb != verb || event.User.Username != "system:serviceaccount:"+account+":coredns" {
				continue
			}
			if at.IsZero() || event.Received.Before(at) {
				uri, err := url.Parse(event.RequestURI)
				if err != nil {
					return err
				}
				at, first = event.Received, uri.Query()
			}
		}
		if at.IsZero() {
			return errors.New("there is none")
		}
		return nil
	})
	return first
}

// readsFrom wants CoreDNS to have read at first from the API server's cache, or not.
func (t *trial) readsFrom(api, account, verb string, cache bool) {
	want := ""
	if cache {
		want = "0"
	}
	if first := t.firstRead(api, account, verb); first.Get("resourceVersion") != want {
		t.failf("the first %s was for resourceVersion %q, want %q", verb, first.Get("resourceVersion"), want)
	}
	t.note("the first %s was for resourceVersion %q", verb, want)
}
