#!/bin/bash
# The same bundle under caisson-native, caisson-sentry and gVisor's runsc (systrap,
# directfs), in turns: NATIVE=path SENTRY=path scripts/bench-sentry.sh. Times of single calls,
# of programs, of starts, and memory when idle; medians, and ratios of medians. runsc keeps
# what is written in an overlay of its own, whose files lie in one of the host's (root:self), the
# others write to the host's file system: what writes is also measured with both sentries so, and
# both on the host's. TCP from outside goes over a veth pair between two network namespaces, which
# are taken away afterwards.
#
# RUNS    rounds (3; the short form, 1, takes two to four minutes on two cores)
# FILES   files that find and tar walk over (20000)
# PEERS   which ones, in this order ("native sentry runsc self disk": the sentry with
#         --overlay2=root:self, and runsc with --overlay2=none, only with what writes)
#
# A peer or a program that can't be had is named, and its cells stay empty.
set -euo pipefail
cd "$(dirname "$0")/.."
if ((EUID != 0)); then
    echo "bench-sentry: needs root, for namespaces" >&2
    exit 1
fi
NATIVE=$(realpath "${NATIVE:?}")
SENTRY=$(realpath "${SENTRY:?}")
export NATIVE SENTRY
runs=${RUNS:-3}
files=${FILES:-20000}
read -ra peers <<<"${PEERS:-native sentry runsc self disk}"
if [[ -z ${CAISSON_BENCH_OWN:-} ]]; then
    scripts/packages.sh gcc libc6-dev python3 sqlite3 redis-tools iproute2
    conformance/peers/install.sh runsc
    CAISSON_BENCH_OWN=1 exec unshare --mount --propagation private "$0"
fi
RUNSC=$PWD/.cache/peers/bin/runsc
work=$(mktemp -d)
ids=0
export network=
end() {
    ip netns del "bench-in-$$" 2>/dev/null || true
    ip netns del "bench-out-$$" 2>/dev/null || true
    umount -l "$work/rootfs" 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT

# The machine's own file system is everybody's root, below a layer that is thrown away.
mkdir -p "$work"/{upper,layer,rootfs,bundle}
mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/layer" none "$work/rootfs"
mkdir -p "$work/rootfs/bench"
programs=crates/isolators/sentry/tests/programs
cc -O1 -w -static -pthread -o "$work/rootfs/bench/calls" "$programs/bench.c"
cc -O1 -w -static -o "$work/rootfs/bench/first" "$programs/bench_start.c"
for name in net parked; do
    cc -O1 -w -static -pthread -o "$work/rootfs/bench/$name" "$programs/bench_$name.c"
done
cp "$programs/bench.c" "$programs/bench_programs.sh" "$work/rootfs/bench/"
python3 - "$work/rootfs/bench" "$files" <<'PY'
import pathlib, sys, tarfile
bench, files = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for folder in range(max(1, files // 100)):
    at = bench / "tree" / f"d{folder % 50}" / f"e{folder}"
    at.mkdir(parents=True)
    for name in range(100):
        (at / f"file-{name}").write_bytes(b"x" * (name * 20))
with tarfile.open(bench / "small.tar", "w") as tar:
    for folder in (bench / "tree" / "d0").iterdir():
        tar.add(folder, folder.name)
        break
    for extra in range(1, 10):
        tar.add(folder, f"again-{extra}")
PY
(cd "$work/bundle" && "$NATIVE" spec)
find "$work/rootfs/bench/tree" -size +1k >/dev/null

# A bundle that runs these words, in a network namespace of that path, if `network` is one.
words() {
    python3 - "$work" "$@" <<'PY'
import json, os, sys
path = sys.argv[1] + "/bundle/config.json"
config = json.load(open(path))
process = config["process"]
process["args"], process["terminal"] = sys.argv[2:], False
process["env"] = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
caps = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_ADMIN",
        "CAP_SETGID", "CAP_SETUID"]
process["capabilities"] = {name: caps for name in ("bounding", "effective", "permitted")}
config["root"] = {"path": sys.argv[1] + "/rootfs", "readonly": False}
others = [space for space in config["linux"]["namespaces"] if space["type"] != "network"]
network = {"type": "network", "path": os.environ.get("network")}
if not network["path"]:
    del network["path"]
config["linux"]["namespaces"] = others + [network]
json.dump(config, open(path, "w"))
PY
}

# Its command, up to the sub-command.
command_of() {
    local mode=none
    [[ -z $network ]] || mode=sandbox
    case $1 in
        native) peer=("$NATIVE" --root "$work/state-native") ;;
        sentry) peer=("$SENTRY" --root "$work/state-sentry") ;;
        self) peer=("$SENTRY" --root "$work/state-self" --overlay2=root:self) ;;
        runsc) peer=("$RUNSC" --root "$work/state-runsc" --platform=systrap --directfs=true
            --network="$mode") ;;
        disk) peer=("$RUNSC" --root "$work/state-disk" --platform=systrap --directfs=true
            --network=none --overlay2=none) ;;
    esac
}

