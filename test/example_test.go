package test

import (
	"os"
	"strings"
	"testing"
)

// TestExample runs Corefile.example as it stands, but for the port.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../Corefile.example")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), ":1053") != 1 {
		t.Fatal("Corefile.example: want one server block on port 1053")
	}
	t.Chdir("..")
	s := start(t, strings.Replace(string(text), ":1053", ":0", 1))
	s.wants("shop.erl.internal.", "TXT", "shop@10.1.0.11", "shop@10.1.0.12")
	s.wants("erl.internal.", "SRV", "queue-0.queue-nodes.prod.svc.erl.internal.",
		"queue-1.queue-nodes.prod.svc.erl.internal.", "queue-2.queue-nodes.prod.svc.erl.internal.")
	s.wants("queue-2.queue-nodes.prod.svc.erl.internal.", "A", "10.1.0.23")
	s.wants("chat.prod.apps.erl.internal.", "TXT", "chat@10.1.0.31", "chat@10.1.0.32")
	s.wants("mailer.prod.apps.erl.internal.", "TXT", "mailer@fd00::41")
	s.wants("12.0.1.10.in-addr.arpa.", "PTR", "10.1.0.12.")
	s.wants("22.0.1.10.in-addr.arpa.", "PTR", "queue-1.queue-nodes.prod.svc.erl.internal.")
}
