#!/bin/bash
# Times of single calls, of a start, and memory when idle: the same program under
# caisson-native and under caisson-sentry, in one run. RUNS starts each.
set -euo pipefail
cd "$(dirname "$0")/.."
if ((EUID != 0)); then
    echo "bench-sentry: needs root, for namespaces" >&2
    exit 1
fi
scripts/packages.sh busybox-static gcc libc6-dev python3
native=$(realpath "${NATIVE:?}")
sentry=$(realpath "${SENTRY:?}")
runs=${RUNS:-25}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/bundle/rootfs
mkdir -p "$root"/{bin,tmp,proc,dev,etc,sys}
cp /bin/busybox "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
ln -s busybox "$root/bin/true"
ln -s busybox "$root/bin/sleep"
cc -O1 -w -static -pthread -o "$root/bin/bench" crates/isolators/sentry/tests/programs/bench.c
(cd "$work/bundle" && "$native" spec)

# A bundle's config.json that runs these words.
words() {
    python3 - "$work/bundle/config.json" "$@" <<'PY'
import json, sys
path = sys.argv[1]
config = json.load(open(path))
config["process"]["args"] = sys.argv[2:]
config["process"]["terminal"] = False
config["root"]["readonly"] = False
json.dump(config, open(path, "w"))
PY
}
in_native() { "$native" --root "$work/state" run --bundle "$work/bundle" "bench-$1"; }
in_sentry() { "$sentry" "do" --root "$root" "$@"; }

echo "bench-sentry: single calls"
words /bin/bench
in_native calls >"$work/native"
in_sentry /bin/bench >"$work/sentry"

echo "bench-sentry: $runs starts of \`true\`"
words /bin/true
starts() {
    for _ in $(seq "$runs"); do
        local before after
        before=$(date +%s%N)
        "$@" >/dev/null
        after=$(date +%s%N)
        echo $(((after - before) / 1000))
    done | sort -n | sed -n "$(((runs + 1) / 2))p"
}
printf 'start of true\t%s\n' "$(starts in_native start)" >>"$work/native"
printf 'start of true\t%s\n' "$(starts in_sentry /bin/true)" >>"$work/sentry"

# Proportional set size of a process and all below it, in KiB.
memory() {
    local pid=$1 sum
    sum=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
    sum=${sum:-0}
    while read -r child; do
        sum=$((sum + $(memory "$child")))
    done < <(cat "/proc/$pid/task/"*/children 2>/dev/null | tr ' ' '\n' | grep .)
    echo "$sum"
}
"$sentry" "do" --root "$root" /bin/sh -c 'echo up; sleep 30' >"$work/up" &
idle=$!
until grep -q up "$work/up"; do sleep 0.05; done
idle_memory=$(memory "$idle")
kill "$idle"
wait "$idle" 2>/dev/null || true

paste "$work/native" "$work/sentry" | awk -F'\t' '
    BEGIN { print "| µs | native | sentry | ratio |"; print "|---|---|---|---|" }
    { printf "| %s | %s | %s | %.1f |\n", $1, $2, $4, $4 / $2 }'
echo "memory of an idle shell and sleep under the sentry, all its processes: $idle_memory KiB (PSS)"
