# The version is linked in. Without git, or where git does not trust the checkout, it is empty and the binary says
# "devel"; hence also -buildvcs=false, which would turn that into an error.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)

# One set of flags for all that is compiled without the race detector: what is shipped is what is vetted, linted and
# measured, and CoreDNS with all its plugins is compiled once, not once a target.
GO   ?= go
SHIP  = CGO_ENABLED=0 GOFLAGS="$(shell $(GO) env GOFLAGS) -trimpath -buildvcs=false"

# RACE= tests without the race detector, which needs a C compiler.
RACE    ?= -race
TESTENV  = $(if $(RACE),CGO_ENABLED=1,$(SHIP))
PKGS     = $(shell $(GO) list ./test ./... | grep -v /cmd/) # first what waits most of the time, beside all others

GOLANGCI_LINT_VERSION ?= v2.15.0
GOLANGCI_LINT          = bin/golangci-lint-$(GOLANGCI_LINT_VERSION)
ACTIONLINT_VERSION    ?= v1.7.12
ACTIONLINT             = bin/actionlint-$(ACTIONLINT_VERSION)

help: ## this list
	@awk -F ':.*## ' '/^[a-z][a-z0-9-]*:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/coredns: CoreDNS with all its plugins and this one
	$(SHIP) $(GO) build -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)" -o bin/coredns ./cmd/coredns

run: build ## build, then serve Corefile.example on 127.0.0.1:1053; needs no cluster
	bin/coredns -conf Corefile.example

demo: build ## what clients are told while members come, go and cannot be read; needs dig
	examples/demo.sh

# The command is tested without the race detector: it starts nothing, and all of CoreDNS would be compiled again. Results
# are not cached: one test builds CoreDNS with the plugin, and Go does not notice what that is made of.
test: ## go vet and all tests, with the race detector (RACE= without, TESTFLAGS=-v and the like)
	$(SHIP) $(GO) vet ./...
	@$(if $(RACE),command -v $(firstword $(shell $(GO) env CC)) >/dev/null || \
		{ echo 'The race detector needs a C compiler (gcc). Without it: make test RACE='; exit 1; })
	$(TESTENV) $(GO) test $(RACE) $(TESTFLAGS) $(PKGS)
	$(SHIP) $(GO) test -count=1 $(TESTFLAGS) ./cmd/...

lint: $(GOLANGCI_LINT) $(ACTIONLINT) ## gofmt, golangci-lint, also of the end-to-end tests, cycles of files, and workflows
	@files=$$(find . -name '*.go' -not -path '*/.*' -exec gofmt -s -l {} +) && \
		test -z "$$files" || { echo 'Not formatted, try gofmt -s -w:'; echo "$$files"; exit 1; }
	$(SHIP) $(GOLANGCI_LINT) run
	cd test/e2e && GOWORK=off $(SHIP) $(CURDIR)/$(GOLANGCI_LINT) run -c $(CURDIR)/.golangci.yml
	cd test/e2e/peers && GOWORK=off $(SHIP) $(CURDIR)/$(GOLANGCI_LINT) run -c $(CURDIR)/.golangci.yml
	cd deploy/sbom && GOWORK=off $(SHIP) $(CURDIR)/$(GOLANGCI_LINT) run -c $(CURDIR)/.golangci.yml
	cd lint && GOWORK=off $(SHIP) $(CURDIR)/$(GOLANGCI_LINT) run -c $(CURDIR)/.golangci.yml
	cd lint && GOWORK=off $(SHIP) $(GO) test . && GOWORK=off $(SHIP) $(GO) build -o ../bin/lint .
	$(SHIP) bin/lint -except Longnames=6 -files 26 . ./cmd/... ./internal/... ./membership ./kubeapi/... # it implements interfaces of others, each in its file; with 25, a file would have two ideas
	$(ACTIONLINT)

# Compiled, not downloaded: the Go checksum database vouches for it, and it needs nothing but the module proxy.
$(GOLANGCI_LINT):
	GOBIN=$(CURDIR)/bin $(SHIP) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv bin/golangci-lint $@

$(ACTIONLINT):
	GOBIN=$(CURDIR)/bin $(SHIP) $(GO) install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	mv bin/actionlint $@

