# The check list for podman, with root and without. Sourced after lib.sh;
# expects a function `podman_` that runs podman, and `rootless` = 0 or 1.

image=localhost/debian-under-test:latest

# Loads the Debian image; nothing else makes sense without.
load_image() { # archive
    local id
    podman_ load -q -i "$1" >/dev/null && id=$(podman_ images -q | head -n 1) &&
        podman_ tag "$id" $image || die "podman can't load $1"
    ok "load the Debian image"
}

# Podman's configuration for this run, in the scratch directory.
write_podman_conf() { # path of the runtime
    # By name and by path: podman looks either up, depending on its version.
    local names
    names="\"$(basename "$1")\", \"$1\""
    cat >"$scratch/containers.conf" <<CONF
[containers]
log_driver = "k8s-file"
# Without CAP_SYS_RESOURCE nothing can be raised: not above the hard limit,
# and not above the 32768 processes that podman sets for itself.
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=16384:16384"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = [$names]
[network]
network_config_dir = "$scratch/networks"
CONF
}

run() { podman_ run --rm --pull=never --network=none "$@"; }

podman_run_checks() {
    is "run: output" "hello from bookworm" \
        "$(run $image sh -c 'echo hello from $(. /etc/os-release; echo $VERSION_CODENAME)' 2>&1)"
    exits "run: exit code" 42 run $image sh -c 'exit 42'
    exits "run: death by signal" 137 run --pid=host $image sh -c 'kill -KILL $$'
    exits "run: missing command is 127" 127 run $image /no/such/command
    exits "run: command without x bit is 126" 126 run $image /etc/passwd
    is "run: env, cwd, user, groups" "v /tmp 33:1000 1000" \
        "$(run -e K=v -w /tmp -u 33:1000 $image sh -c 'echo $K $(pwd) $(id -u):$(id -g) $(id -G)' 2>&1)"
    is "run: stdin" "abc" "$(echo abc | run -i $image cat 2>&1)"
    like "run -t: a terminal" '^/dev/(pts/0|console)' "$(in_pty_podman run --rm --network=none -t $image tty)"
    is "run: hostname" "box" "$(run --hostname box $image hostname 2>&1)"
    is "run: PID 1" "1" "$(run $image sh -c 'echo $$' 2>&1)"
    is "run: seccomp filter" "Seccomp: 2" "$(run $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: seccomp unconfined" "Seccomp: 0" \
        "$(run --security-opt seccomp=unconfined $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: no-new-privileges" "NoNewPrivs: 1" \
        "$(run --security-opt no-new-privileges $image grep NoNewPrivs: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: capabilities dropped" "CapEff: 0000000000000000" \
        "$(run --cap-drop all $image grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: one capability" "CapEff: 0000000000000400" \
        "$(run --cap-drop all --cap-add net_bind_service $image grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: ulimit" "512" "$(run --ulimit nofile=512:512 --ulimit nproc=1000:1000 $image sh -c 'ulimit -n' 2>&1)"
    like "run: read-only root" 'Read-only file system' "$(run --read-only $image touch /x 2>&1)"
    like "run: tmpfs size" '1024 +' "$(run --tmpfs /t:size=1m $image df -k /t 2>&1)"
    mkdir -p "$scratch/volume"
    echo shared >"$scratch/volume/file"
    chmod -R a+rX "$scratch/volume"
    is "run: volume" "shared" "$(run -v "$scratch/volume:/v:ro" $image cat /v/file 2>&1)"
    like "run: volume is read-only" 'Read-only file system' \
        "$(run -v "$scratch/volume:/v:ro" $image touch /v/other 2>&1)"
    like "run: masked path" '^0$' "$(run $image sh -c 'cat /proc/kcore /proc/keys 2>/dev/null | wc -c' 2>&1)"
    like "run: read-only proc" 'Read-only file system|Permission denied' \
        "$(run $image sh -c 'echo 1 > /proc/sys/kernel/panic' 2>&1)"
    like "run: --init" 'podman-init|catatonit' "$(run --init $image cat /proc/1/comm 2>&1)"
    is "run: sysctl" "1" "$(run --sysctl net.ipv4.ip_forward=1 $image cat /proc/sys/net/ipv4/ip_forward 2>&1)"
}

