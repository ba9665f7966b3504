# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# Pods of `caisson serve` on this hierarchy, through crictl. Sourced by both
# guests; $cg is the hierarchy, $driver the cgroup driver that is to be found.
# Below systemd the daemon is the unit that `make install` installs.
if [[ ! -x /payload/bin/crictl ]]; then
    say "# pods: not tested: crictl was not built, for want of Go"
    return 0
fi
p=$scratch/pods
mkdir -p $p/logs /etc/caisson
install -D -t /usr/local/bin /payload/bin/caisson /payload/bin/caisson-native
install -D -t /usr/local/libexec/caisson /payload/bin/caisson-shim /payload/bin/caisson-init
echo 'timeout: 120' >/etc/crictl.yaml
export CONTAINER_RUNTIME_ENDPOINT=unix:///run/caisson/caisson.sock
export IMAGE_SERVICE_ENDPOINT=$CONTAINER_RUNTIME_ENDPOINT
crictl=(/payload/bin/crictl --timeout 120s)
crictl_() { timeout --foreground 150 "${crictl[@]}" "$@"; }
value() { # KEY of JSON on stdin, the first: its scalar
    sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" | head -n1
}
answers() { crictl_ version >/dev/null 2>&1; }
serving() {
    local begin=$SECONDS
    until answers; do
        ((SECONDS - begin < 60)) || return 1
        sleep 0.2
    done
}
said() { # the end of the daemon's log
    if [[ $driver == systemd ]]; then journalctl -u caisson -o cat -n 12; else tail -n 8 $p/daemon.log; fi
}
daemon= # of the guest without systemd
begin_daemon() {
    if [[ $driver == systemd ]]; then
        systemctl start caisson
    else
        /usr/local/bin/caisson serve </dev/null >>$p/daemon.log 2>&1 9>&- &
        daemon=$!
    fi
    serving
}
daemon_pid() { if [[ $driver == systemd ]]; then systemctl show -P MainPID caisson; else echo $daemon; fi; }
state_of() { crictl_ inspect -o json "$1" | value state; }
ended() { [[ $(state_of "$1") == CONTAINER_EXITED ]]; }
# pod NAME [NAMESPACE-OPTIONS]: on the host's network; leaves its id in $pod.
pod() {
    cat >$p/$1.json <<END
{"metadata": {"name": "$1", "namespace": "guest", "uid": "uid-$1", "attempt": 0},
 "log_directory": "$p/logs", "hostname": "$1",
 "linux": {"cgroup_parent": "$parent", "security_context": {"namespace_options": {"network": 2 ${2:+, $2}}}}}
END
    pod=$(crictl_ runp $p/$1.json 2>$p/err) || fail "pod $1" "$(<$p/err)"
}
# container POD NAME COMMAND RESOURCES: leaves its id in $container; started.
container() {
    local resources=${4:-}
    [[ -n $resources ]] || resources='{}'
    cat >$p/$1-$2.json <<END
{"metadata": {"name": "$2", "attempt": 0}, "image": {"image": "localhost/busy:1"}, "command": ["sh", "-c", "$3"],
 "log_path": "$2.log", "linux": {"resources": $resources}}
END
    if ! { container=$(crictl_ create $pod $p/$1-$2.json $p/$1.json 2>$p/err) && crictl_ start $container >$p/out 2>>$p/err; }; then
        fail "container $2" "$(dmesg | tail -n 3)$(<$p/err)"
        container=
    fi
}

make_rootfs $p/tree
/usr/local/bin/caisson image build-from-rootfs -q $p/tree localhost/busy:1 --cmd sh --env PATH=/bin >$p/out 2>&1 \
    || fail "an image of the guest's busybox" "$(<$p/out)"
