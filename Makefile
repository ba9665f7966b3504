# Caisson's targets. Each installs what it needs on Debian 12 (with sudo where
# not root) and says what it does; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS += --no-print-directory

# Where rustup and Go's own archive put their commands.
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

PREFIX ?= /usr/local
DESTDIR ?=
CARGO_FLAGS ?=
export CARGO_FLAGS
# The workspace builds for the host's triple by name (.cargo/config.toml).
TRIPLE = $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
OUT = $(or $(CARGO_TARGET_DIR),target)/$(TRIPLE)/release
NATIVE = $(OUT)/caisson-native
CAISSON = $(OUT)/caisson

.PHONY: help build demo demo-native test test-sentry conformance conformance-kubernetes conformance-runsc conformance-sentry kill-campaign cri-faults bench bench-native bench-memory bench-churn bench-image bench-cri bench-sentry install lint clean

help: ## list the targets
	@echo "make TARGET, where TARGET is one of:"
	sed -n 's/^\([a-z-]*\):.*## /  \1 /p' $(firstword $(MAKEFILE_LIST)) \
	    | awk '{ printf "  %-14s", $$1; $$1 = ""; print }'

build: ## build the release binaries
	@scripts/toolchain.sh
	echo "build: cargo build --release -p caisson -p caisson-shim -p caisson-native -p caisson-sentry"
	cargo build $(CARGO_FLAGS) --release -p caisson -p caisson-shim -p caisson-native -p caisson-sentry
	echo "build: caisson, caisson-shim, caisson-native and caisson-sentry in $(OUT)"

demo: build ## make an image of Debian packages, run it, look at it, clean up (root)
	@CAISSON="$(abspath $(CAISSON))" scripts/demo.sh

demo-native: build ## run a container step by step and show its walls (root)
	@RUNTIME="$(abspath $(NATIVE))" scripts/demo-native.sh

test: ## run the tests of every crate, and the house rules
	@scripts/toolchain.sh
	scripts/test.sh

test-sentry: ## the sentry's tests, those that take long too, and programs of Debian (root); PROGRAMS, SCALE, MODULES
	@scripts/toolchain.sh
	scripts/packages.sh busybox-static gcc libc6-dev python3 git strace gdb iproute2 procps
	# Whoever starts this in the background may have it ignore what a terminal sends.
	env --default-signal=INT --default-signal=QUIT cargo test $(CARGO_FLAGS) --no-fail-fast -p caisson-sentry -- --include-ignored
	cargo build $(CARGO_FLAGS) --release -p caisson-native -p caisson-sentry
	env --default-signal=INT --default-signal=QUIT FORM=whole SUITE_TIMEOUT=20000 RUNTIME="$(abspath $(NATIVE))" \
	    scripts/conformance.sh programs

conformance: build ## run the suites and clients that others wrote (root, Go)
	@RUNTIME="$(abspath $(NATIVE))" CAISSON="$(abspath $(CAISSON))" scripts/conformance.sh

conformance-kubernetes: build ## a real kubelet, kube-apiserver and kubectl on the daemon (root, Go; builds Kubernetes)
	@RUNTIME="$(abspath $(NATIVE))" CAISSON="$(abspath $(CAISSON))" SUITE_TIMEOUT=5400 scripts/conformance.sh kubernetes

conformance-runsc: build ## critest with every pod on a kernel of its own (root, Go)
	@RUNTIME="$(abspath $(NATIVE))" CAISSON="$(abspath $(CAISSON))" HANDLER=runsc scripts/conformance.sh critest

conformance-sentry: build ## podman, docker, containerd and crictl with caisson-sentry as their runtime (root, Go)
	@RUNTIME="$(abspath $(OUT)/caisson-sentry)" CAISSON="$(abspath $(CAISSON))" scripts/conformance.sh podman docker containerd containerd-cri

kill-campaign: build ## 500 kills -9 of pulls, loads, runs and removes (root); KILLS, SEED
	@KILLS="$${KILLS:-500}" SUITE_TIMEOUT=14400 RUNTIME="$(abspath $(NATIVE))" CAISSON="$(abspath $(CAISSON))" \
	    scripts/conformance.sh kill-campaign

