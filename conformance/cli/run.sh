#!/bin/bash
# The caisson command as root: what docker's and podman's users know, on the
# built-in network, and a census of what is left.
# shellcheck disable=SC2034  # read by suite.sh
images=(busybox debian nginx python3)
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# shellcheck source=checks.sh
. "$here/../cli/checks.sh"
# shellcheck disable=SC2034  # read by checks.sh
rootless=0 caisson_words=("$CAISSON")

# HANDLER_RUNTIME names an OCI runtime that somebody else made, to run it all with.
if [[ -n ${HANDLER_RUNTIME:-} ]]; then
    mkdir -p /etc/caisson/conf.d
    touch /etc/caisson/config.toml
    printf '[runtime]\ndefault_handler = "foreign"\n[runtime.handlers.foreign]\nkind = "oci"\nruntime_path = "%s"\n' \
        "$HANDLER_RUNTIME" >/etc/caisson/conf.d/foreign.toml
fi

load_images busybox debian nginx python3
succeeds "run" run $busybox true
go_on_if_passing
# What the first use makes for good, such as the bridge, is there from now on.
succeeds "run, default network" caisson_ run --rm $busybox true
census >"$scratch/before"
run_checks
limit_checks
lifecycle_checks
nginx_checks
network_checks
between=$(caisson_ run --rm -d --name a $python3 python3 -m http.server 80 >/dev/null 2>&1
    address=$(caisson_ inspect --format json a | jq -r '.. | .IPAddress? // empty' | head -n 1)
    sleep 1
    caisson_ run --rm $busybox wget -q -O /dev/null "http://$address/" 2>&1 && echo works
    caisson_ rm -f a >/dev/null 2>&1)
is "containers reach each other" "works" "$between"
is "nothing is left: mounts, cgroups, processes, links, addresses, rules" "" "$(since "$scratch/before")"
is "nothing is left: run directory" "" "$(find "$CAISSON_RUN_ROOT/pods" "$CAISSON_RUN_ROOT/native" -mindepth 1 2>/dev/null)"
is "nothing is left: no parent of cgroups" "" "$(find /sys/fs/cgroup -mindepth 2 -name caisson)"
is "nothing is left: writable layers" "" "$(find "$CAISSON_ROOT/containers" -mindepth 1 2>/dev/null)"
succeeds "image verify" caisson_ image verify
succeeds "system prune" caisson_ system prune --force
is "system prune: no bridge" "" "$(ip -o link show type bridge)"
is "system prune: no rules" "" "$(nft list tables | grep caisson)"
finish