GOVULNCHECK_VERSION ?= v1.9.0
vulncheck: ## known vulnerabilities that the code reaches, by govulncheck; asks vuln.go.dev
	$(SHIP) $(GO) run golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION) ./...

# What a run finds is kept in testdata/fuzz beside the test, to be committed: make test replays it ever after.
TIME ?= 30s
fuzz: export GO := $(GO)
fuzz: export TESTFLAGS := $(TESTFLAGS)
fuzz: ## every fuzz target, one after the other, TIME=30s each
	$(SHIP) test/fuzz.sh $(TIME) $(PKGS)

# The time of the commit stands for the time of the build, so that whoever builds a commit again gets the same digest. Docker
# has no flags for that.
IMAGE             ?= longnames/coredns:$(or $(VERSION),devel)
BUILDAH           ?= buildah
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
REPRODUCIBLY       = $(if $(filter docker,$(notdir $(BUILDAH))),,--timestamp $(SOURCE_DATE_EPOCH) --identity-label=false)
image: export GOOS = linux
image: export DOCKER_BUILDKIT = 1
image: build ## the container image IMAGE=name:tag, by buildah (BUILDAH=podman or docker), for GOARCH=arm64 or another
	$(BUILDAH) build --platform linux/$(or $(GOARCH),$(shell $(GO) env GOARCH)) $(REPRODUCIBLY) \
		--build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) -t $(IMAGE) .

image-test: ## tests of the image and the SBOM, without a cluster; needs root
	$(MAKE) e2e RUN='^TestImage'

# The program that writes it is for this machine, whatever the binary is for.
SBOM ?= bin/coredns.cdx.json
HOST  = GOOS= GOARCH= $(SHIP)
sbom: export GOWORK = off
sbom: build ## SBOM=file: what is in bin/coredns, as CycloneDX JSON
	cd deploy/sbom && $(HOST) $(GO) vet . && $(HOST) $(GO) test . && $(HOST) $(GO) build -o ../../bin/sbom .
	bin/sbom -version '$(VERSION)' bin/coredns >$(SBOM)

REPOSITORY        ?= image.invalid/longnames/coredns
KUSTOMIZE_VERSION ?= v5.8.1
KUSTOMIZE          = bin/kustomize-$(KUSTOMIZE_VERSION)
release: export VERSION := $(VERSION)
release: export REPOSITORY := $(REPOSITORY)
release: $(KUSTOMIZE) ## VERSION=v0.1.0 REPOSITORY=where the image will be: all files of a release, in bin/release; needs buildah
	command -v buildah >/dev/null || test/e2e/packages.sh buildah
	release/release.sh "$$VERSION" "$$REPOSITORY" $(KUSTOMIZE)

release-test: $(KUSTOMIZE) ## a release, made twice, is the same and whole; needs buildah and root
	test/e2e/packages.sh buildah
	release/address_test.sh $(KUSTOMIZE)
	release/test.sh

$(KUSTOMIZE):
	GOBIN=$(CURDIR)/bin $(SHIP) $(GO) install sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION)
	mv bin/kustomize $@

# Not `go run`, which does not pass a SIGTERM on: what runs has to end what it has started. Results are not cached: the
# tests read files outside their module, and Go does not notice when these change.
RUN ?=
e2e: export GO := $(GO)
e2e: export GOWORK = off
e2e: build ## scenarios on a real control plane; needs root (RUN=regexp, E2EFLAGS=-list and the like)
	test/e2e/packages.sh
	cd test/e2e && $(SHIP) $(GO) vet ./... && $(SHIP) $(GO) test -count=1 ./build ./cluster ./watch
	cd test/e2e/peers && $(SHIP) $(GO) vet . && $(SHIP) $(GO) test -short -count=1 .
	cd test/e2e && $(SHIP) $(GO) test -c -o ../../bin/node.test ./node && $(SHIP) $(GO) test -c -o ../../bin/process.test ./process
	$(MAKE) -j2 -O e2e-process e2e-node

# Those of processes wait most of the time, and so run beside the others. Each prints what it has to say at its end. Most of a
# test is waiting, so that more run at once than there are processors; of those of nodes, some wait for their stage.
e2e-process: PARALLEL = 8
e2e-node: PARALLEL = 11
e2e-process e2e-node: e2e-%:
	cd test/e2e/$* && exec ../../../bin/$*.test $(if $(filter -list,$(E2EFLAGS)),-test.list '$(or $(RUN),.)',-test.v -test.parallel $(PARALLEL) -test.timeout 70m -test.run '$(RUN)')

