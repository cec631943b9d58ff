# make up     start everything on this machine, with a demonstration
# make test   what continuous integration runs: every test, on real parts
# make check  test, and lint, vet, the race detector, longer fuzzing and more draws of the slow properties
# make screens  take the pictures in docs/screens anew
# make clients  what other people's MQTT clients make of the edge; needs Node
# make fmt    format the code

GOLANGCI_VERSION := v2.15.0
GOLANGCI ?= go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
FUZZTIME ?= 20s

# Two packages at a time: each may run a database, a stream and a browser of its own, and the deadlines in the tests
# are those of a healthy machine.
PARALLEL ?= 2

.PHONY: clients screens up test check lint vet race fuzz properties fmt prerequisites

up:
	go run ./cmd/hale up

screens: prerequisites
	HALE_SCREENS=$(CURDIR)/docs/screens go test -count=1 -run TestScreens ./cmd/hale

prerequisites:
	@scripts/prerequisites.sh

test: prerequisites
	go test -p $(PARALLEL) -timeout 30m ./...

check: test lint vet race fuzz properties

lint:
	$(GOLANGCI) run ./...

vet:
	go vet ./...

# The race detector makes everything several times slower.
race: prerequisites
	go test -race -p $(PARALLEL) -timeout 45m ./...

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# Each draw is a whole story of a database; make test has 15 of them.
properties: prerequisites
	go test -count=1 -timeout 30m -run 'TestWhateverIsFiledAnewEndsWhereItBelongs|TestReachIsTheSameFoldInSQL' ./postgres -rapid.checks=200

clients: prerequisites
	cd ingest/edge/testdata/npm && npm ci --ignore-scripts --no-audit --no-fund
	go test -tags clients -count=1 -v -run 'NpmClient|Samples|Paho|Mosquitto' ./ingest/edge

fmt:
	$(GOLANGCI) fmt ./...