cri-faults: build ## faults against the daemon, twenty times as many as in conformance (root); ROUNDS, SEED, PARTS
	@ROUNDS="$${ROUNDS:-20}" SUITE_TIMEOUT=14400 RUNTIME="$(abspath $(NATIVE))" CAISSON="$(abspath $(CAISSON))" \
	    scripts/conformance.sh cri-faults

bench: bench-native bench-image bench-cri ## every bench

bench-native: build ## compare caisson-native with crun and runc (root); RUNS, RECORD
	@RUNTIME="$(abspath $(NATIVE))" scripts/bench-native.sh

bench-memory: build ## only the smallest memory limit that works (root)
	@RUNTIME="$(abspath $(NATIVE))" scripts/bench-native.sh memory-floor

bench-churn: build ## only 1,000 containers in a row, 100 at once, and a census (root)
	@RUNTIME="$(abspath $(NATIVE))" scripts/bench-native.sh churn

bench-image: build ## pulls and runs beside containerd, docker, podman (root); PULLS, RUNS, RECORD, CHECK
	@CAISSON="$(abspath $(CAISSON))" scripts/bench-image.sh

bench-cri: build ## pods through the CRI beside containerd and runc (root, Go); ROUNDS, RESIDENT, RECORD, CHECK
	@CAISSON="$(abspath $(CAISSON))" scripts/bench-cri.sh

bench-sentry: ## calls, programs, starts and memory under caisson-sentry, caisson-native and gVisor's runsc (root, Go); RUNS, FILES, PEERS
	@scripts/toolchain.sh
	cargo build $(CARGO_FLAGS) --release -p caisson-native -p caisson-sentry
	NATIVE="$(abspath $(NATIVE))" SENTRY="$(abspath $(OUT)/caisson-sentry)" scripts/bench-sentry.sh

install: ## install binaries, the systemd unit, manual pages and completions below PREFIX (/usr/local)
	@if command -v cargo >/dev/null; then
	    $(MAKE) build
	elif [ ! -x "$$(ls target/*/release/caisson 2>/dev/null | head -n1)" ]; then
	    echo "install: nothing is built, and there is no cargo here: run 'make build' as yourself first" >&2
	    exit 1
	fi
	built="$(OUT)"
	[ -x "$$built/caisson" ] || built=$$(dirname "$$(ls target/*/release/caisson | head -n1)")
	to="$(DESTDIR)$(PREFIX)"
	echo "install: caisson, caisson-native, caisson-sentry -> $$to/bin; caisson-shim, caisson-init -> $$to/libexec/caisson; containerd-shim-caisson-native-v2 and containerd-shim-caisson-sentry-v2, links to it"
	install -D -m 0755 -t "$$to/bin" "$$built/caisson" "$$built/caisson-native" "$$built/caisson-sentry"
	install -D -m 0755 -t "$$to/libexec/caisson" "$$built/caisson-shim" "$$built/caisson-init"
	ln -sfn ../libexec/caisson/caisson-shim "$$to/bin/containerd-shim-caisson-native-v2"
	ln -sfn ../libexec/caisson/caisson-shim "$$to/bin/containerd-shim-caisson-sentry-v2"
	mkdir -p "$$to/lib/systemd/system"
	sed 's|@PREFIX@|$(PREFIX)|' scripts/caisson.service >"$$to/lib/systemd/system/caisson.service"
	chmod 0644 "$$to/lib/systemd/system/caisson.service"
	for runtime in caisson-native caisson-sentry; do
	    install -D -m 0644 "docs/$$runtime.8" "$$to/share/man/man8/$$runtime.8"
	    install -D -m 0644 scripts/completion.bash "$$to/share/bash-completion/completions/$$runtime"
	done
	pages=$$(mktemp -d)
	trap 'rm -rf "$$pages"' EXIT
	"$$built/caisson" man --out "$$pages"
	install -D -m 0644 -t "$$to/share/man/man1" "$$pages"/*.1
	for shell in bash:bash-completion/completions/caisson zsh:zsh/site-functions/_caisson fish:fish/vendor_completions.d/caisson.fish; do
	    "$$built/caisson" completion "$${shell%%:*}" >"$$pages/completion"
	    install -D -m 0644 "$$pages/completion" "$$to/share/$${shell#*:}"
	done

lint: ## check format, lints and scripts
	@scripts/toolchain.sh
	scripts/lint.sh

clean: ## remove what was built and fetched
	@echo "clean: cargo clean; rm -r .cache"
	cargo clean
	rm -rf .cache