podman_limit_checks() {
    local out
    out=$(run --memory 64m --memory-swap 64m --pids-limit 50 --cpu-quota 50000 --cgroup-parent "/$mark" $image \
        sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us 2>/dev/null || cat memory.max pids.max cpu.max' 2>&1)
    like "limits: memory, pids, cpu in the cgroup" $'^67108864\n50\n50000' "$out"
    exits "limits: out of memory kills" 137 \
        run --memory 16m --memory-swap 16m --cgroup-parent "/$mark" $image tail /dev/zero
    like "limits: too many processes" 'Resource temporarily unavailable|Cannot fork|fork' \
        "$(run --pids-limit 5 --cgroup-parent "/$mark" $image bash -c 'for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait' 2>&1)"
    succeeds "devices: --device is usable" run --device /dev/full:/dev/mine $image sh -c 'dd if=/dev/mine of=/dev/null bs=1 count=1'
}

# Containers that share a network, by name and as a pod.
podman_shared_checks() {
    local c=$mark-net pod=$mark-pod id
    succeeds "network: the first container" podman_ run -d --name $c --network=none --cgroup-parent "/$mark" \
        -e CAISSON_MARK="$mark" $image "${answers[@]}"
    is "network: by another one's name" "through" \
        "$(podman_ run --rm --network=container:$c --cgroup-parent "/$mark" $image "${asks[@]}" 2>&1)"
    succeeds "network: rm -f" podman_ rm -f -t 0 $c
    succeeds "pod create" podman_ pod create --name $pod --network=none --share net,ipc --cgroup-parent "/$mark"
    id=$(podman_ pod inspect -f '{{.ID}}' $pod 2>/dev/null)
    succeeds "pod: the first container" podman_ run -d --pod $pod --name $c-1 -e CAISSON_MARK="$mark" $image "${answers[@]}"
    succeeds "pod: the second" podman_ run -d --pod $pod --name $c-2 -e CAISSON_MARK="$mark" $image sleep 1000
    is "pod: one network" "through" "$(podman_ exec $c-2 "${asks[@]}" 2>&1)"
    is "pod: two trees" "none" "$(podman_ exec $c-1 touch /there && podman_ exec $c-2 sh -c 'test -e /there || echo none' 2>&1)"
    is "pod: processes of one's own" "sleep" "$(podman_ exec $c-2 cat /proc/1/comm 2>&1)"
    succeeds "pod: kill one" podman_ kill $c-1
    is "pod: its exit code" "137" "$(podman_ wait $c-1 2>&1)"
    is "pod: the other goes on" "running" "$(podman_ inspect -f '{{.State.Status}}' $c-2 2>&1)"
    succeeds "pod: stop" podman_ pod stop -t 1 $pod
    succeeds "pod: rm" podman_ pod rm -f $pod
    # podman removes a pod's own cgroup from the hierarchies that it knows limits of only.
    rmdir "/sys/fs/cgroup"/{systemd,unified}/"$mark/${id:-none}" 2>/dev/null
}

podman_lifecycle_checks() {
    local c=$mark-a parent=()
    ((rootless)) || parent=(--cgroup-parent "/$mark")
    succeeds "run -d" podman_ run -d --name $c --network=none "${parent[@]}" -e CAISSON_MARK="$mark" $image \
        bash -c 'echo out; echo err >&2; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
    is "ps" "$c" "$(podman_ ps --format '{{.Names}}' 2>&1)"
    is "inspect: running" "running" "$(podman_ inspect -f '{{.State.Status}}' $c 2>&1)"
    is "exec: output" "root" "$(podman_ exec $c id -un 2>&1)"
    exits "exec: exit code" 9 podman_ exec $c sh -c 'exit 9'
    exits "exec: missing command" 127 podman_ exec $c /no/such/command
    is "exec: env, cwd, user" "v /tmp 33" "$(podman_ exec -e K=v -w /tmp -u 33 $c sh -c 'echo $K $(pwd) $(id -u)' 2>&1)"
    is "exec: stdin" "abc" "$(echo abc | podman_ exec -i $c cat 2>&1)"
    like "exec -t: a terminal" '^/dev/pts/' "$(in_pty_podman exec -t $c tty)"
    is "exec: seccomp filter" "Seccomp: 2" "$(podman_ exec $c grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    succeeds "exec -d" podman_ exec -d $c touch /from-exec
    eventually "exec -d: has run" 60 podman_ exec $c test -e /from-exec
    like "top" 'bash' "$(podman_ top $c comm 2>&1)"
    succeeds "kill -s USR1" podman_ kill -s USR1 $c
    sleep 0.5
    like "logs" $'out' "$(podman_ logs $c 2>/dev/null)"
    like "logs: standard error" $'err' "$(podman_ logs $c 2>&1 >/dev/null)"
    like "logs: signal was handled" $'usr1' "$(podman_ logs $c 2>/dev/null)"
    if ((!rootless)); then
        succeeds "pause" podman_ pause $c
        is "paused" "paused" "$(podman_ inspect -f '{{.State.Status}}' $c 2>&1)"
        like "exec into a paused container is refused" 'paused|state improper' "$(podman_ exec $c true 2>&1)"
        succeeds "unpause" podman_ unpause $c
        is "runs again" "running" "$(podman_ inspect -f '{{.State.Status}}' $c 2>&1)"
        succeeds "update --memory" podman_ update --memory 48m $c
        is "update: cgroup has it" "50331648" \
            "$(podman_ exec $c sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max' 2>&1)"
        like "stats" '[0-9.]+[kM]B / ' "$(podman_ stats --no-stream --format '{{.MemUsage}}' $c 2>&1)"
    fi
    succeeds "stop" podman_ stop -t 5 $c
    is "stop: exit code of the SIGTERM handler" "7" "$(podman_ inspect -f '{{.State.ExitCode}}' $c 2>&1)"
    succeeds "start again" podman_ start $c
    is "start again: runs" "running" "$(podman_ inspect -f '{{.State.Status}}' $c 2>&1)"
    succeeds "restart" podman_ restart -t 5 $c
    succeeds "kill" podman_ kill $c
    is "kill: exit code" "137" "$(podman_ wait $c 2>&1)"
    succeeds "rm" podman_ rm $c
    succeeds "create, init" podman_ create --name $c-2 --network=none "${parent[@]}" -e CAISSON_MARK="$mark" $image sleep 1000
    succeeds "init: created by the runtime" podman_ init $c-2
    is "init: state" "initialized" "$(podman_ inspect -f '{{.State.Status}}' $c-2 2>&1)"
    succeeds "start" podman_ start $c-2
    succeeds "rm -f of a running container" podman_ rm -f -t 0 $c-2
    is "ps -a: none" "" "$(podman_ ps -aq 2>&1)"
}
