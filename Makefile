# Shortcuts. Everything here can be done with cargo alone.

.DEFAULT_GOAL := help
.PHONY: help programs test check soak packages static host

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

programs: ## install the real programs that the tests use, where missing and allowed
	@bash .ci/install-programs

test: programs ## install these programs, then run all tests
	cargo test --workspace --locked

check: ## all that CI checks: formatting, clippy, docs, tests, dependencies
	@bash .ci/run

soak: ## a few minutes of scrapes under wrk with hostile clients beside them (needs wrk, not part of CI)
	cargo build --release --locked --bin etcha-exporter
	@python3 .ci/soak

packages: ## the Debian packages, in target/debian
	@bash .ci/packages

static: ## the exporter and etcha-journal as programs that need no library, in target/static
	@bash .ci/static

host: ## the packages on a booted Debian: install, work, die, upgrade, remove, purge (needs root)
	@python3 .ci/host
