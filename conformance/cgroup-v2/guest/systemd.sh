#!/bin/bash
# shellcheck disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# The checks under a real systemd on cgroup v2; a service of the guest's.
set -u
# shellcheck source=lib.sh
. /payload/guest/lib.sh
trap all_of_it EXIT
modprobe fuse
say "# $(systemctl --version | head -n1), $(systemd-detect-virt), controllers $(<$cg/cgroup.controllers)"
is "one v2 hierarchy" "cgroup2fs" "$(stat -fc %T $cg)"

sleeper='["sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 1000 & wait $!; done"]'
limits='{"memory": {"limit": 67108864, "reservation": 33554432, "swap": 100663296},
 "pids": {"limit": 40},
 "cpu": {"shares": 2048, "quota": 25005, "period": 50000, "cpus": "0"},
 "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"}]}'
b=$scratch/unit
r=($runtime --systemd-cgroup --root $scratch/state)
probe='mknod /tmp/fuse c 10 229; (: </tmp/fuse) 2>/dev/null && echo r; (: >/tmp/fuse) 2>/dev/null && echo w; rm -f /tmp/fuse; head -c1 /dev/zero >/dev/null && echo default'
show() { systemctl show -P "$2" "$1" 2>&1; }
# Reads a unit's properties, with a single call, into $unit_NAME.
read_unit() {
    local name value
    while IFS='=' read -r name value; do
        printf -v "unit_$name" '%s' "$value"
    done < <(systemctl show "$1")
}

# lifetime ID CGROUPSPATH UNIT SLICE DIRECTORY
lifetime() {
    local id=$1 path=$2 unit=$3 slice=$4 dir=$cg/$5 stats watcher
    bundle $b "$sleeper" "$limits" "" "${path:+\"cgroupsPath\": \"$path\"}"
    succeeds "$id: create" "${r[@]}" create --bundle $b $id
    read_unit $unit
    is "$id: the unit is there" "active" "$unit_ActiveState"
    is "$id: its slice" "$slice" "$unit_Slice"
    is "$id: its cgroup" "/$5" "$unit_ControlGroup"
    is "$id: MemoryMax, MemoryLow, MemorySwapMax" "67108864 33554432 33554432" "$unit_MemoryMax $unit_MemoryLow $unit_MemorySwapMax"
    is "$id: TasksMax" "40" "$unit_TasksMax"
    is "$id: CPUWeight" "174" "$unit_CPUWeight"
    is "$id: CPU quota and period" "510ms 50ms" "$unit_CPUQuotaPerSecUSec $unit_CPUQuotaPeriodUSec"
    is "$id: AllowedCPUs" "0" "$unit_AllowedCPUs"
    is "$id: delegated" "yes" "$unit_Delegate"
    is "$id: DevicePolicy" "strict" "$unit_DevicePolicy"
    like "$id: DeviceAllow" "/dev/char/10:229 r( |\$)" "$(systemctl show -P DeviceAllow $unit | tr '\n' ' ')"
    is "$id: files of memory" "67108864 33554432 33554432" "$(echo $(<$dir/memory.max) $(<$dir/memory.low) $(<$dir/memory.swap.max))"
    is "$id: files of pids and cpu" "40 174 25500 50000 0" "$(echo $(<$dir/pids.max) $(<$dir/cpu.weight) $(<$dir/cpu.max) $(<$dir/cpuset.cpus))"
    succeeds "$id: start" "${r[@]}" start $id
    is "$id: exec is in the cgroup" "0::/" "$("${r[@]}" exec $id cat /proc/self/cgroup)"
    is "$id: device rules" "r default" "$(echo $("${r[@]}" exec $id sh -c "$probe" 2>&1))"
    succeeds "$id: update" "${r[@]}" update --memory 48m --memory-swap 64m --pids-limit 30 --cpu-quota 20000 --cpu-period 100000 --cpu-share 512 $id
    read_unit $unit
    is "$id: update in the unit" "50331648 16777216 30 200ms" "$unit_MemoryMax $unit_MemorySwapMax $unit_TasksMax $unit_CPUQuotaPerSecUSec"
    is "$id: update in the files" "50331648 16777216 30 20000 100000" "$(echo $(<$dir/memory.max) $(<$dir/memory.swap.max) $(<$dir/pids.max) $(<$dir/cpu.max))"
    systemctl daemon-reload
    is "$id: limits outlive a reload of systemd" "50331648 30 20000 100000" "$(echo $(<$dir/memory.max) $(<$dir/pids.max) $(<$dir/cpu.max))"
    is "$id: so do device rules" "r default" "$(echo $("${r[@]}" exec $id sh -c "$probe" 2>&1))"
    succeeds "$id: pause" "${r[@]}" pause $id
    is "$id: frozen" "1" "$(<$dir/cgroup.freeze)"
    succeeds "$id: update of the paused" "${r[@]}" update --pids-limit 31 $id
    is "$id: still frozen" "1 31" "$(<$dir/cgroup.freeze) $(<$dir/pids.max)"
    succeeds "$id: resume" "${r[@]}" resume $id
    stats=$("${r[@]}" events --stats $id)
    like "$id: stats" '"limit": *50331648' "$stats"
    like "$id: ps" "sleep" "$("${r[@]}" ps $id)"
    "${r[@]}" events $id >$scratch/events 2>&1 &
    watcher=$!
    sleep 1
    "${r[@]}" exec $id sh -c 'tail /dev/zero' >$scratch/out 2>&1
    if eventually grep -q '"type": *"oom"' $scratch/events; then pass "$id: oom event"; else fail "$id: oom event" "$(<$scratch/events)"; fi
    is "$id: it outlives its child's death" "running" "$("${r[@]}" state $id | sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p')"
    succeeds "$id: kill" "${r[@]}" kill $id KILL
    if ! eventually sh -c "! kill -0 $watcher"; then
        fail "$id: events ends with the container" "it runs on"
        kill $watcher
    fi
    wait $watcher 2>/dev/null
    eventually sh -c "${r[*]} state $id | grep -q stopped"
    succeeds "$id: delete" "${r[@]}" delete $id
    is "$id: delete: no cgroup" "gone" "$([[ -d $dir ]] || echo gone)"
    is "$id: delete: no unit" "not-found" "$(show $unit LoadState)"
    is "$id: delete: no state" "" "$(ls $scratch/state)"
}
lifetime plain "" caisson-plain.scope system.slice system.slice/caisson-plain.scope
lifetime named system-deep.slice:prefix:name prefix-name.scope system-deep.slice system.slice/system-deep.slice/prefix-name.scope

