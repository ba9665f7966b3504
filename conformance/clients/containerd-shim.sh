#!/bin/bash
# Drives a containerd of its own with our supervisor as its shim (runtime v2),
# through ctr: containerd-shim.sh RUNTIME-PATH, which caisson-shim lies beside,
# or is. Needs root, and containerd from Debian.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
handler=io.containerd.caisson-native.v2
shim_program=$(dirname "$runtime")/caisson-shim
[[ -x $shim_program ]] || { echo "no caisson-shim beside $runtime" && rm -rf "$scratch" && exit 77; }
# containerd finds its shims by name.
mkdir -p "$scratch/bin"
ln -s "$shim_program" "$scratch/bin/containerd-shim-caisson-native-v2"
ln -s "$shim_program" "$scratch/bin/containerd-shim-caisson-sentry-v2"
# shellcheck disable=SC2034  # read by ctr.sh
with=(--runtime "$handler")
# shellcheck source=ctr.sh
. "$(dirname "$0")/ctr.sh"
pods() { grep -ls "\"namespace\":\"$mark\"" /run/caisson/v2/*/shim.json 2>/dev/null; }
no_tasks_run() { ! ctr_ task ls | grep -q RUNNING; }
no_pods() { [[ -z $(pods) ]]; }
# shellcheck disable=SC2329  # called by trap
cleanup() {
    local pod
    end_containerd
    for pod in $(pods); do rm -rf "$(dirname "$pod")"; done
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
is "run: both streams" "err out" "$(run $image sh -c 'echo out; echo err >&2' 2>&1 | sort | xargs)"
exits "run: exit code" 42 run $image sh -c 'exit 42'
like "run: missing command" 'no such file or directory|not found' "$(run $image /no/such/command 2>&1)"
is "run: env, cwd" "v /tmp" "$(run --env K=v --cwd /tmp $image sh -c 'echo $K $(pwd)' 2>&1)"
is "run: stdin" "abc" "$(echo abc | run $image head -n 1 2>&1)"
is "run: a megabyte of output" "1048576" "$(run $image head -c 1048576 /dev/zero | wc -c)"
like "run -t: a terminal" '/dev/(pts/0|console)' \
    "$(in_pty_ctr run --rm -t --runtime $handler $image "$mark-tty" tty)"
# The client's side loses the end now and then, with containerd's own shim as well.
for try in 1 2 3 4 5; do
    last=$(in_pty_ctr run --rm -t --runtime $handler $image "$mark-all$try" seq 20000 | tail -n 1)
    [[ $last != 20000 ]] || break
done
is "run -t: all of the output" "20000" "$last"
like "run --null-io" '^$' "$(run --null-io $image echo hello 2>&1)"
is "run: PID 1" "1" "$(run $image sh -c 'echo $$' 2>&1)"
is "run: seccomp filter" "Seccomp: 2" "$(run --seccomp $image grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
like "run: read-only root" 'Read-only file system' "$(run --read-only $image touch /x 2>&1)"
mkdir -p "$scratch/volume"
echo shared >"$scratch/volume/file"
is "run: mount" "shared" \
    "$(run --mount "type=bind,src=$scratch/volume,dst=/v,options=rbind:ro" $image cat /v/file 2>&1)"
exits "limits: out of memory kills" 137 run --memory-limit 16777216 --cgroup "/$mark/o" $image tail /dev/zero
is "run --net-host" "$(readlink /proc/self/ns/net)" "$(run --net-host $image readlink /proc/self/ns/net 2>&1)"

ctr_ events >"$scratch/events" 2>&1 &
events=$!
sleep 0.5
c=$mark-a
succeeds "run -d" ctr_ run -d --runtime $handler --cgroup "/$mark/a" --memory-limit 67108864 --cpu-quota 50000 --cpu-period 100000 \
    --env CAISSON_MARK="$mark" --log-uri "file://$scratch/log" $image $c \
    bash -c 'echo out; echo err >&2; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
is "task ls: running" "RUNNING" "$(status $c)"
is "limits: memory in the cgroup" "67108864" \
    "$(cat "/sys/fs/cgroup/memory/$mark/a/memory.limit_in_bytes" 2>/dev/null || cat "/sys/fs/cgroup/$mark/a/memory.max" 2>&1)"
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
eventually "log" 60 grep -q usr1 "$scratch/log"
succeeds "pause" ctr_ task pause $c
is "paused" "PAUSED" "$(status $c)"
succeeds "resume" ctr_ task resume $c
is "runs again" "RUNNING" "$(status $c)"
like "metrics" 'memory' "$(ctr_ task metrics $c 2>&1)"
like "checkpoint is refused" 'not supported' "$(ctr_ task checkpoint $c 2>&1)"
# The daemon's end is nobody else's.
end_daemon "$daemon"
wait "$daemon" 2>/dev/null
serve
ctr_ events >>"$scratch/events" 2>&1 &
events=$!
is "another containerd finds it" "RUNNING" "$(status $c)"
is "exec: through another containerd" "root" "$(ctr_ task exec --exec-id e9 $c id -un 2>&1)"
succeeds "kill" ctr_ task kill $c
eventually "the SIGTERM handler ran" 60 stopped $c
like "rm: exit code of the SIGTERM handler" 'exit code 7' "$(ctr_ task rm $c 2>&1)"
succeeds "start again" ctr_ task start -d $c
is "start again: runs" "RUNNING" "$(status $c)"
succeeds "kill -s KILL" ctr_ task kill -s SIGKILL $c
eventually "the kill ended it" 60 stopped $c
like "rm: exit code of the kill" 'exit code 137' "$(ctr_ task rm $c 2>&1)"
succeeds "container rm" ctr_ container rm $c
succeeds "run -d, again" ctr_ run -d --runtime $handler --cgroup "/$mark/b" --env CAISSON_MARK="$mark" $image $c-2 sleep 1000
like "rm -f of a running task" 'exit code 137' "$(ctr_ task rm -f $c-2 2>&1)"
succeeds "container rm, again" ctr_ container rm $c-2

# A pod: two containers, one shim, told by containerd's annotation.
pod() { # id command…
    local id=$1
    shift
    ctr_ run -d --runtime $handler --env CAISSON_MARK="$mark" \
        --annotation io.kubernetes.cri.sandbox-id="$mark-pod" $image "$id" "$@"
}
succeeds "pod: the first container" pod "$mark-pod" sleep 1000
succeeds "pod: the second" pod "$mark-other" sh -c 'sleep 0.3; exit 5'
is "pod: one supervisor" "1" "$(pods | wc -l)"
eventually "pod: the second ends on its own" 60 stopped "$mark-other"
is "pod: the first goes on" "RUNNING" "$(status "$mark-pod")"
like "pod: the second's exit code" 'exit code 5' "$(ctr_ task rm "$mark-other" 2>&1)"
is "pod: it is still there" "RUNNING" "$(status "$mark-pod")"
succeeds "pod: the second comes again" ctr_ task start -d "$mark-other"
# kill -9 of the shim: containerd has it removed by its `delete`, which may come
# when the bundle is half gone.
rm "$scratch/state/io.containerd.runtime.v2.task/$mark/$mark-other/config.json"
shim=$(ps -eo pid=,comm=,args= | grep -F "$(dirname "$(pods | head -n 1)")" | awk '$2 == "caisson-shim" {print $1; exit}')
kill -KILL "$shim"
eventually "a killed shim takes its containers along" 60 no_tasks_run
ctr_ task ls -q 2>/dev/null | while read -r id; do ctr_ task rm -f "$id" >/dev/null 2>&1; done
for id in "$mark-pod" "$mark-other"; do succeeds "container rm after it" ctr_ container rm "$id"; done
eventually "the pod's directory goes with it" 60 no_pods
# Or never, if who sees the end first has the whole bundle removed.
for round in 1 2 3 4 5 6; do
    pod "$mark-pod" sleep 1000 >/dev/null
    pod "$mark-other" sleep 1000 >/dev/null
    shim=$(ps -eo pid=,comm=,args= | grep -F "$(dirname "$(pods | head -n 1)")" | awk '$2 == "caisson-shim" {print $1; exit}')
    kill -KILL "$shim"
    eventually "killed, $round: nothing runs" 60 no_tasks_run
    ctr_ task ls -q 2>/dev/null | while read -r id; do ctr_ task rm -f "$id" >/dev/null 2>&1; done
    ctr_ container rm "$mark-pod" "$mark-other" >/dev/null 2>&1
    eventually "killed and forgotten at once: nothing stays, $round" 60 no_pods
done

# The same program by its other name: a kernel of the container's own, one for a pod.
with=(--runtime io.containerd.caisson-sentry.v2)
is "sentry: the kernel" "6.1.0-caisson" "$(run $image uname -r 2>&1)"
exits "sentry: exit code" 42 run $image sh -c 'exit 42'
succeeds "sentry: a pod's first container" ctr_ run -d "${with[@]}" --env CAISSON_MARK="$mark" \
    --annotation io.kubernetes.cri.container-type=sandbox \
    --annotation io.kubernetes.cri.sandbox-id="$mark-s" $image "$mark-s" sleep 1000
pid=$(ctr_ task ls | awk -v id="$mark-s" '$1 == id {print $2}')
succeeds "sentry: the second" ctr_ run -d "${with[@]}" --env CAISSON_MARK="$mark" --with-ns "network:/proc/$pid/ns/net" \
    --annotation io.kubernetes.cri.container-type=container \
    --annotation io.kubernetes.cri.sandbox-id="$mark-s" $image "$mark-t" sh -c 'trap "exit 6" TERM; while :; do sleep 0.1; done'
is "sentry: exec" "6.1.0-caisson" "$(ctr_ task exec --exec-id s1 "$mark-t" uname -r 2>&1)"
like "sentry: both are in one" 'up [0-9]+' "$(
    for id in "$mark-s" "$mark-t"; do ctr_ task exec --exec-id s2 "$id" cut -d. -f1 /proc/uptime; done 2>&1 |
        awk 'NR == 1 {a = $1} NR == 2 {print ($1 - a < 5 ? "up " : "apart ") $1}')"
succeeds "sentry: kill" ctr_ task kill "$mark-t"
eventually "sentry: the second has ended" 60 stopped "$mark-t"
like "sentry: its exit code" 'exit code 6' "$(ctr_ task rm "$mark-t" 2>&1)"
is "sentry: the first goes on" "RUNNING" "$(status "$mark-s")"
like "sentry: rm -f" 'exit code 137' "$(ctr_ task rm -f "$mark-s" 2>&1)"
for id in "$mark-s" "$mark-t"; do succeeds "sentry: container rm" ctr_ container rm "$id"; done

kill "$events" 2>/dev/null
wait "$events" 2>/dev/null
for topic in create start exec-added exec-started exit delete paused resumed; do
    like "events: $topic" "/tasks/$topic" "$(grep -m 1 "/tasks/$topic " "$scratch/events")"
done
is "task ls: none" "" "$(ctr_ task ls -q 2>&1)"
is "container ls: none" "" "$(ctr_ container ls -q 2>&1)"
# It is containerd that removes what a killed shim left: it has to live so long.
eventually "every supervisor has left" 60 no_pods
end_daemon "$daemon"
wait "$daemon" 2>/dev/null
daemon=
nothing_left "$scratch/state/io.containerd.runtime.v2.task/$mark"
summary
