#!/bin/bash
# Shows what a container of the runtime is made of, one command at a time:
# RUNTIME=path scripts/demo-native.sh. Needs root, apt and jq; leaves nothing behind.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
runtime=${RUNTIME:-caisson-native}

if ((EUID != 0)); then
    echo "demo: real namespaces and cgroups need root; asking sudo"
    exec sudo -- env RUNTIME="$runtime" PATH="$PATH" "$here/demo-native.sh"
fi
"$here/packages.sh" jq procps
command -v "$runtime" >/dev/null || {
    echo "demo: there is no runtime at $runtime; 'make demo-native' builds it" >&2
    exit 1
}

id=caisson-demo-$$
tmp=$(mktemp -d /tmp/caisson-demo.XXXXXX)
chmod 755 "$tmp"
clean_up() {
    "$runtime" --root "$tmp/state" delete --force "$id" >/dev/null 2>&1 || true
    rm -rf --one-file-system "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title() { printf '\n== %s\n' "$*"; }
# Prints a command as one would type it, and runs it.
rt() {
    local shown='' word
    for word in "$@"; do
        if [[ $word == *[![:alnum:]/._:=@-]* ]]; then shown+=" '$word'"; else shown+=" $word"; fi
    done
    printf '$ %s%s\n' "$(basename "$runtime")" "${shown//$tmp/\$tmp}" >&2
    "$runtime" --root "$tmp/state" "$@"
}
row() { printf '  %-22s %-26s %s\n' "$@"; }
wait_for() { # status
    local _
    for _ in {1..100}; do
        [[ $("$runtime" --root "$tmp/state" state "$id" | jq -r .status) != "$1" ]] || return 0
        sleep 0.05
    done
    echo "demo: $id is not $1 after 5 s" >&2
    return 1
}

get_busybox() {
    local arch deb
    arch=$(dpkg --print-architecture)
    cd "$tmp"
    for _ in 1 2; do
        apt-get download "busybox-static:$arch" >/dev/null 2>&1 && break
        echo "\$ apt-get update" && apt-get update -qq || true
    done
    deb=$(find "$tmp" -maxdepth 1 -name 'busybox-static_*.deb')
    if [[ -n $deb ]]; then
        echo "\$ apt-get download busybox-static && dpkg -x $(basename "$deb") unpacked"
        dpkg -x "$deb" "$tmp/unpacked"
        busybox=$tmp/unpacked/bin/busybox
    elif busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1; then
        echo "  the package can't be had (no network?): taking this machine's $busybox"
    else
        echo "demo: busybox-static can't be downloaded, and this machine has no static busybox" >&2
        exit 1
    fi
    cd "$here"
}

title "A root file system: Debian's static busybox"
get_busybox
bundle=$tmp/bundle
mkdir -p "$bundle/rootfs"/{bin,dev,proc,sys,tmp,etc}
cp "$busybox" "$bundle/rootfs/bin/busybox"
for applet in $("$busybox" --list); do
    [[ $applet == busybox ]] || ln -s busybox "$bundle/rootfs/bin/$applet"
done
printf 'root:x:0:0:root:/:/bin/sh\n' >"$bundle/rootfs/etc/passwd"
echo "  $(du -sh "$bundle/rootfs" | cut -f1) in \$tmp/bundle/rootfs, $(find "$bundle/rootfs/bin" -type l | wc -l) commands"

title "A bundle: the runtime's own default, plus limits and a filter"
rt spec --bundle "$bundle"
adapt() { # jq program
    jq "$1" "$bundle/config.json" >"$bundle/new.json"
    mv "$bundle/new.json" "$bundle/config.json"
}
adapt '.process.terminal = false
    | .hostname = "demo"
    | .linux.cgroupsPath = "/'"$id"'"
    | .linux.resources.memory = {limit: 67108864}
    | .linux.resources.pids = {limit: 32}
    | .linux.resources.cpu = {quota: 50000, period: 100000, shares: 512}
    | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
        {names: ["symlink", "symlinkat"], action: "SCMP_ACT_ERRNO", errnoRet: 1}]}'
echo "  limits: 64 MiB of memory, 32 processes, half a CPU; symlink(2) refused by seccomp"

# Runs inside and prints `name value` lines.
cat >"$bundle/rootfs/look.sh" <<'INSIDE'
for n in /proc/self/ns/*; do
    n=${n##*/}
    case $n in *_for_children) ;; *) echo "ns:$n $(readlink /proc/self/ns/$n)" ;; esac
done
sed -n 's/^\(CapEff\|CapBnd\|CapAmb\|NoNewPrivs\|Seccomp\|Seccomp_filters\):[[:space:]]*/status:\1 /p' /proc/self/status
first() {
    key=$1; shift
    for f in "$@"; do
        [ -r "$f" ] && { echo "limit:$key $(cat "$f")"; return; }
    done
    echo "limit:$key ?"
}
c=/sys/fs/cgroup
first memory $c/memory.max $c/memory/memory.limit_in_bytes
first pids $c/pids.max $c/pids/pids.max
if [ -r $c/cpu.max ]; then
    first cpu $c/cpu.max
else
    for d in cpu cpu,cpuacct; do
        [ -r $c/$d/cpu.cfs_quota_us ] &&
            echo "limit:cpu $(cat $c/$d/cpu.cfs_quota_us) $(cat $c/$d/cpu.cfs_period_us)" && break
    done
