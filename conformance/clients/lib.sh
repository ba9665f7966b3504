# Shared by the client scripts: the check list, the Debian image, the census
# of what is left behind. Sourced; needs bash, root.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=$repo/.cache
client=$(basename "$0" .sh)
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

die() {
    echo "$client: $*" >&2
    exit 2
}

((EUID == 0)) || die "needs root"
runtime=${RUNTIME:-${1:-}}
[[ -n $runtime ]] || die "usage: $(basename "$0") RUNTIME-PATH (or RUNTIME=…)"
runtime=$(realpath -e "$(command -v "$runtime")") || die "$runtime: no such executable"

# All that a run makes carries this mark: directories, cgroups, environments.
mark=caisson-clients-$$
scratch=$(mktemp -d "/var/tmp/$mark.XXXX") || die "no scratch directory"
# Engines that are killed leave half-copied layers in it (containers/storage:
# /var/tmp/storage*).
export TMPDIR=$scratch/temporary
mkdir -m 1777 "$TMPDIR"

# What a check of this client can't have of the runtime, and why: clients/expected.tsv.
expectations=$here/expected.tsv
expected() { # name
    local kind check why
    while IFS=$'\t' read -r kind check why; do
        if [[ $kind == "$(basename "$runtime") $client" && $check == "$1" ]]; then
            echo "$why"
            return
        fi
    done <"$expectations"
    return 1
}

passed=0
failed=0
known=0
ok() { # name
    if expected "$1" >/dev/null; then
        failed=$((failed + 1))
        echo "FAIL  $1: it passes; take its row out of clients/expected.tsv"
        return
    fi
    passed=$((passed + 1))
    echo "ok    $1"
}
fail() { # name reason
    local why
    if why=$(expected "$1"); then
        known=$((known + 1))
        echo "known $1: $why"
        return
    fi
    failed=$((failed + 1))
    echo "FAIL  $1: ${2//$'\n'/$'\n'        }"
}
is() { # name expected actual
    if [[ $3 == "$2" ]]; then ok "$1"; else fail "$1" "expected '$2', got '${3:0:400}'"; fi
}
like() { # name regex actual
    if [[ $3 =~ $2 ]]; then ok "$1"; else fail "$1" "expected a match of '$2', got '${3:0:400}'"; fi
}
succeeds() { # name command…
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"; else fail "$name" "exit $? of $*: ${out:0:400}"; fi
}
exits() { # name status command…
    local name=$1 want=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    if ((rc == want)); then ok "$name"; else fail "$name" "exit $rc instead of $want: ${out:0:400}"; fi
}
eventually() { # name seconds command…
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            fail "$name" "not so in time: $*"
            return
        fi
        sleep 0.1
    done
    ok "$name"
}

# Whether this machine lets root have every capability; says so where not.
all_capabilities() {
    local have last
    have=$((16#$(awk '$1 == "CapBnd:" {print $2}' /proc/self/status)))
    last=$(</proc/sys/kernel/cap_last_cap)
    ((have == (1 << (last + 1)) - 1)) && return
    echo "note  not checked: a privileged container, since this machine withholds capabilities from root"
    return 1
}

# Words that answer each connection to port 7000 of the loopback interface, and those that
# print the answer.
# shellcheck disable=SC2034  # read by who sources this
answers=(perl -e 'use IO::Socket::INET;
    $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:7000", ReuseAddr => 1) or die;
    while ($c = $s->accept) { print $c "through\n"; close $c }')
# shellcheck disable=SC2034
asks=(bash -c 'for i in {1..300}; do
    exec 3<>/dev/tcp/127.0.0.1/7000 && exec cat <&3; sleep 0.1; done 2>/dev/null')

# Runs a command with a terminal and prints what it shows.
in_pty() {
    timeout --foreground 30 script -qefc "$(printf '%q ' "$@")" /dev/null </dev/null | tr -d '\r'
}

# A real Debian root file system as an image archive that every engine loads;
# made once and shared. Prints the archive's path.
image_archive() {
    local dir=$cache/debian-image
    if [[ ! -s $dir/image.tar ]]; then
        "$repo/conformance/images/build.sh" debian >/dev/null || die "no Debian image"
        rm -rf "$dir/rootfs"
        mkdir -p "$dir/rootfs"
        tar -C "$dir/rootfs" --numeric-owner --xattrs -xf "$cache/images/minbase.tar" ||
            die "can't unpack the Debian image"
        python3 "$here/image.py" "$dir/rootfs" "$dir/image.tar" caisson-test/debian:latest ||
            die "no image archive"
        rm -rf "$dir/rootfs"
    fi
    echo "$dir/image.tar"
}

# One line for each thing that bears this run's mark.
leftovers() {
    local pid
    grep -F "$scratch" /proc/self/mountinfo | sed 's/^/mount /'
    # podman never removes the cgroup that it makes for its monitors.
    find /sys/fs/cgroup -mindepth 2 -type d -path "*$mark/*" ! -name conmon 2>/dev/null | sed 's/^/cgroup /'
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "CAISSON_MARK=$mark"; then
            echo "process $pid $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
        fi
    done
    ((!$#)) || find "$@" -mindepth 1 2>/dev/null | sed 's/^/state /'
}

# Checks that nothing is left; arguments are state directories to be empty.
nothing_left() {
    local left i
    for i in {1..50}; do
        left=$(leftovers "$@")
        [[ -n $left ]] || break
        sleep 0.1
    done
    is "nothing is left: mounts, cgroups, processes, state" "" "$left"
}

# Ends what still bears the mark, so that a failed run leaves no trace either.
sweep() {
    local kind what rest
    leftovers | while read -r kind what rest; do
        [[ $kind != process || $what == "$$" ]] || kill -KILL "$what" 2>/dev/null
    done
    find /sys/fs/cgroup -path "*$mark*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r what; do
        kill -KILL "$what" 2>/dev/null
    done
    sleep 0.2
    awk -v s="$scratch" 'index($5, s) == 1 {print $5}' /proc/self/mountinfo | tac | while read -r what; do
        umount -l "$what" 2>/dev/null
    done
    find /sys/fs/cgroup -depth -type d -path "*/$mark*" -exec rmdir {} + 2>/dev/null
    rm -rf --one-file-system "$scratch"
}

# Waits for a process of ours to end; kills it after a time.
end_daemon() { # pid
    local i
    kill -TERM "$1" 2>/dev/null
    for i in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "note: process $1 does not end on SIGTERM"
    kill -KILL "$1" 2>/dev/null
}

# Ends the script when not even the first checks pass: the rest would fail alike.
go_on_if_passing() {
    ((failed == 0)) && return
    summary
    exit 1
}

summary() {
    echo "$client with $runtime: $passed passed, $failed failed, $known can't pass, $SECONDS s"
    ((failed == 0))
}
