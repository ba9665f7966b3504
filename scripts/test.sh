#!/bin/bash
# Runs the tests of the workspace. Tests that need root say so when they are
# not run as root; here is only the summary.
set -euo pipefail
cd "$(dirname "$0")/.."
# busybox-static: root file system of test containers; uidmap: rootless ones;
# procps: `ps`; python3-seccomp: what our filters are compared with; dbus-daemon: under a
# stand-in for systemd; iproute2: network devices to move;
# nftables: the built-in network; containernetworking-plugins, passt, slirp4netns: other networks;
# docker-registry, apache2-utils, openssl, skopeo, python3-nacl: registries, their users, signatures;
# runc, crun: handlers of kind oci; containerd: its shim, for handlers of kind shim;
# gcc, libc6-dev: programs that the sentry runs.
scripts/packages.sh busybox-static uidmap procps python3 python3-seccomp dbus-daemon iproute2 \
    nftables containernetworking-plugins passt slirp4netns docker-registry apache2-utils \
    openssl skopeo python3-nacl runc crun containerd gcc libc6-dev
if ((EUID != 0)); then
    echo "test: not root: tests that make real containers will say that they are left out"
fi
# Whoever starts this in the background may have it ignore what a terminal
# sends; tests that type Ctrl-C would wait for ever.
default=(env --default-signal=INT --default-signal=QUIT)
echo "test: cargo test --workspace"
# shellcheck disable=SC2086
"${default[@]}" cargo test ${CARGO_FLAGS:-} --workspace --no-fail-fast
echo "test: creation that fails, or is killed, at every step"
# shellcheck disable=SC2086
"${default[@]}" cargo test ${CARGO_FLAGS:-} -p caisson-native --features fault-injection --test failed_create
echo "test: all passed"
