#!/bin/bash
# Drives a containerd of its own with a given OCI runtime through ctr:
# containerd.sh RUNTIME-PATH. Needs root, and containerd from Debian.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck disable=SC2034  # read by ctr.sh
with=(--runc-binary "$runtime")
# shellcheck source=ctr.sh
. "$(dirname "$0")/ctr.sh"
# shellcheck disable=SC2329  # called by trap
cleanup() {
    end_containerd
    rm -rf "/run/containerd/runc/$mark"
    sweep
}
trap cleanup EXIT
trap 'exit 130' INT TERM

archive=$(image_archive) || exit 2
serve
((failed == 0)) || tail -n 5 "$scratch/containerd.log"
go_on_if_passing
succeeds "import the Debian image" ctr_ image import "$archive"
succeeds "run" run $image true
((failed == 0)) || tail -n 5 "$scratch/containerd.log"
go_on_if_passing

is "run: output" "hello from bookworm" \
    "$(run $image sh -c 'echo hello from $(. /etc/os-release; echo $VERSION_CODENAME)' 2>&1)"
exits "run: exit code" 42 run $image sh -c 'exit 42'
like "run: missing command" 'no such file or directory|not found' "$(run $image /no/such/command 2>&1)"
is "run: env, cwd" "v /tmp" "$(run --env K=v --cwd /tmp $image sh -c 'echo $K $(pwd)' 2>&1)"
# ctr does not pass on the end of its input: read one line only.
is "run: stdin" "abc" "$(echo abc | run $image head -n 1 2>&1)"
like "run -t: a terminal" '/dev/(pts/0|console)' \
    "$(in_pty_ctr run --rm -t --runc-binary "$runtime" $image "$mark-tty" tty)"
like "run --null-io" '^$' "$(run --null-io $image echo hello 2>&1)"
is "run: PID 1" "1" "$(run $image sh -c 'echo $$' 2>&1)"
is "run: seccomp filter" "Seccomp: 2" "$(run --seccomp $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
is "run: no-new-privileges" "NoNewPrivs: 1" "$(run $image grep NoNewPrivs: /proc/self/status 2>&1 | tr '\t' ' ')"
is "run: capability dropped" "0" \
    "$(run --cap-drop CAP_CHOWN $image sh -c 'v=0x$(awk "/CapEff/ {print \$2}" /proc/self/status); echo $((v & 1))' 2>&1)"
all_capabilities && succeeds "run: privileged" run --privileged $image sh -c 'mount -t tmpfs t /mnt && umount /mnt'
like "run: read-only root" 'Read-only file system' "$(run --read-only $image touch /x 2>&1)"
mkdir -p "$scratch/volume"
echo shared >"$scratch/volume/file"
is "run: mount" "shared" \
    "$(run --mount "type=bind,src=$scratch/volume,dst=/v,options=rbind:ro" $image cat /v/file 2>&1)"
like "run: mount is read-only" 'Read-only file system' \
    "$(run --mount "type=bind,src=$scratch/volume,dst=/v,options=rbind:ro" $image touch /v/other 2>&1)"
exits "limits: out of memory kills" 137 run --memory-limit 16777216 --cgroup "/$mark/o" $image tail /dev/zero
succeeds "devices: --device is usable" run --device /dev/full $image sh -c 'dd if=/dev/full of=/dev/null bs=1 count=1'
is "run --net-host" "$(readlink /proc/self/ns/net)" "$(run --net-host $image readlink /proc/self/ns/net 2>&1)"
is "run: pid file" "yes" "$(run --pid-file "$scratch/pid" $image true && [[ -s $scratch/pid ]] && echo yes)"

c=$mark-a
succeeds "run -d" ctr_ run -d --runc-binary "$runtime" --cgroup "/$mark/a" --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 \
    --env CAISSON_MARK="$mark" --log-uri "file://$scratch/log" $image $c \
    bash -c 'echo out; echo err >&2; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