if [[ $driver == systemd ]]; then
    mkdir -p /usr/local/lib/systemd/system
    sed 's|@PREFIX@|/usr/local|' /payload/bin/caisson.service >/usr/local/lib/systemd/system/caisson.service
    succeeds "the unit verifies" systemd-analyze verify --man=no /usr/local/lib/systemd/system/caisson.service
    systemctl daemon-reload
    succeeds "the unit starts, and says when it is ready" systemctl start caisson
    if answers; then pass "it answers at once"; else
        fail "it answers at once" "$(said)"
        return 0
    fi
    read_unit caisson.service
    is "the unit: delegated, restarted, its process alone is killed" "yes always process" "$unit_Delegate $unit_Restart $unit_KillMode"
    before=$unit_MainPID
    succeeds "the unit reloads" systemctl reload caisson
    is "a reload keeps the process" "$before active" "$(daemon_pid) $(systemctl is-active caisson)"
    parent=kubepods-burstable-pod1.slice
else
    if begin_daemon; then pass "the daemon answers"; else
        fail "the daemon answers" "$(said)"
        return 0
    fi
    parent=/kubepods/burstable/pod1
fi
like "the kubelet is told the cgroup driver" "$driver" "$(crictl_ runtime-config 2>&1 | tr '[:upper:]' '[:lower:]')"

trapped='trap \"exit 0\" TERM; while :; do sleep 1000 & wait $!; done'
pod one
container one main "$trapped" '{"memory_limit_in_bytes": 67108864, "cpu_shares": 512, "cpu_quota": 25000, "cpu_period": 50000, "cpuset_cpus": "0", "unified": {"memory.low": "1048576"}}'
main=$container
[[ -n $main ]] || return 0
pid=$(crictl_ inspect -o json $main | value pid)
dir=$cg$(sed -n 's/^0:://p' /proc/$pid/cgroup)
if [[ $driver == systemd ]]; then
    unit=caisson-$main.scope
    read_unit $unit
    is "the container's scope" "active yes" "$unit_ActiveState $unit_Delegate"
    like "its slice is the pod's, which is in the request's" "^/kubepods.slice/kubepods-burstable.slice/$parent/kubepods-burstable-pod1-caisson_[0-9a-f]+.slice/$unit$" "$unit_ControlGroup"
    is "the scope's limits" "67108864 500ms 59 0" "$unit_MemoryMax $unit_CPUQuotaPerSecUSec $unit_CPUWeight $unit_AllowedCPUs"
    systemctl daemon-reload
else
    like "the container's cgroup is the pod's, in the request's" "^$cg$parent/$pod/$main$" "$dir"
fi
is "limits in files" "67108864 25000 50000 59 0 1048576" "$(echo $(<$dir/memory.max) $(<$dir/cpu.max) $(<$dir/cpu.weight) $(<$dir/cpuset.cpus) $(<$dir/memory.low))"
supervisor=$(sed -n 's/^PPid:\t//p' /proc/$pid/status)
is "the pod's supervisor is outside of its cgroup" "outside" "$(grep -q "$(basename "$(dirname $dir)")" /proc/$supervisor/cgroup || echo outside)"
is "exec" "in 0::/" "$(crictl_ exec --sync $main sh -c 'echo in $(cat /proc/self/cgroup)' 2>&1)"
succeeds "a resize" "${crictl[@]}" update --memory 50331648 --cpu-quota 20000 --cpu-period 100000 --cpu-share 1024 $main
is "a resize: files" "50331648 20000 100000" "$(echo $(<$dir/memory.max) $(<$dir/cpu.max))"
if [[ $driver == systemd ]]; then
    read_unit $unit
    is "a resize: the unit" "50331648 200ms" "$unit_MemoryMax $unit_CPUQuotaPerSecUSec"
fi
crictl_ stats -o json --id $main >$p/stats 2>$p/err
like "stats: memory" '"workingSetBytes"' "$(<$p/stats)"
like "stats: pressure" '"psi"' "$(tr '[:upper:]' '[:lower:]' <$p/stats)"
crictl_ statsp -o json --id $pod >$p/stats 2>$p/err
like "stats of the pod: processes" '"processCount"' "$(<$p/stats)"

