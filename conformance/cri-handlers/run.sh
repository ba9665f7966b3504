#!/bin/bash
# Pods of `caisson serve` that others' programs run: OCI runtimes (handlers of
# kind "oci": Debian's runc and crun) and containerd's shims (kind "shim":
# Debian's containerd-shim-runc-v2, a newer one if it has been built, and our
# own supervisor under its name for containerd). The same questions to each;
# HANDLERS names some of them.
# shellcheck disable=SC2034,SC2154  # read, and set, by suite.sh
images=(busybox)
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    own=$(cd "$(dirname "$0")" && pwd)
    "$own/../../scripts/packages.sh" runc crun containerd jq iptables containernetworking-plugins || exit 2
    "$own/../peers/go/build.sh" crictl || exit 2
fi
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# shellcheck source=../cri.sh
. "$here/../cri.sh"
# shellcheck source=handlers.sh
. "$here/handlers.sh"
# shellcheck source=checks.sh
. "$here/checks.sh"
# shellcheck disable=SC2329  # called by trap
cleanup() {
    stop_cri
    mkdir -p "$cache/conformance/cri-handlers"
    cp "$scratch"/*.log "$cache/conformance/cri-handlers/" 2>/dev/null
}
trap cleanup EXIT

add_handlers

start_cri || exit 1
"$CAISSON" --config "$scratch/caisson.toml" load -q -i "$cache/images/busybox" >/dev/null ||
    "$CAISSON" --config "$scratch/caisson.toml" load -i "$cache/images/busybox" || die "no image"
image=$(crictl_ images -q | head -n 1)
census >"$scratch/before"
report_checks
# shellcheck disable=SC2068  # names
for handler in ${HANDLERS:-${handlers[@]}}; do
    handler_checks "$handler"
done
stop_cri
summary