# Runs the bundle under a peer, with an identifier of its own.
run_in() {
    command_of "$1"
    ids=$((ids + 1))
    "${peer[@]}" run --bundle "$work/bundle" "bench-$1-$$-$ids" </dev/null
}

# Proportional set size of all processes below one, in KiB.
memory_below() {
    local child sum=0 own
    while read -r child; do
        own=$(awk '/^Pss:/ { print $2 }' "/proc/$child/smaps_rollup" 2>/dev/null || true)
        sum=$((sum + ${own:-0} + $(memory_below "$child")))
    done < <(cat "/proc/$1/task/"*/children 2>/dev/null | tr ' ' '\n' | grep .)
    echo "$sum"
}

# Runs the bundle under a peer in the background, with an identifier of its own, and waits until
# it has said `up`.
start_in() {
    command_of "$1"
    ids=$((ids + 1))
    id=bench-$1-$$-$ids
    : >"$work/up"
    "${peer[@]}" run --bundle "$work/bundle" "$id" </dev/null 2>>"$work/errors-$1" >"$work/up" &
    started=$!
    for _ in $(seq 1200); do
        grep -q up "$work/up" && return
        kill -0 "$started" 2>/dev/null || break
        sleep 0.05
    done
    return 1
}

# Ends what `start_in` has started.
stop() {
    "${peer[@]}" kill "$id" KILL 2>/dev/null || true
    wait "$started" 2>/dev/null || true
}

# What a container's memory is while it does nothing: a name for it, and the words that it runs.
idle_memory() {
    local name=$1 peer_name=$2
    shift 2
    words "$@"
    if start_in "$peer_name"; then
        printf '%s\t%d\n' "$name" "$(memory_below "$started")" >>"$result"
    else
        echo "bench-sentry: $peer_name: $name: not there after a minute"
    fi
    stop
}

# TCP from another machine, which is a network namespace with a link into the container's.
from_outside() {
    local inner=bench-in-$$ outer=bench-out-$$ name
    ip netns add "$inner"
    ip netns add "$outer"
    ip -n "$outer" link add bench0 type veth peer name eth0 netns "$inner"
    ip -n "$outer" addr add 10.77.0.1/24 dev bench0
    ip -n "$inner" addr add 10.77.0.2/24 dev eth0
    for name in "$inner" "$outer"; do ip -n "$name" link set lo up; done
    ip -n "$outer" link set bench0 up
    ip -n "$inner" link set eth0 up
    network=/run/netns/$inner
    words /bin/sh -c 'echo up; exec /bench/net serve 9000'
    start_in "$1" || true
    ip netns exec "$outer" "$work/rootfs/bench/net" ask 10.77.0.2 9000 >>"$result" ||
        echo "bench-sentry: $1: TCP from outside failed"
    stop
    network=
    ip netns del "$inner"
    ip netns del "$outer"
}