ERLC ?= erlc
beam: build ## the client in Erlang, beam/: compiled, analysed, tried on real nodes; needs Erlang, Elixir and root
	test/e2e/packages.sh erlang-base erlang-dev erlang-dialyzer erlang-edoc erlang-eunit erlang-tools erlang-xmerl elixir iproute2 util-linux
	rm -rf bin/beam && mkdir -p bin/beam/ebin bin/beam/test bin/beam/doc
	$(ERLC) -Werror +warn_missing_spec +debug_info -o bin/beam/ebin beam/src/*.erl
	$(ERLC) -Werror +debug_info -o bin/beam/test beam/test/*.erl
	cp beam/src/longnames.app.src bin/beam/ebin/longnames.app
	beam/test/run.sh -noinput -pa bin/beam/ebin bin/beam/test -name beam@127.0.0.1 -start_epmd false -epmd_module longnames_epmd -run all main
	beam/test/run.sh -noinput -pa bin/beam/ebin bin/beam/test -run cluster main -extra $(CURDIR)/bin/coredns $(CURDIR)/bin/beam
	elixir -pa bin/beam/ebin -pa bin/beam/test beam/test/longnames_test.exs

# Three stages at a time are so few that nodes, and API servers, have the time to answer. Where that is allowed, the
# clients that ask are never late themselves.
MATRIX ?=
faults: export GO := $(GO)
faults: export GOWORK = off
faults: build ## the fault matrix, which needs the machine for itself, and root (RUN=TestFaults/Wire/api-slow, MATRIX=file)
	test/e2e/packages.sh
	cd test/e2e && $(SHIP) $(GO) vet ./faults ./watch && $(SHIP) $(GO) test -c -o ../../bin/faults.test ./faults
	cd test/e2e/faults && exec $$(chrt --rr 1 true && echo chrt --rr 1) ../../../bin/faults.test -test.v -test.parallel 3 -test.timeout 60m -test.run '$(or $(RUN),TestFaults)' $(if $(MATRIX),-matrix '$(abspath $(MATRIX))')

# The honest clients must not be late themselves: they come before all else.
SOAK ?= 10m
soak: export GO := $(GO)
soak: export GOWORK = off
soak: build ## honest clients while others flood CoreDNS, within the limits of deploy/, for SOAK=10m; needs the machine and root
	test/e2e/packages.sh
	cd test/e2e && $(SHIP) $(GO) vet ./soak ./watch && $(SHIP) $(GO) test -c -o ../../bin/soak.test ./soak
	cd test/e2e/soak && exec chrt --rr 1 ../../../bin/soak.test -test.v -test.timeout 3h -soak $(SOAK)

BENCH ?= .
bench: ## all benchmarks, or BENCH=regexp
	$(SHIP) $(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) $(PKGS)

# The whole takes half an hour, most of it for the API server: PEERSFLAGS='-cost 1m' is quicker, and says so.
PEERS ?= .
bench-peers: export GO := $(GO)
bench-peers: export GOWORK = off
bench-peers: build ## side by side with kubernetes, file and whoami, on a real control plane; needs root (PEERS=regexp)
	test/e2e/packages.sh
	cd test/e2e/peers && rm -f ../../../bin/peers.md && $(SHIP) $(GO) test -c -o ../../../bin/peers.test .
	cd test/e2e/peers && exec ../../../bin/peers.test -test.v -test.timeout 3h -test.run 'TestPeers/($(PEERS))' -page ../../../bin/peers.md $(PEERSFLAGS)
	! [ -e bin/peers.md ] || sed -i -e '/<!-- measured -->/r bin/peers.md' -e '/<!-- measured -->/,/<!-- end of measured -->/{//!d}' docs/benchmarks.md

clean: ## remove what was built
	rm -rf bin
	find . \( -name '*.test' -o -name '*.out' -o -name '*.prof' \) -not -path '*/.*' -not -path '*/testdata/*' -type f -delete

.PHONY: help build run demo test lint vulncheck fuzz image image-test sbom release release-test e2e e2e-process e2e-node beam faults soak bench bench-peers clean