fi
echo "nofile $(ulimit -n)"
echo "user $(id -u):$(id -g)"
echo "hostname $(hostname)"
echo "pid $$"
echo "processes $(ls -d /proc/[0-9]* | wc -l)"
ln -s a /dev/shm/b 2>/dev/null && echo "symlink allowed" || echo "symlink refused"
touch /x 2>/dev/null && echo "write allowed" || echo "write refused"
[ -s /proc/kcore ] && echo "kcore readable" || echo "kcore masked"
(echo 1 >/proc/sys/kernel/panic) 2>/dev/null && echo "sysctl writable" || echo "sysctl read-only"
while read -r id parent dev root point options rest; do
    echo "mount $point $options ${rest#*- }"
done </proc/self/mountinfo
INSIDE

title "run: a process between walls"
adapt '.process.args = ["/bin/sh", "/look.sh"]'
seen=$tmp/seen
rt run --bundle "$bundle" "$id" >"$seen"
value() { sed -n "s|^$1 ||p" "$seen" | head -n1; }
inode() { sed 's/.*\[\(.*\)\]/\1/' <<<"$1"; }
capabilities() { # hex mask
    local names=(chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
        linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner
        sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice
        sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap
        mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
        checkpoint_restore) i out=()
    for i in "${!names[@]}"; do (((0x$1 >> i) & 1)) && out+=("${names[i]}"); done
    local IFS=' '
    ((${#out[@]} > 8)) && echo "${#out[@]} of ${#names[@]}" || echo "${out[*]:-none}"
}
own() { sed -n "s/^$1:[[:space:]]*//p" /proc/self/status; }

echo
row "namespace" "host" "container"
row "---------" "----" "---------"
while read -r key link; do
    name=${key#ns:}
    host=$(inode "$(readlink "/proc/self/ns/$name")")
    inside=$(inode "$link")
    row "$name" "$host" "$inside$([[ $host == "$inside" ]] && echo "  (shared)")"
done < <(grep '^ns:' "$seen")
echo
row "wall" "host" "container"
row "----" "----" "---------"
row "hostname" "$(uname -n)" "$(value hostname)"
row "processes to be seen" "$(find /proc -maxdepth 1 -name '[0-9]*' | wc -l)" "$(value processes)"
row "capabilities, bounding" "$(capabilities "$(own CapBnd)")" "$(capabilities "$(value status:CapBnd)")"
row "no_new_privs" "$(own NoNewPrivs)" "$(value status:NoNewPrivs)"
row "seccomp mode, filters" "$(own Seccomp), $(own Seccomp_filters)" "$(value status:Seccomp) (2 = filter), $(value status:Seccomp_filters)"
row "open files" "$(ulimit -n)" "$(value nofile)"
echo
row "limit" "asked" "seen inside"
row "-----" "-----" "-----------"
row "memory, bytes" 67108864 "$(value limit:memory)"
row "processes" 32 "$(value limit:pids)"
row "CPU, us per period" "50000 100000" "$(value limit:cpu)"
echo
row "attempt" "" "outcome"
row "-------" "" "-------"
row "make a symbolic link" "(seccomp)" "$(value symlink)"
row "write to the root" "(read-only mount)" "$(value write)"
row "read /proc/kcore" "(masked path)" "$(value kcore)"
row "write to /proc/sys" "(read-only path)" "$(value sysctl)"
echo
row "mount" "type" "options"
row "-----" "----" "-------"
sed -n 's/^mount //p' "$seen" | while read -r point options type _; do
    row "$point" "$type" "$options"
done

title "create, start, exec, ps, events, kill, delete"
adapt '.process.args = ["/bin/sh", "-c", "trap \"exit 0\" TERM; while :; do sleep 0.1; done"]'
rt create --bundle "$bundle" "$id" </dev/null >"$tmp/log" 2>&1 3>&- || { cat "$tmp/log"; exit 1; }
cat "$tmp/log"
rt state "$id" | jq -c '{id, status, pid}'
rt start "$id"
rt exec "$id" sh -c 'echo "pid $$ of host $(hostname), user $(id -u)"'
status=0
rt exec "$id" sh -c 'exit 42' || status=$?
echo "  exit status of the process: $status"
rt ps "$id"
rt list
rt events --stats "$id" | jq -c '{memory: .data.memory.usage, pids: .data.pids, cpu_ns: .data.cpu.usage.total}'
rt pause "$id"
rt state "$id" | jq -c '{id, status}'
rt resume "$id"
rt kill "$id" TERM
wait_for stopped
rt state "$id" | jq -c '{id, status}'
rt delete "$id"

title "Nothing left behind"
left=0
nothing() { # what, count
    row "$1" "" "$2"
    left=$((left + $2))
}
processes=0
for dir in /proc/[0-9]*; do
    # A zombie is no longer the runtime's: the machine's init reaps it.
    if grep -qs "$id" "$dir/cgroup" && ! grep -qs '^State:[[:space:]]*Z' "$dir/status"; then
        processes=$((processes + 1))
    fi
done
nothing "processes" "$processes"
nothing "mounts" "$(grep -c "$tmp" /proc/self/mountinfo || true)"
nothing "cgroups" "$(find /sys/fs/cgroup -type d -name "*$id*" 2>/dev/null | wc -l)"
nothing "state files" "$(find "$tmp/state" -mindepth 1 2>/dev/null | wc -l)"
if ((left)); then
    echo "demo: $left things were left behind" >&2
    exit 1
fi
echo
echo "demo: done"
