# Two commands are enough: `make run` and `make test`. Both install what is missing.

.DEFAULT_GOAL := help
.PHONY: help run build test integration chaos lint format sanitize fuzz bench check clean

strict := --explicit-target-dependency-import-check error

help:
	@echo "make run          install what is missing, build, start a broker if none listens, serve with bridges.yaml"
	@echo "                  (make run ARGS='--port 8080' hands options to linkspan serve)"
	@echo "make test         install what is missing, run everything against real brokers"
	@echo
	@echo "make build        build in debug mode"
	@echo "make integration  run the integration tests only"
	@echo "make sanitize     run the tests that need no broker under the thread sanitizer"
	@echo "make fuzz         feed the codec random bytes for a minute (SECONDS=... for longer)"
	@echo "make chaos        let brokers, links and instances fail in every way, and write docs/chaos.md (a quarter of an hour; ONLY='broker killed')"
	@echo "                  (make chaos RING=3600 cuts the links of a ring of three sites for an hour instead)"
	@echo "make bench        compare with the yardstick and other servers, and write docs/benchmarks.md (SHORT=1: two minutes)"
	@echo "make lint         check the style"
	@echo "make format       apply the style"
	@echo "make check        lint and test: what a change must pass"
	@echo "make clean        remove what was built"

run:
	@Scripts/run.sh $(ARGS)

build:
	@Scripts/install.sh run
	swift build $(strict)

test:
	@Scripts/test.sh

integration:
	@Scripts/test.sh --filter IntegrationTests

chaos:
	@CHAOS_RING="$(RING)" Scripts/chaos.sh "$(ONLY)"

lint:
	@Scripts/lint.sh

format:
	swift format --in-place --parallel --recursive Package.swift Sources Tests

sanitize:
	@Scripts/install.sh run
	swift test --scratch-path .build-sanitize --sanitize thread $(strict) \
		--filter 'LinkspanWireTests|LinkspanCoreTests|LinkspanServerTests'

fuzz:
	@Scripts/fuzz.sh $(or $(SECONDS),60)

bench:
	@Scripts/bench.sh $(if $(SHORT),--short) $(ARGS)

check: lint test

clean:
	rm -rf .build .build-sanitize .build-fuzz .brokers
