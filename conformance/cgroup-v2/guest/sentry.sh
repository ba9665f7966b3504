# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154,SC2116,SC2005  # no blanks in paths; variables of others; lines are to be joined
# Two containers in one sandbox of caisson-sentry, on this hierarchy and with this $driver.
# Sourced by both guests; the first lines show that it runs on the guest's kernel at all.
s=(/payload/bin/caisson-sentry --root $scratch/sentry)
[[ $driver == systemd ]] && s+=(--systemd-cgroup)
waits='["sh", "-c", "trap \"exit 7\" TERM; while :; do sleep 1; done"]'
# within BUNDLE NETWORK-NAMESPACE ANNOTATIONS: changes what `bundle` wrote.
within() {
    sed -i "s|\"namespaces\": \[|&{\"type\": \"network\" $2}, |; s|\"hostname\"|\"annotations\": {$3}, &|" $1/config.json
}
status_of() { "${s[@]}" state $1 | value_of status; }
value_of() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" | head -n1; }
stopped() { [[ $(status_of $1) == stopped ]]; }
# Where a container's process is in the hierarchy.
cgroup_of() { sed -n 's/^0:://p' /proc/$("${s[@]}" state $1 | value_of pid)/cgroup; }
# The host's numbers of the processes of a cgroup.
processes_of() { wc -l <$cg$1/cgroup.procs; }

one=$scratch/sentry-one two=$scratch/sentry-two
bundle $one "$waits" '{"pids": {"limit": 60}}'
within $one "" '"io.kubernetes.cri.container-type": "sandbox"'
succeeds "sentry: run -d" "${s[@]}" run -d --bundle $one one
like "sentry: a kernel of its own" "Caisson" "$("${s[@]}" exec one cat /proc/version 2>&1)"
is "sentry: exec" "here" "$("${s[@]}" exec one echo here 2>&1)"
pid=$("${s[@]}" state one | value_of pid)
bundle $two "$waits" '{"memory": {"limit": 67108864}, "pids": {"limit": 40}}'
within $two ", \"path\": \"/proc/$pid/ns/net\"" '"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "one"'
succeeds "sentry: a second container in its sandbox" "${s[@]}" run -d --bundle $two two
is "sentry: exec in the second one" "there" "$("${s[@]}" exec two echo there 2>&1)"
first=$(cgroup_of one) second=$(cgroup_of two)
like "sentry: a cgroup for each" "two" "$([[ $first != "$second" ]] && echo $second)"
is "sentry: its limits" "67108864 40" "$(echo $(<$cg$second/memory.max) $(<$cg$second/pids.max))"
# The one that stands for it, its program and what that waits for.
like "sentry: its processes are in its cgroup" "^[3-9]$" "$(processes_of $second)"
if [[ $driver == systemd ]]; then
    is "sentry: a unit for each" "active active" "$(echo $(systemctl show -P ActiveState caisson-one.scope caisson-two.scope))"
fi
succeeds "sentry: update" "${s[@]}" update --pids-limit 30 two
is "sentry: update in the files" "30" "$(<$cg$second/pids.max)"
succeeds "sentry: kill" "${s[@]}" kill two TERM
eventually stopped two
is "sentry: the first one runs on" "running" "$(status_of one)"
succeeds "sentry: delete" "${s[@]}" delete two
succeeds "sentry: delete --force" "${s[@]}" delete --force one
is "sentry: no cgroup is left" "gone gone" "$(for dir in $first $second; do [[ -d $cg$dir ]] || echo -n "gone "; done | sed 's/ $//')"
