package main

// Certificate authorities for where the machine has none, as in an image that is made from scratch: *forward* over TLS
// verifies servers by these. Files of the machine, and those that SSL_CERT_FILE names, come first.
import _ "golang.org/x/crypto/x509roots/fallback"
