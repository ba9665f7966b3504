#!/bin/bash
# Drives a docker daemon of its own with a given OCI runtime: docker.sh
# RUNTIME-PATH. Needs root, and docker.io from Debian; containerd in /usr/bin.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
[[ -x /usr/sbin/dockerd && -x /usr/bin/docker ]] || die "no docker.io: run conformance/peers/install.sh apt"
image=caisson-test/debian:latest
daemon=
docker_() { timeout --foreground 30 env DOCKER_HOST="unix://$scratch/docker.sock" DOCKER_CONFIG="$scratch/config" /usr/bin/docker "$@"; }
in_pty_docker() { in_pty env DOCKER_HOST="unix://$scratch/docker.sock" DOCKER_CONFIG="$scratch/config" /usr/bin/docker "$@"; }
run() { docker_ run --rm --network=none "$@"; }
field() { docker_ inspect -f "{{$2}}" "$1" 2>&1; }
# shellcheck disable=SC2329  # called by trap
cleanup() {
    if [[ -n $daemon ]]; then
        docker_ ps -aq 2>/dev/null | while read -r id; do docker_ rm -f "$id" >/dev/null 2>&1; done
        end_daemon "$daemon"
    fi
    sweep
}
trap cleanup EXIT
trap 'exit 130' INT TERM

archive=$(image_archive) || exit 2
# A mount namespace of its own: docker's mounts end with it.
echo "{}" >"$scratch/daemon.json"
CAISSON_MARK=$mark unshare --mount --propagation private /usr/sbin/dockerd \
    --host "unix://$scratch/docker.sock" --data-root "$scratch/data" --exec-root "$scratch/exec" \
    --pidfile "$scratch/docker.pid" --config-file "$scratch/daemon.json" --group root \
    --add-runtime "caisson=$runtime" --default-runtime caisson --cgroup-parent "/$mark" \
    --exec-opt native.cgroupdriver=cgroupfs --iptables=false --ip6tables=false --bridge=none \
    --default-ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" \
    --oom-score-adjust 0 --storage-driver overlay2 >"$scratch/dockerd.log" 2>&1 &
daemon=$!
eventually "dockerd starts" 30 docker_ version
((failed == 0)) || tail -n 5 "$scratch/dockerd.log"
go_on_if_passing
is "default runtime" "caisson" "$(docker_ info -f '{{.DefaultRuntime}}' 2>&1)"
succeeds "load the Debian image" docker_ load -q -i "$archive"
succeeds "run" run $image true
((failed == 0)) || tail -n 5 "$scratch/dockerd.log"
go_on_if_passing

is "run: output" "hello from bookworm" \
    "$(run $image sh -c 'echo hello from $(. /etc/os-release; echo $VERSION_CODENAME)' 2>&1)"
exits "run: exit code" 42 run $image sh -c 'exit 42'
exits "run: death by signal" 137 run --pid=host $image sh -c 'kill -KILL $$'
exits "run: missing command is 127" 127 run $image /no/such/command
exits "run: command without x bit is 126" 126 run $image /etc/passwd
is "run: env, cwd, user, groups" "v /tmp 33:1000 1000" \
    "$(run -e K=v -w /tmp -u 33:1000 $image sh -c 'echo $K $(pwd) $(id -u):$(id -g) $(id -G)' 2>&1)"
is "run: stdin" "abc" "$(echo abc | run -i $image cat 2>&1)"
like "run -t: a terminal" '^/dev/(pts/0|console)' "$(in_pty_docker run --rm --network=none -t $image tty)"
is "run: hostname" "box" "$(run --hostname box $image hostname 2>&1)"
is "run: seccomp filter" "Seccomp: 2" "$(run $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
is "run: seccomp unconfined" "Seccomp: 0" \
    "$(run --security-opt seccomp=unconfined $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
is "run: no-new-privileges" "NoNewPrivs: 1" \
    "$(run --security-opt no-new-privileges $image grep NoNewPrivs: /proc/self/status 2>&1 | tr '\t' ' ')"
is "run: capabilities dropped" "CapEff: 0000000000000000" \
    "$(run --cap-drop all $image grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
all_capabilities && succeeds "run: privileged" run --privileged $image sh -c 'mount -t tmpfs t /mnt && umount /mnt'
is "run: ulimit" "512" "$(run --ulimit nofile=512:512 $image sh -c 'ulimit -n' 2>&1)"
like "run: read-only root" 'Read-only file system' "$(run --read-only $image touch /x 2>&1)"
like "run: tmpfs size" '1024 +' "$(run --tmpfs /t:size=1m $image df -k /t 2>&1)"
mkdir -p "$scratch/volume"
echo shared >"$scratch/volume/file"
is "run: volume" "shared" "$(run -v "$scratch/volume:/v:ro" $image cat /v/file 2>&1)"
like "run: volume is read-only" 'Read-only file system' "$(run -v "$scratch/volume:/v:ro" $image touch /v/other 2>&1)"
is "run: sysctl" "1" "$(run --sysctl net.ipv4.ip_forward=1 $image cat /proc/sys/net/ipv4/ip_forward 2>&1)"
like "run: limits in the cgroup" $'^67108864\n50\n50000' "$(run --memory 64m --memory-swap 64m --pids-limit 50 --cpu-quota 50000 $image \
    sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us 2>/dev/null || cat memory.max pids.max cpu.max' 2>&1)"
