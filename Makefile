# What each target does stands in CONTRIBUTING.md.
.DEFAULT_GOAL := run
.PHONY: run run-kafka test check bench bench-http bench-outbox bench-quick bench-records chaos coverage dist fuzz migration schemathesis sqlx setup test-dates

setup:
	@scripts/setup

run: setup
	cargo run -- dev --demo

run-kafka: setup
	@scripts/run-kafka

test: setup
	@scripts/test

test-dates: setup
	@scripts/test-dates $(DATES)

chaos: setup
	@scripts/chaos

schemathesis: setup
	@scripts/schemathesis

fuzz: setup
	@scripts/fuzz $(TARGETS)

check: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@scripts/sqlx --check
	@scripts/check-schema
	@scripts/check-fuzz
	@scripts/deny

sqlx: setup
	@scripts/sqlx

bench: setup
	@scripts/bench $(PARTS)

bench-records: setup
	@scripts/bench-records

bench-outbox: setup
	@scripts/bench-outbox

bench-quick: setup
	@scripts/bench --quick

bench-http: setup
	@scripts/bench-http

coverage: setup
	@scripts/coverage

dist: setup
	cargo build --profile dist
	install -D -m 755 "$${CARGO_TARGET_DIR:-target}/dist/salesos" dist/salesos

migration:
	@scripts/migration "$(NAME)"
