# A machine of one's own for a suite: mount, network, PID and cgroup namespaces
# in which nothing else runs, so that all that is left at the end is ours to
# see, and nothing of this machine is touched. Sourced; call `own_namespaces
# "$@"` before anything else.

own_namespaces() { # the script's arguments
    [[ -z ${CAISSON_SUITE_SCRATCH:-} ]] || { furnish_namespaces; return; }
    ((EUID == 0)) || { echo "$(basename "$0"): needs root" >&2; exit 2; }
    local name=caisson-suite-$$ groups=() dir file status=0 scratch
    scratch=$(mktemp -d "/var/tmp/$name.XXXXXX") || exit 2
    # A cgroup per hierarchy; it looks like the root from inside.
    for dir in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [[ ! -L $dir && -e $dir/cgroup.procs ]] || continue
        mkdir "$dir/$name" && groups+=("$dir/$name")
        for file in cpuset.cpus cpuset.mems; do
            [[ ! -e $dir/$file || -e $dir/cgroup.controllers ]] || cat "$dir/$file" >"$dir/$name/$file"
        done
    done
    (
        for dir in "${groups[@]}"; do echo $BASHPID >"$dir/cgroup.procs"; done
        CAISSON_SUITE_SCRATCH=$scratch exec unshare --mount --propagation private --net --cgroup \
            --pid --fork --kill-child --mount-proc -- "$0" "$@"
    ) || status=$?
    for dir in "${groups[@]}"; do
        for _ in {1..50}; do
            find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    done
    rm -rf --one-file-system "$scratch"
    exit $status
}

furnish_namespaces() {
    local dir options
    # The cgroups: every hierarchy mounted again, which shows this namespace's.
    while read -r dir options; do
        umount "$dir" && mount -t cgroup -o "$options" cgroup "$dir"
    done < <(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - cgroup [^ ]* \(.*\)/\1 \2/p' /proc/self/mountinfo |
        sed 's/ rw,name=/ none,name=/; s/ rw,/ /')
    dir=$(sed -n 's/^[^ ]* [^ ]* [^ ]* [^ ]* \([^ ]*\) .* - cgroup2 .*/\1/p' /proc/self/mountinfo | tail -n 1)
    if [[ -n $dir ]]; then
        umount "$dir" && mount -t cgroup2 cgroup2 "$dir"
        # Only a cgroup without processes can hand on its controllers.
        mkdir "$dir/suite" && echo 0 >"$dir/suite/cgroup.procs"
        sed 's/\([a-z]\+\)/+\1/g' "$dir/cgroup.controllers" >"$dir/cgroup.subtree_control"
    fi
    # What is written to /etc is gone afterwards.
    mkdir -p "$CAISSON_SUITE_SCRATCH"/etc/{upper,work}
    mount -t overlay overlay -o "lowerdir=/etc,upperdir=$CAISSON_SUITE_SCRATCH/etc/upper,workdir=$CAISSON_SUITE_SCRATCH/etc/work" /etc
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -m 1777 /run/lock
    # A way out that leads nowhere: what looks for a default route finds one.
    ip link set lo up
    ip link add uplink type veth peer name beyond
    ip address add 198.51.100.2/24 dev uplink
    ip link set beyond up
    ip link set uplink up
    ip route add default via 198.51.100.1
    echo '198.51.100.1 nowhere' >>/etc/hosts
    echo 'nameserver 198.51.100.1' >/etc/resolv.conf
}

# One line for each thing in these namespaces that a container could leave.
# For comparison: the suite's own servers are in it too.
census() {
    local pid own line
    own=$(tr '\0' ' ' <"/proc/$$/cmdline")
    cut -d' ' -f5- /proc/self/mountinfo | sed 's/^/mount /'
    find /sys/fs/cgroup -mindepth 2 -type d | sed 's/^/cgroup /'
    for pid in /proc/[0-9]*; do
        line=$(tr '\0' ' ' 2>/dev/null <"$pid/cmdline")
        # What has ended has no command line; the rest is this script.
        [[ -z $line || $line == "$own" ]] || echo "process $line"
    done
    ip -o link show | sed 's/^[0-9]*: \([^:@]*\).*/link \1/'
    ip -o address show | awk '{print "address", $2, $4}'
    ip netns list 2>/dev/null | sed 's/^/netns /'
    nft list ruleset 2>/dev/null | sed 's/counter packets [0-9]* bytes [0-9]*/counter/; s/^/nft /'
}

# What there is more than in an earlier census; waits a little for what is
# just ending.
since() { # file of the earlier census
    local i
    for i in {1..50}; do
        census >"$1.now"
        comm -13 <(sort "$1") <(sort "$1.now") >"$1.more"
        [[ -s $1.more ]] || break
        sleep 0.1
    done
    cat "$1.more"
}
