# Shortcuts. Everything here can be done with cargo alone.

.DEFAULT_GOAL := help
.PHONY: help programs test check soak soak-engine bench bench-peers bench-micro packages static release host pictures dashboard accessibility

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

programs: ## install the real programs that the tests use, where missing and allowed
	@bash .ci/install-programs

test: programs ## install these programs, then run all tests, those on a booted Debian included
	@bash .ci/test

check: ## all that CI checks: formatting, clippy, docs, tests, dependencies
	@bash .ci/run

soak: ## a few minutes of scrapes and pushes with every attacker beside them (needs wrk, not part of CI)
	cargo build --release --locked --bins
	@python3 .ci/soak

soak-engine: ## half an hour of all that may happen to the engine, at random, against a model
	@bash .ci/soak-engine

# Small runs measure nothing: what the tests have built does.
bench_profile = $(if $(BENCH_SMALL),,--release)

bench: bench-peers ## speed side by side with mtail and Go, into benches/RESULTS.md (half an hour; with BENCH_SMALL=1 a minute)
	cargo build $(bench_profile) --locked --bin etcha-exporter
	cargo build $(bench_profile) --locked -p bench-workload
	@python3 -B benches/driver

bench-peers: ## install what the benchmarks compare with, where missing and allowed
	@bash .ci/install-programs peers

bench-micro: ## micro-benchmarks of the hot paths
	cargo bench --locked --bench micro

packages: ## the Debian packages, in target/debian
	@bash .ci/packages

static: ## the exporter and etcha-journal as programs that need no library, in target/static
	@bash .ci/static

release: ## static programs, packages, bill of materials and checksums, in target/release-files
	@bash .ci/release

host: ## the packages on a booted Debian: install, work, die, upgrade, remove, purge (needs root)
	@python3 .ci/host

pictures: ## the pictures of the status page in docs/pictures, from a run of the demo (needs Chromium and pngquant)
	@bash .ci/pictures

dashboard: ## the picture of the host dashboard in docs/pictures (a quarter of an hour; fetches Grafana's parts from npm)
	@bash .ci/dashboard-picture

accessibility: ## axe-core on the status page in Chromium (fetches axe-core from npm, not part of CI)
	@bash .ci/accessibility
