#!/bin/bash
# Drives podman as an ordinary user with a given OCI runtime:
# podman-rootless.sh RUNTIME-PATH. Started by root, which makes a user with
# subordinate ids for the run and removes it again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=podman-checks.sh
. "$(dirname "$0")/podman-checks.sh"
command -v podman newuidmap >/dev/null || die "no podman or uidmap: run conformance/peers/install.sh apt"
# shellcheck disable=SC2034  # read by podman-checks.sh
rootless=1
user=caisson-test-$$
# shellcheck disable=SC2329  # called by trap
cleanup() {
    podman_ rm -af -t 0 >/dev/null 2>&1
    # What the user's podman left running (its pause process) is the user's only.
    podman_ system migrate >/dev/null 2>&1
    sweep
    userdel "$user" >/dev/null 2>&1
    sed -i "/^$user:/d" /etc/subuid /etc/subgid
}
trap cleanup EXIT
trap 'exit 130' INT TERM

useradd --no-create-home --home-dir "$scratch/home" --shell /bin/sh "$user" || die "can't add user $user"
grep -q "^$user:" /etc/subuid || usermod --add-subuids 700000-765535 --add-subgids 700000-765535 "$user"
mkdir -p "$scratch"/{home,xdg}
write_podman_conf "$scratch/$(basename "$runtime")"
chmod 711 "$scratch"
chown -R "$user:" "$scratch"
chmod 700 "$scratch/xdg"
# The user reaches neither this repository nor, possibly, the runtime.
install -m 755 "$runtime" "$scratch/$(basename "$runtime")"
archive=$(image_archive) || exit 2
install -o "$user" -m 644 "$archive" "$scratch/home/image.tar"

podman_args=(setpriv --reuid "$user" --regid "$user" --init-groups env -i -C "$scratch/home" "PATH=$PATH"
    "HOME=$scratch/home" "XDG_RUNTIME_DIR=$scratch/xdg" "TMPDIR=$TMPDIR" "CONTAINERS_CONF=$scratch/containers.conf"
    "CAISSON_MARK=$mark" TERM=xterm podman --storage-driver overlay --runtime "$scratch/$(basename "$runtime")")
podman_() { timeout --foreground 30 "${podman_args[@]}" "$@"; }
in_pty_podman() { in_pty "${podman_args[@]}" "$@"; }

load_image "$scratch/home/image.tar"
is "podman runs without root" "true" "$(podman_ info -f '{{.Host.Security.Rootless}}' 2>&1)"
succeeds "run" run $image true
go_on_if_passing
podman_run_checks
is "run: the user's id is root inside" "0 $(id -u "$user") 1" \
    "$(run $image head -n 1 /proc/self/uid_map 2>&1 | tr -s ' ' | sed 's/^ //')"
is "run: subordinate ids are mapped" "1 $(awk -F: -v u="$user" '$1 == u {print $2, $3}' /etc/subuid)" \
    "$(run $image sed -n 2p /proc/self/uid_map 2>&1 | tr -s ' ' | sed 's/^ //')"
is "run --userns=keep-id" "$(id -u "$user")" "$(run --userns=keep-id $image id -u 2>&1)"
podman_lifecycle_checks
podman_ image rm -af >/dev/null 2>&1
podman_ system migrate >/dev/null 2>&1
nothing_left
summary
