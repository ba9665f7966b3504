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
# shellcheck source=checks.sh
. "$here/checks.sh"
# shellcheck disable=SC2329  # called by trap
cleanup() {
    stop_cri
    mkdir -p "$cache/conformance/cri-handlers"
    cp "$scratch"/*.log "$cache/conformance/cri-handlers/" 2>/dev/null
}
trap cleanup EXIT

# crun refuses hosts that have both kinds of cgroups.
if mountpoint -q /sys/fs/cgroup/unified; then
    umount /sys/fs/cgroup/unified && mount -t tmpfs none /sys/fs/cgroup/unified
fi

handlers=(runc-oci crun-oci shim shim-caisson)
mkdir "$scratch/shims"
ln -s "$(dirname "$CAISSON")/caisson-shim" "$scratch/shims/containerd-shim-caisson-native-v2"
configure_caisson_alone=$(declare -f configure_caisson)
eval "${configure_caisson_alone/configure_caisson/configure_alone}"
configure_caisson() {
    configure_alone
    cat >>"$scratch/caisson.toml" <<TOML
[runtime.handlers.runc-oci]
kind = "oci"
runtime_path = "/usr/sbin/runc"
[runtime.handlers.crun-oci]
kind = "oci"
runtime_path = "/usr/bin/crun"
[runtime.handlers.shim]
kind = "shim"
runtime_type = "io.containerd.runc.v2"
runtime_path = "/usr/bin/containerd-shim-runc-v2"
[runtime.handlers.shim.options]
BinaryName = "/usr/sbin/runc"
[runtime.handlers.shim-caisson]
kind = "shim"
runtime_type = "io.containerd.caisson-native.v2"
runtime_path = "$scratch/shims/containerd-shim-caisson-native-v2"
[runtime.handlers.missing]
kind = "shim"
runtime_type = "io.containerd.no-such-thing.v1"
TOML
    if [[ -x $go_programs/containerd-shim-runc-v2 ]]; then
        handlers+=(shim-new)
        cat >>"$scratch/caisson.toml" <<TOML
[runtime.handlers.shim-new]
kind = "shim"
runtime_type = "io.containerd.runc.v2"
runtime_path = "$go_programs/containerd-shim-runc-v2"
sandbox_container = true
[runtime.handlers.shim-new.options]
BinaryName = "/usr/sbin/runc"
TOML
    fi
}
serve_caisson() { exec "$CAISSON" --config "$scratch/caisson.toml" serve --socket "$cri_socket"; }

start_cri || exit 1
"$CAISSON" --config "$scratch/caisson.toml" load -q -i "$cache/images/busybox" >/dev/null ||
    "$CAISSON" --config "$scratch/caisson.toml" load -i "$cache/images/busybox" || die "no image"
image=$(crictl_ images -q | head -n 1)
census >"$scratch/before"
report_checks
for handler in ${HANDLERS:-"${handlers[@]}"}; do
    handler_checks "$handler"
done
stop_cri
summary