succeeds "devices: --device is usable" run --device /dev/full:/dev/mine $image sh -c 'dd if=/dev/mine of=/dev/null bs=1 count=1'
like "devices: others are not" 'Operation not permitted|Permission denied' \
    "$(run --cap-add mknod $image sh -c 'mknod /tmp/d b 254 0 && dd if=/tmp/d of=/dev/null bs=1 count=1' 2>&1)"

c=$mark-oom
docker_ run --name $c --network=none --memory 16m --memory-swap 16m $image tail /dev/zero >/dev/null 2>&1
is "out of memory: exit code" "137" "$(field $c .State.ExitCode)"
is "out of memory: noticed" "true" "$(field $c .State.OOMKilled)"
docker_ rm $c >/dev/null 2>&1

c=$mark-net
succeeds "network: the first container" docker_ run -d --name $c --network=none --ipc shareable -e CAISSON_MARK="$mark" $image "${answers[@]}"
is "network: by another one's name" "through" "$(docker_ run --rm --network container:$c $image "${asks[@]}" 2>&1)"
is "network: and its IPC" "through" "$(docker_ run --rm --network container:$c --ipc container:$c $image "${asks[@]}" 2>&1)"
succeeds "network: rm -f" docker_ rm -f $c

c=$mark-a
succeeds "run -d" docker_ run -d --name $c --network=none -e CAISSON_MARK="$mark" $image \
    bash -c 'echo out; echo err >&2; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
is "ps" "$c" "$(docker_ ps --format '{{.Names}}' 2>&1)"
is "inspect: running" "running" "$(field $c .State.Status)"
is "exec: output" "root" "$(docker_ exec $c id -un 2>&1)"
exits "exec: exit code" 9 docker_ exec $c sh -c 'exit 9'
exits "exec: missing command" 126 docker_ exec $c /no/such/command
is "exec: env, cwd, user" "v /tmp 33" "$(docker_ exec -e K=v -w /tmp -u 33 $c sh -c 'echo $K $(pwd) $(id -u)' 2>&1)"
is "exec: stdin" "abc" "$(echo abc | docker_ exec -i $c cat 2>&1)"
like "exec -t: a terminal" '^/dev/pts/' "$(in_pty_docker exec -t $c tty)"
is "exec: seccomp filter" "Seccomp: 2" "$(docker_ exec $c grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
succeeds "exec -d" docker_ exec -d $c touch /from-exec
eventually "exec -d: has run" 60 docker_ exec $c test -e /from-exec
like "top" 'bash' "$(docker_ top $c 2>&1)"
succeeds "kill -s USR1" docker_ kill -s USR1 $c
sleep 0.5
is "logs" $'out\nusr1' "$(docker_ logs $c 2>/dev/null)"
is "logs: standard error" "err" "$(docker_ logs $c 2>&1 >/dev/null)"
succeeds "pause" docker_ pause $c
is "paused" "paused" "$(field $c .State.Status)"
like "exec into a paused container is refused" 'paused' "$(docker_ exec $c true 2>&1)"
succeeds "unpause" docker_ unpause $c
is "runs again" "running" "$(field $c .State.Status)"
succeeds "update" docker_ update --memory 48m --memory-swap 48m --pids-limit 77 $c
is "update: cgroup has it" $'50331648\n77' "$(docker_ exec $c sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max 2>/dev/null || cat memory.max pids.max' 2>&1)"
like "stats" '[0-9.]+[kKM]iB / 48MiB' "$(docker_ stats --no-stream --format '{{.MemUsage}}' $c 2>&1)"
succeeds "stop" docker_ stop -t 5 $c
is "stop: exit code of the SIGTERM handler" "7" "$(field $c .State.ExitCode)"
succeeds "start again" docker_ start $c
succeeds "restart" docker_ restart -t 5 $c
is "restart: runs" "running" "$(field $c .State.Status)"
succeeds "kill" docker_ kill $c
is "kill: exit code" "137" "$(docker_ wait $c 2>&1)"
succeeds "rm" docker_ rm $c
succeeds "run -d, deaf to SIGTERM" docker_ run -d --name $c-2 --network=none -e CAISSON_MARK="$mark" $image \
    bash -c 'trap "" TERM; while :; do sleep 0.1; done'
succeeds "stop kills after its time" docker_ stop -t 1 $c-2
is "stop: exit code of the kill" "137" "$(field $c-2 .State.ExitCode)"
succeeds "rm -f" docker_ rm -f $c-2
is "ps -a: none" "" "$(docker_ ps -aq 2>&1)"
left_state=$(find "$scratch/exec/runtime-caisson" "$scratch/exec/containerd" -mindepth 2 -name '[0-9a-f]*' -maxdepth 3 2>/dev/null | grep -E '/[0-9a-f]{64}$')
is "no state of a container is left" "" "$left_state"
docker_ image rm -f $image >/dev/null 2>&1
end_daemon "$daemon"
wait "$daemon" 2>/dev/null
daemon=
nothing_left
summary