there=()
for name in "${peers[@]}"; do
    case $name in
        native | sentry | self) there+=("$name") ;;
        runsc | disk)
            if [[ -x $RUNSC ]]; then there+=("$name"); else
                echo "bench-sentry: no runsc, so its column $name is missing: see what conformance/peers/install.sh says"
            fi
            ;;
        *)
            echo "bench-sentry: PEERS knows native, sentry, runsc, self and disk, not $name" >&2
            exit 2
            ;;
    esac
done
uptime | sed 's/.*load/bench-sentry: load/'
for round in $(seq "$runs"); do
    for name in "${there[@]}"; do
        echo "bench-sentry: round $round of $runs, $name"
        result=$work/result-$name
        if [[ $name = self || $name = disk ]]; then
            words /bench/calls writes
            run_in "$name" 2>>"$work/errors-$name" >>"$result" || echo "bench-sentry: $name: calls failed"
            words /bin/bash /bench/bench_programs.sh "$files" writes
            run_in "$name" 2>>"$work/errors-$name" >>"$result" || echo "bench-sentry: $name: programs failed"
            continue
        fi
        words /bench/calls
        run_in "$name" 2>>"$work/errors-$name" >>"$result" || echo "bench-sentry: $name: calls failed"
        words /bin/bash /bench/bench_programs.sh "$files"
        run_in "$name" 2>>"$work/errors-$name" >>"$result" || echo "bench-sentry: $name: programs failed"
        words /bench/first
        for _ in 1 2 3 4 5; do
            from=${EPOCHREALTIME/./}
            first=$(run_in "$name" 2>>"$work/errors-$name") || first=$from
            to=${EPOCHREALTIME/./}
            printf 'start to first instruction\t%d\nrun of a small program\t%d\n' \
                $((first - from)) $((to - from)) >>"$result"
        done
        from_outside "$name"
        idle_memory 'memory of an idle sleep, KiB' "$name" /bin/sh -c 'echo up; exec sleep 60'
        idle_memory 'memory of 10,000 threads that wait, KiB' "$name" /bench/parked 10000
    done
done
for name in "${there[@]}"; do
    if [[ -s $work/errors-$name ]]; then
        echo "bench-sentry: $name said:"
        sort -u "$work/errors-$name" | head -n 10 | sed 's/^/  /'
    fi
done
uptime | sed 's/.*load/bench-sentry: load/'
[[ ! -x $RUNSC ]] || "$RUNSC" --version | sed -n 's/^runsc version/bench-sentry: runsc/p'
python3 - "$work" "${there[@]}" <<'PY'
import statistics, sys
work, peers = sys.argv[1], sys.argv[2:]
rows, names = {}, []
for peer in peers:
    for line in open(f"{work}/result-{peer}"):
        name, _, value = line.rstrip("\n").partition("\t")
        if not value:
            continue
        if name not in rows:
            rows[name] = {}
            names.append(name)
        rows[name].setdefault(peer, []).append(float(value))
def show(value):
    return "" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"
ratios = (("sentry", "native"), ("sentry", "runsc"), ("self", "runsc"), ("sentry", "disk"))
pairs = [(a, b) for a, b in ratios if a in peers and b in peers]
print("| µs | " + " | ".join(peers + [f"{a} / {b}" for a, b in pairs]) + " |")
print("|---" * (1 + len(peers) + len(pairs)) + "|")
slower = {}
for name in names:
    middle = {peer: statistics.median(values) for peer, values in rows[name].items()}
    cells = [show(middle.get(peer)) for peer in peers]
    for a, b in pairs:
        ratio = middle[a] / middle[b] if middle.get(a) and middle.get(b) else None
        cells.append(show(ratio))
        if b != "native" and ratio is not None and ratio > 1:
            slower.setdefault((a, b), []).append(f"{name} ({ratio:.2f})")
    print(f"| {name} | " + " | ".join(cells) + " |")
for a, b in pairs:
    if b != "native":
        print(f"\n{a} slower than {b}: {', '.join(slower.get((a, b), [])) or 'nothing'}.")
PY