# A container whose first process is the victim.
bundle $b '["sh", "-c", "exec tail /dev/zero"]' '{"memory": {"limit": 16777216, "swap": 16777216}}'
timeout 150 "${r[@]}" run --bundle $b victim >$scratch/out 2>&1
is "out of memory: run returns 137" "137" "$?"
is "out of memory: no unit is left" "not-found" "$(show caisson-victim.scope LoadState)"

# The end of the first process ends the scope; delete copes with that.
bundle $b '["sh", "-c", "exit 3"]' '{}'
timeout 150 "${r[@]}" run --bundle $b short >$scratch/out 2>&1
is "run returns the status" "3" "$?"
succeeds "create of one that ends" "${r[@]}" create --bundle $b ends
"${r[@]}" start ends
eventually sh -c "${r[*]} state ends | grep -q stopped"
succeeds "delete after its end" "${r[@]}" delete ends
# A name may be used again at once, also if the unit of before has failed.
for _ in 1 2 3; do timeout 150 "${r[@]}" run --bundle $b again >$scratch/out 2>&1 || true; done
is "the same name again" "3" "$(timeout 150 "${r[@]}" run --bundle $b again >$scratch/out 2>&1; echo $?)"
# delete --force of a running one; and of one whose unit someone stopped.
bundle $b "$sleeper" '{}'
succeeds "run -d" "${r[@]}" run -d --bundle $b forced
succeeds "delete --force" "${r[@]}" delete --force forced
is "delete --force: no unit" "not-found" "$(show caisson-forced.scope LoadState)"
succeeds "run -d, once more" "${r[@]}" run -d --bundle $b stopped
systemctl stop caisson-stopped.scope
eventually sh -c "${r[*]} state stopped | grep -q stopped"
succeeds "delete of one whose unit was stopped" "${r[@]}" delete --force stopped
# Names and values that can't be.
bundle $b '["true"]' '{}' "" '"cgroupsPath": "/not/for/systemd"'
fails "a cgroupsPath of the other kind is refused by name" "cgroupsPath" "${r[@]}" run --bundle $b wrong
bundle $b '["true"]' '{"unified": {"no.such": "1"}}'
fails "an unknown unified file is refused by name" "no.such" "${r[@]}" run --bundle $b wrong
is "no unit of a failed create" "not-found" "$(show caisson-wrong.scope LoadState)"
# Without --systemd-cgroup, beside systemd.
bundle $b "$sleeper" "$limits" "" '"cgroupsPath": "/made/raw"'
succeeds "without --systemd-cgroup: run -d" $runtime --root $scratch/state run -d --bundle $b raw
is "without --systemd-cgroup: files" "67108864 40" "$(echo $(<$cg/made/raw/memory.max) $(<$cg/made/raw/pids.max))"
succeeds "without --systemd-cgroup: delete" $runtime --root $scratch/state delete --force raw
rmdir $cg/made

# shellcheck source=rootless.sh
. /payload/guest/rootless.sh
driver=systemd
# shellcheck source=sentry.sh
. /payload/guest/sentry.sh
# shellcheck source=pods.sh
. /payload/guest/pods.sh
is "no unit is left" "" "$(systemctl list-units --all --plain --no-legend 'caisson-*' 'prefix-*')"
is "no failed unit is left" "" "$(systemctl list-units --failed --plain --no-legend)"
# shellcheck source=programs.sh
. /payload/guest/programs.sh