is "task ls: running" "RUNNING" "$(status $c)"
is "limits: memory in the cgroup" "67108864" \
    "$(cat "/sys/fs/cgroup/memory/$mark/a/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup/$mark/a/memory.max" 2>&1)"
is "limits: cpu quota in the cgroup" "50000" \
    "$(cat "/sys/fs/cgroup/cpu/$mark/a/cpu.cfs_quota_us" 2>/dev/null || cut -d' ' -f1 "/sys/fs/cgroup/$mark/a/cpu.max" 2>&1)"
is "exec: output" "root" "$(ctr_ task exec --exec-id e1 $c id -un 2>&1)"
exits "exec: exit code" 9 ctr_ task exec --exec-id e2 $c sh -c 'exit 9'
exits "exec: missing command" 1 ctr_ task exec --exec-id e3 $c /no/such/command
is "exec: cwd, user" "/tmp 33" "$(ctr_ task exec --exec-id e4 --cwd /tmp --user 33 $c sh -c 'echo $(pwd) $(id -u)' 2>&1)"
is "exec: stdin" "abc" "$(echo abc | ctr_ task exec --exec-id e5 $c head -n 1 2>&1)"
like "exec -t: a terminal" '/dev/pts/' "$(in_pty_ctr task exec -t --exec-id e6 $c tty)"
succeeds "exec -d" ctr_ task exec -d --exec-id e7 $c touch /from-exec
eventually "exec -d: has run" 60 ctr_ task exec --exec-id "e8" $c test -e /from-exec
pid=$(ctr_ task ls | awk -v id="$c" '$1 == id {print $2}')
like "task ps" "(^|[^0-9])$pid([^0-9]|$)" "$(ctr_ task ps $c 2>&1)"
succeeds "kill -s USR1" ctr_ task kill -s SIGUSR1 $c
sleep 0.5
like "log" 'usr1' "$(cat "$scratch/log" 2>&1)"
succeeds "pause" ctr_ task pause $c
is "paused" "PAUSED" "$(status $c)"
succeeds "resume" ctr_ task resume $c
is "runs again" "RUNNING" "$(status $c)"
like "metrics" 'memory' "$(ctr_ task metrics $c 2>&1)"
is "cgroup is where it was asked for" "1" "$(grep -c ":/$mark/a$" <(grep -E '^[0-9]+:(memory|pids)?:|:memory:' "/proc/$pid/cgroup" | head -n 1))"
succeeds "kill" ctr_ task kill $c
eventually "the SIGTERM handler ran" 60 stopped $c
like "rm: exit code of the SIGTERM handler" 'exit code 7' "$(ctr_ task rm $c 2>&1)"
succeeds "start again" ctr_ task start -d $c
is "start again: runs" "RUNNING" "$(status $c)"
succeeds "kill -s KILL" ctr_ task kill -s SIGKILL $c
eventually "the kill ended it" 60 stopped $c
like "rm: exit code of the kill" 'exit code 137' "$(ctr_ task rm $c 2>&1)"
succeeds "container rm" ctr_ container rm $c
succeeds "run -d, again" ctr_ run -d --runc-binary "$runtime" --cgroup "/$mark/b" --env CAISSON_MARK="$mark" $image $c-2 sleep 1000
like "rm -f of a running task" 'exit code 137' "$(ctr_ task rm -f $c-2 2>&1)"
succeeds "container rm, again" ctr_ container rm $c-2
is "task ls: none" "" "$(ctr_ task ls -q 2>&1)"
is "container ls: none" "" "$(ctr_ container ls -q 2>&1)"
end_daemon "$daemon"
wait "$daemon" 2>/dev/null
daemon=
nothing_left "$scratch/state/io.containerd.runtime.v2.task/$mark"
is "nothing is left in the runtime's state" "" "$(find "/run/containerd/runc/$mark" -mindepth 1 2>/dev/null)"
rmdir "/run/containerd/runc/$mark" 2>/dev/null
summary
