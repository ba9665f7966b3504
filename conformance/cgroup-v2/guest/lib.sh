# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2034  # no blanks in paths; variables of others
# Sourced by the guest's check lists. One line for each check goes to the
# second serial port, which is how the host gets it.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec 9>/dev/ttyS1 </dev/null
runtime=/payload/caisson-native
cg=/sys/fs/cgroup
scratch=/tmp/checks
mkdir -p $scratch

say() { printf '%s\n' "$*" >&9; }
pass() { say "ok     $1"; }
fail() { # name, what was seen
    local detail=${2//$'\n'/ | }
    say "not ok $1: ${detail:0:900}"
}
is() { # name wanted got
    if [[ $2 == "$3" ]]; then pass "$1"; else fail "$1" "wanted '$2', got '$3'"; fi
}
like() { # name pattern got
    if [[ $3 =~ $2 ]]; then pass "$1"; else fail "$1" "no match of '$2' in '$3'"; fi
}
# succeeds NAME COMMAND...: its output is left in $out. By a file: what outlives
# a command would keep a pipe open, and us waiting.
succeeds() {
    local name=$1 rc=0
    shift
    timeout 150 "$@" </dev/null >$scratch/out 2>&1 || rc=$?
    out=$(<$scratch/out)
    if ((rc == 0)); then pass "$name"; else fail "$name" "status $rc: $out"; fi
}
fails() { # name pattern command...
    local name=$1 pattern=$2 rc=0
    shift 2
    timeout 150 "$@" </dev/null >$scratch/out 2>&1 || rc=$?
    out=$(<$scratch/out)
    if ((rc == 0)); then fail "$name" "succeeded: $out"; else like "$name" "$pattern" "$out"; fi
}
# eventually COMMAND...: whether it succeeds within 60 s.
eventually() {
    local n
    for ((n = 0; n < 600; n++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    return 1
}
all_of_it() {
    say "# ended at $(cut -d. -f1 /proc/uptime) s of the guest's time"
    say "end"
    sync
}

# bundle DIR COMMAND-JSON RESOURCES-JSON [PROCESS-FIELDS-JSON] [LINUX-FIELDS-JSON]
# A bundle on busybox; capabilities and limits are in $caps and $extra.
make_rootfs() { # dir
    mkdir -p "$1"/{bin,dev,etc,proc,sys,tmp,root,mnt}
    cp /bin/busybox "$1/bin/"
    local applet
    for applet in sed mount mkdir rm ionice sh cat head tail sleep mknod ls grep echo true dd tr id wc cut stat; do
        ln -sf busybox "$1/bin/$applet"
    done
    chmod 1777 "$1/tmp"
}
default_caps='"CAP_KILL","CAP_MKNOD","CAP_CHOWN","CAP_SETUID","CAP_SETGID"'
bundle() {
    local dir=$1 args=$2 resources=$3 process=${4:-} linux=${5:-}
    local caps=${caps-$default_caps}
    [[ -d $dir/rootfs ]] || make_rootfs "$dir/rootfs"
    cat >"$dir/config.json" <<END
{"ociVersion": "1.0.2",
 "root": {"path": "rootfs"},
 "hostname": "checked",
 "process": {"user": {"uid": 0, "gid": 0}, "args": $args, "cwd": "/", "env": ["PATH=/bin"],
  "capabilities": {"bounding": [$caps], "effective": [$caps], "permitted": [$caps]} ${process:+, $process}},
 "mounts": [
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
  {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]}
 ],
 "linux": {"resources": $resources ${linux:+, $linux},
  "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "cgroup"}]}}
END
}
