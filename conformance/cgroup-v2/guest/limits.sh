# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# Limits of one container on cgroup v2 without systemd, next to what crun and
# runc make of the same bundle. Sourced.
mebi=$((1 << 20))
sleeper='["sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 1000 & wait $!; done"]'
limits='{"memory": {"limit": 67108864, "reservation": 33554432, "swap": 100663296},
 "pids": {"limit": 40},
 "cpu": {"shares": 2048, "quota": 25000, "period": 50000, "cpus": "0", "mems": "0"},
 "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"}],
 "unified": {"memory.high": "62914560"}}'
files="memory.max memory.low memory.swap.max memory.high pids.max cpu.weight cpu.max cpuset.cpus cpuset.mems"
b=$scratch/limited
bundle $b "$sleeper" "$limits" "" '"cgroupsPath": "/made/limited"'

# Weights aside: there were two formulas, and Debian's peers have the older.
values() { # cgroup
    local file
    for file in ${files/cpu.weight/}; do printf '%s=%s\n' "$file" "$(<"$1/$file")"; done
}
for peer in runc crun; do
    if timeout 150 $peer run -d --bundle $b peer </dev/null >$scratch/out 2>&1; then
        values $cg/made/limited >$scratch/$peer
        timeout 150 $peer delete -f peer >/dev/null 2>&1
        pass "$peer runs the bundle ($($peer --version | head -n1))"
    else
        fail "$peer runs the bundle" "$(<$scratch/out)"
    fi
done

r=($runtime --root $scratch/state)
succeeds "create" "${r[@]}" create --bundle $b limited
succeeds "start" "${r[@]}" start limited
values $cg/made/limited >$scratch/ours
for line in $(printf '%s\n' memory.max=67108864 memory.low=33554432 memory.swap.max=33554432 \
    memory.high=62914560 pids.max=40 cpuset.cpus=0 cpuset.mems=0); do
    is "limit in ${line%%=*}" "$line" "$(grep "^${line%%=*}=" $scratch/ours)"
done
is "limit in cpu.weight" "174" "$(<$cg/made/limited/cpu.weight)"
is "limit in cpu.max" "cpu.max=25000 50000" "$(grep ^cpu.max $scratch/ours)"
like "every file has one of the peers' values" "^$" "$(diff $scratch/runc $scratch/ours >$scratch/d1 || diff $scratch/crun $scratch/ours >$scratch/d2 || cat $scratch/d1 $scratch/d2)"
is "its own cgroup, seen from inside" "0::/" "$("${r[@]}" exec limited cat /proc/self/cgroup)"
is "one CPU only" "Cpus_allowed_list:	0" "$("${r[@]}" exec limited grep Cpus_allowed_list /proc/self/status)"
probe='mknod /tmp/fuse c 10 229; (: </tmp/fuse) 2>/dev/null && echo r; (: >/tmp/fuse) 2>/dev/null && echo w; head -c1 /dev/zero >/dev/null && echo default'
is "device rules: one is readable, the default ones are there" "r default" "$(echo $("${r[@]}" exec limited sh -c "$probe"))"
succeeds "update" "${r[@]}" update --memory 48m --memory-swap 64m --pids-limit 30 --cpu-quota 20000 --cpu-period 100000 --cpu-share 512 limited
is "update: memory" "$((48 * mebi)) $((16 * mebi))" "$(echo $(<$cg/made/limited/memory.max) $(<$cg/made/limited/memory.swap.max))"
is "update: pids, cpu" "30 20000 100000" "$(echo $(<$cg/made/limited/pids.max) $(<$cg/made/limited/cpu.max))"
is "update keeps the device rules" "r default" "$(echo $("${r[@]}" exec limited sh -c "rm -f /tmp/fuse; $probe"))"
like "pids limit in force" "fork" "$("${r[@]}" exec limited sh -c 'for i in $(echo 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5); do sleep 1 & done; wait' 2>&1)"
succeeds "pause" "${r[@]}" pause limited
is "pause: frozen" "1 frozen 1" "$(echo $(<$cg/made/limited/cgroup.freeze) $(grep frozen $cg/made/limited/cgroup.events))"
like "pause: state" '"status": *"paused"' "$("${r[@]}" state limited)"
succeeds "resume" "${r[@]}" resume limited
is "resume: thawed" "0" "$(<$cg/made/limited/cgroup.freeze)"
stats=$("${r[@]}" events --stats limited)
like "stats: memory" "\"limit\": *$((48 * mebi))" "$stats"
like "stats: pids" '"limit": *30' "$stats"
like "stats: pressure" '"psi"|"avg10"' "$stats"

# Out of memory: the event is told, and the container outlives its child.
"${r[@]}" events limited >$scratch/events 2>&1 &
watcher=$!
sleep 1
"${r[@]}" exec limited sh -c 'tail /dev/zero' >$scratch/out 2>&1
if eventually grep -q '"type": *"oom"' $scratch/events; then pass "events: oom"; else fail "events: oom" "$(<$scratch/events)"; fi
like "the killer struck" "oom_kill [1-9]" "$(echo $(<$cg/made/limited/memory.events))"
succeeds "kill" "${r[@]}" kill limited KILL
if eventually sh -c "! kill -0 $watcher"; then pass "events ends with the container"; else
    fail "events ends with the container" "it runs on"
    kill $watcher
fi
wait $watcher 2>/dev/null
succeeds "delete" "${r[@]}" delete limited
is "delete: the cgroup is gone" "gone" "$([[ -d $cg/made/limited ]] || echo gone)"
is "delete: no state is left" "" "$(ls $scratch/state)"
rmdir $cg/made

# What a container can be given of cgroup v2 by other ways.
bundle $b '["sh", "-c", "mkdir /sys/fs/cgroup/sub && echo nested; cat /sys/fs/cgroup/cgroup.controllers"]' '{}' "" '"cgroupsPath": "/nested"'
sed -i 's/"nodev", "ro"/"nodev", "rw"/' $b/config.json
like "a writable hierarchy can be divided" "^nested cpuset" "$(echo $("${r[@]}" run --bundle $b nested 2>&1))"
is "delete takes the container's own cgroups with it" "gone" "$([[ -d $cg/nested ]] || echo gone)"
bundle $b '["true"]' '{"unified": {"no.such": "1"}}' "" '"cgroupsPath": "/wrong"'
fails "an unknown unified file is refused by name" "no.such" "${r[@]}" run --bundle $b wrong
bundle $b '["true"]' '{"unified": {"memory.high": "rubbish"}}' "" '"cgroupsPath": "/wrong"'
fails "an impossible unified value is refused by name" "memory.high" "${r[@]}" run --bundle $b wrong
is "a failed create leaves no cgroup" "gone" "$([[ -d $cg/wrong ]] || echo gone)"
