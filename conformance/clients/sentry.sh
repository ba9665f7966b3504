#!/bin/bash
# Drives podman (as root) and caisson with the sentry: containers on a kernel of their
# own. sentry.sh RUNTIME-PATH, whose folder has caisson-sentry and caisson, too. All of
# podman.sh and the others with the sentry: make conformance-sentry.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=podman-checks.sh
. "$(dirname "$0")/podman-checks.sh"
command -v podman >/dev/null || die "no podman: run conformance/peers/install.sh apt"
sentry=$(dirname "$runtime")/caisson-sentry
caisson=$(dirname "$runtime")/caisson
[[ -x $sentry && -x $caisson ]] || die "no caisson-sentry and caisson beside $runtime: run 'make build'"
runtime=$sentry
# shellcheck disable=SC2329  # called by trap
cleanup() {
    podman_ rm -af -t 0 >/dev/null 2>&1
    sweep
}
trap cleanup EXIT
trap 'exit 130' INT TERM

write_podman_conf "$sentry"
# conmon leaves a file where it was started.
podman_args=(env -C "$scratch" "CONTAINERS_CONF=$scratch/containers.conf" "CAISSON_MARK=$mark" podman
    --root "$scratch/root" --runroot "$scratch/runroot" --tmpdir "$scratch/tmp"
    --storage-driver overlay --runtime "$sentry")
podman_() { timeout --foreground 60 "${podman_args[@]}" "$@"; }

archive=$(image_archive) || exit 2
load_image "$archive"
succeeds "podman run" run $image true
go_on_if_passing
kernel=$(run $image uname -r 2>&1)
like "another kernel" '^[0-9.]+-caisson$' "$kernel"
like "its boot messages" "Linux version $kernel" "$(run $image dmesg 2>&1)"
exits "exit code" 42 run $image sh -c 'exit 42'
exits "death by signal" 137 run $image sh -c 'sh -c "kill -KILL \$\$"; exit $?'
exits "missing command" 127 run $image /no/such/command
is "stdin, env, cwd, user" "v /tmp 33 abc" \
    "$(echo abc | run -i -e K=v -w /tmp -u 33 $image sh -c 'echo $K $(pwd) $(id -u) $(cat)' 2>&1)"
mkdir -p "$scratch/volume"
echo shared >"$scratch/volume/file"
chmod -R a+rX "$scratch/volume"
like "volume, read-only" 'shared.*Read-only file system' \
    "$(run -v "$scratch/volume:/v:ro" $image sh -c 'cat /v/file; touch /v/other' 2>&1 | tr '\n' ' ')"
exits "out of memory" 137 run --memory 32m --memory-swap 32m --cgroup-parent "/$mark" $image tail /dev/zero
like "refused by name" 'pid namespace' "$(run --pid=host $image true 2>&1)"

c=$mark-a
succeeds "run -d" podman_ run -d --name $c --network=none --cgroup-parent "/$mark" -e CAISSON_MARK="$mark" $image \
    bash -c 'echo out; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
exits "exec: exit code" 9 podman_ exec $c sh -c 'exit 9'
is "exec: stdin" "abc" "$(echo abc | podman_ exec -i $c cat 2>&1)"
succeeds "kill -s USR1" podman_ kill -s USR1 $c
heard() { [[ $(podman_ logs $c 2>/dev/null) == *usr1* ]]; }
eventually "logs: the signal was handled" 60 heard
succeeds "pause" podman_ pause $c
is "paused" "paused" "$(podman_ inspect -f '{{.State.Status}}' $c 2>&1)"
succeeds "unpause" podman_ unpause $c
succeeds "stop" podman_ stop -t 30 $c
is "stop: exit code of the SIGTERM handler" "7" "$(podman_ inspect -f '{{.State.ExitCode}}' $c 2>&1)"
succeeds "rm" podman_ rm $c

export CAISSON_ROOT=$scratch/store CAISSON_RUN_ROOT=$scratch/run
cai() { timeout --foreground 60 env "CAISSON_MARK=$mark" "$caisson" "$@"; }
succeeds "caisson load" cai load -i "$archive"
ours=$(cai images --format json 2>/dev/null | grep -o 'caisson-test/debian[^"]*' | head -n 1)
for handler in runsc gvisor sentry; do
    is "caisson run --runtime $handler" "$kernel" \
        "$(cai run --rm --network none --runtime $handler "${ours:-caisson-test/debian:latest}" uname -r 2>&1)"
done
cai system prune --force >/dev/null 2>&1
podman_ image rm -af >/dev/null 2>&1
nothing_left
summary
