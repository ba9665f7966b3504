#!/bin/bash
# Drives podman (as root) with a given OCI runtime: podman.sh RUNTIME-PATH.
# Needs root, and podman from Debian (conformance/peers/install.sh apt).
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=podman-checks.sh
. "$(dirname "$0")/podman-checks.sh"
command -v podman >/dev/null || die "no podman: run conformance/peers/install.sh apt"
rootless=0
# shellcheck disable=SC2329  # called by trap
cleanup() {
    podman_ rm -af -t 0 >/dev/null 2>&1
    sweep
}
trap cleanup EXIT
trap 'exit 130' INT TERM

write_podman_conf "$runtime"
# conmon leaves a file where it was started.
podman_args=(env -C "$scratch" "CONTAINERS_CONF=$scratch/containers.conf" "CAISSON_MARK=$mark" podman
    --root "$scratch/root" --runroot "$scratch/runroot" --tmpdir "$scratch/tmp"
    --storage-driver overlay --runtime "$runtime")
podman_() { timeout --foreground 30 "${podman_args[@]}" "$@"; }
in_pty_podman() { in_pty "${podman_args[@]}" "$@"; }

archive=$(image_archive) || exit 2
load_image "$archive"
succeeds "run" run $image true
go_on_if_passing
podman_run_checks
podman_limit_checks
is "run: user namespace" " 0 100000 5000" \
    "$(run --uidmap 0:100000:5000 --gidmap 0:100000:5000 $image cat /proc/self/uid_map 2>&1 | tr -s " ")"
podman_lifecycle_checks
podman_shared_checks
podman_ image rm -af >/dev/null 2>&1
nothing_left
summary
