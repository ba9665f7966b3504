#!/bin/bash
# Drives the CRI of a containerd of its own, with our supervisor as its shim,
# through crictl: containerd-cri.sh RUNTIME-PATH, which caisson-shim lies beside,
# or is; pods are caisson-sentry's if that is the runtime. Needs root, containerd from Debian, and crictl (peers/go/build.sh).
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
[[ -x /usr/bin/containerd && -x /usr/bin/ctr ]] || die "no containerd: run conformance/peers/install.sh apt"
shim_program=$(dirname "$runtime")/caisson-shim
crictl=${CRICTL:-$repo/.cache/peers/go/crictl}
for program in "$shim_program" "$crictl" /bin/busybox; do
    [[ -x $program ]] || { echo "no $program" && rm -rf "$scratch" && exit 77; }
done
daemon=
mkdir -p "$scratch/bin"
isolator=caisson-native
[[ $(basename "$runtime") != caisson-sentry ]] || isolator=caisson-sentry
ln -s "$shim_program" "$scratch/bin/containerd-shim-$isolator-v2"
socket=$scratch/containerd.sock
echo 'timeout: 30' >"$scratch/crictl.yaml"
ctr_() { timeout --foreground 30 /usr/bin/ctr --address "$socket" --namespace k8s.io "$@"; }
crictl_() {
    timeout --foreground 60 "$crictl" --config "$scratch/crictl.yaml" --timeout 30s --runtime-endpoint "unix://$socket" --image-endpoint "unix://$socket" "$@"
}
pods() { grep -ls "$scratch" /run/caisson/v2/*/shim.json 2>/dev/null; }
no_pods() { [[ -z $(pods) ]]; }
state() { crictl_ inspect "$1" 2>/dev/null | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"]["state"])'; }
exited() { [[ $(state "$1") == CONTAINER_EXITED ]]; }
# shellcheck disable=SC2329  # called by trap
cleanup() {
    local pod
    if [[ -n $daemon ]]; then
        crictl_ rmp -fa >/dev/null 2>&1
        end_daemon "$daemon"
    fi
    for pod in $(pods); do rm -rf "$(dirname "$pod")"; done
    sweep
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# What plays the pause image runs its own command: this one's.
mkdir -p "$scratch/rootfs/bin" "$scratch/rootfs/etc" "$scratch/rootfs/tmp"
cp /bin/busybox "$scratch/rootfs/bin/"
for applet in sh sleep echo cat hostname id true ls tr grep ipcs; do ln -s busybox "$scratch/rootfs/bin/$applet"; done
printf '#!/bin/sh\ntrap "exit 0" TERM\nwhile :; do sleep 1000 & wait $!; done\n' >"$scratch/rootfs/bin/bash"
chmod 0755 "$scratch/rootfs/bin/bash"
python3 "$here/image.py" "$scratch/rootfs" "$scratch/image.tar" caisson-test/busybox:latest || exit 2
cat >"$scratch/config.toml" <<CONF
version = 2
root = "$scratch/root"
state = "$scratch/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
oom_score = 0
[grpc]
  address = "$socket"
[ttrpc]
  address = "$socket.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/caisson-test/busybox:latest"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "ours"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.ours]
    runtime_type = "io.containerd.$isolator.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = "$scratch/cni"
CONF
cat >"$scratch/pod.json" <<JSON
{"metadata": {"name": "pod", "namespace": "test", "uid": "$mark", "attempt": 0},
 "log_directory": "$scratch/logs",
 "linux": {"cgroup_parent": "/$mark", "security_context": {"namespace_options": {"network": 2, "pid": 1}}}}
JSON
container() { # name, command as JSON, more fields
    cat >"$scratch/$1.json" <<JSON
{"metadata": {"name": "$1"}, "image": {"image": "docker.io/caisson-test/busybox:latest"},
 "command": $2, "log_path": "$1.log", "envs": [{"key": "CAISSON_MARK", "value": "$mark"}],
 "linux": {"resources": {"memory_limit_in_bytes": 67108864}} ${3:-}}
JSON
    crictl_ create "$pod" "$scratch/$1.json" "$scratch/pod.json"
}
mkdir -p "$scratch/cni" "$scratch/logs"
CAISSON_MARK=$mark PATH=$scratch/bin:$PATH unshare --mount --propagation private /usr/bin/containerd \
    --config "$scratch/config.toml" >>"$scratch/containerd.log" 2>&1 &
daemon=$!
eventually "containerd starts" 30 crictl_ version
succeeds "import an image" ctr_ image import "$scratch/image.tar"
go_on_if_passing
pod=$(crictl_ runp "$scratch/pod.json" 2>&1)
like "runp" '^[0-9a-f]{64}$' "$pod"
((failed == 0)) || tail -n 5 "$scratch/containerd.log"
go_on_if_passing
is "one supervisor" 1 "$(pods | wc -l)"
one=$(container one '["sh", "-c", "trap \"exit 7\" TERM; echo out; echo err >&2; while :; do sleep 0.1; done"]' 2>&1)
two=$(container two '["sh", "-c", "read line; echo got $line; exit 5"]' ', "stdin": true, "stdin_once": true' 2>&1)
like "create" '^[0-9a-f]{64}$' "$one"
like "create another" '^[0-9a-f]{64}$' "$two"
go_on_if_passing
succeeds "start" crictl_ start "$one"
succeeds "start another" crictl_ start "$two"
is "still one supervisor" 1 "$(pods | wc -l)"
is "state" CONTAINER_RUNNING "$(state "$one")"
is "exec -s" "hello" "$(crictl_ exec -s "$one" echo hello 2>&1)"
exits "exec -s: failure" 1 crictl_ exec -s "$one" sh -c 'exit 3'
like "exec -s --timeout" 'DeadlineExceeded|timeout' "$(crictl_ exec -s --timeout 1 "$one" sleep 100 2>&1)"
is "exec, by streams" "hello" "$(crictl_ exec "$one" echo hello 2>&1)"
is "exec -i, by streams" "abc" "$(echo abc | crictl_ exec -i "$one" cat 2>&1)"
eventually "logs: both streams" 60 grep -q 'stderr F err' "$scratch/logs/one.log"
like "logs" 'out' "$(crictl_ logs "$one" 2>&1)"
like "stats" 'one' "$(crictl_ stats "$one" 2>&1)"
echo xyz | timeout 20 "$crictl" --config "$scratch/crictl.yaml" --runtime-endpoint "unix://$socket" attach -i "$two" >/dev/null 2>&1
eventually "attach: its input arrived, and ended" 60 exited "$two"
eventually "attach: what it said" 60 grep -q 'got xyz' "$scratch/logs/two.log"
like "exit code" '"exitCode": 5' "$(crictl_ inspect "$two" 2>&1)"
is "the other goes on" CONTAINER_RUNNING "$(state "$one")"
succeeds "stop" crictl_ stop --timeout 10 "$one"
like "stop: the handler's exit code" '"exitCode": 7' "$(crictl_ inspect "$one" 2>&1)"
oom=$(container oom '["sh", "-c", "x=a; while :; do x=$x$x; done"]' 2>&1)
succeeds "start a hog" crictl_ start "$oom"
eventually "the hog ends" 20 exited "$oom"
like "the hog: OOMKilled" '"reason": "OOMKilled"' "$(crictl_ inspect "$oom" 2>&1)"
succeeds "rm" crictl_ rm "$oom"
succeeds "stopp" crictl_ stopp "$pod"
succeeds "rmp" crictl_ rmp "$pod"
is "ps -a: none" "" "$(crictl_ ps -aq 2>&1)"
end_daemon "$daemon"
wait "$daemon" 2>/dev/null
daemon=
eventually "every supervisor has left" 60 no_pods
rmdir "/sys/fs/cgroup/$mark" /sys/fs/cgroup/*/"$mark" 2>/dev/null
nothing_left "$scratch/state/io.containerd.runtime.v2.task/k8s.io"
summary