container one greedy "tail /dev/zero" '{"memory_limit_in_bytes": 16777216, "memory_swap_limit_in_bytes": 16777216}'
eventually ended $container
is "out of memory is the reason" "OOMKilled 137" "$(crictl_ inspect -o json $container | tee $p/inspect | value reason) $(value exitCode <$p/inspect)"

# Users of the pod's own: layers are mapped by idmapped mounts.
pod mapped '"userns_options": {"mode": 0, "uids": [{"host_id": 100000, "container_id": 0, "length": 65536}], "gids": [{"host_id": 100000, "container_id": 0, "length": 65536}]}'
container mapped inside "$trapped"
outside=$(crictl_ inspect -o json $container | value pid)
outside=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' /proc/$outside/status)
ids='id -u; map=$(cat /proc/self/uid_map); echo $map | cut -d" " -f2'
is "a user namespace: ids inside and outside" "0 100000 100000" "$(echo $(crictl_ exec --sync $container sh -c "$ids" 2>&1) $outside)"
is "a user namespace: files of the image are root's" "0" "$(crictl_ exec --sync $container stat -c %u /bin/busybox 2>&1)"
mapped=$pod

# The daemon is killed; a container ends before there is one again.
pod=$(crictl_ pods -q --name one)
container one short "sleep 2; echo done; exit 7"
short=$container
if [[ $driver == systemd ]]; then
    before=$(daemon_pid)
    systemctl kill -s KILL --kill-whom=main caisson
    eventually sh -c "[ \$(systemctl show -P MainPID caisson) != $before ] && [ \$(systemctl show -P MainPID caisson) != 0 ]"
    serving
    like "systemd starts a killed daemon again" "^[1-9]" "$(daemon_pid | grep -vx $before)"
    is "what runs outlives the daemon" "CONTAINER_RUNNING $pid" "$(state_of $main) $(crictl_ inspect -o json $main | value pid)"
    succeeds "the unit stops" systemctl stop caisson
    is "what runs outlives the unit" "alive" "$(kill -0 $pid && echo alive)"
    sleep 2
    begin_daemon || fail "the unit starts again" "$(said)"
else
    kill -KILL $daemon
    wait $daemon 2>/dev/null
    sleep 2
    begin_daemon || fail "the daemon starts again" "$(said)"
fi
is "found again: what runs" "CONTAINER_RUNNING $pid" "$(state_of $main) $(crictl_ inspect -o json $main | value pid)"
is "found again: what ended meanwhile" "CONTAINER_EXITED 7" "$(crictl_ inspect -o json $short | tee $p/inspect | value state) $(value exitCode <$p/inspect)"
is "found again: its log" "done" "$(crictl_ logs $short 2>&1)"
is "found again: exec" "here" "$(crictl_ exec --sync $main echo here 2>&1)"

succeeds "a container stops by its signal" "${crictl[@]}" stop --timeout 20 $main
is "its exit code" "0" "$(crictl_ inspect -o json $main | value exitCode)"
for one in $(crictl_ pods -q); do
    succeeds "a pod stops" "${crictl[@]}" stopp $one
    succeeds "a pod is removed" "${crictl[@]}" rmp $one
done
is "no pod is left, no container" "" "$(crictl_ pods -q)$(crictl_ ps -a -q)"
is "no cgroup of theirs" "" "$(find $cg -name "*$main*" -o -name "*${mapped:0:12}*" -o -name 'caisson_*.slice')"
is "no supervisor" "" "$(pgrep -x caisson-shim)"
is "no mount" "" "$(grep /run/caisson/ /proc/self/mounts)"
if [[ $driver == systemd ]]; then
    systemctl stop caisson
    is "the unit ends well" "inactive success" "$(systemctl is-active caisson) $(systemctl show -P Result caisson)"
    systemctl stop kubepods.slice
    is "no unit of theirs" "" "$(systemctl list-units --all --plain --no-legend 'caisson-*' 'kubepods*')"
else
    kill -TERM $daemon
    wait $daemon
    is "the daemon ends well" "0" "$?"
    find $cg/kubepods -depth -type d -exec rmdir {} +
fi
