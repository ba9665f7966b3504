#!/bin/bash
# Measures pulls and runs of caisson beside containerd, docker, podman and
# skopeo: CAISSON=path scripts/bench-image.sh. PULLS and RUNS set the rounds;
# RECORD names a file to write the tables into. Needs root; works in namespaces
# of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export repo=$PWD CAISSON=${CAISSON:?CAISSON is the path of the command to measure}
if ((EUID != 0)); then
    echo "bench: containers need root: sudo make bench-image" >&2
    exit 1
fi
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    conformance/peers/install.sh apt
    conformance/images/build.sh stack busybox
    # shellcheck disable=SC2086
    cargo build ${CARGO_FLAGS:-} --release -p caisson-bench
    triple=$(rustc -vV | sed -n 's/^host: //p')
    BENCH=${CARGO_TARGET_DIR:-target}/$triple/release/caisson-bench
    export BENCH
fi
set +e
# shellcheck source=../conformance/namespaces.sh
. conformance/namespaces.sh
own_namespaces "$@"
scratch=$CAISSON_SUITE_SCRATCH
# shellcheck source=../conformance/registry/servers.sh
. conformance/registry/servers.sh
set -e

# The registry's processor time is no engine's: a cgroup of its own.
for dir in /sys/fs/cgroup/cpuacct /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup; do
    [[ -e $dir/cgroup.procs ]] || continue
    mkdir "$dir/servers"
    here=$dir
    [[ ! -d $dir/suite ]] || here=$dir/suite
    echo $$ >"$dir/servers/cgroup.procs"
    start_registry 5000 "$scratch/storage" plain
    echo $$ >"$here/cgroup.procs"
    break
done
fill stack 127.0.0.1:5000/bench/stack:1
fill busybox 127.0.0.1:5000/bench/busybox:1
# Loopback in plain HTTP has to be allowed, where an engine asks.
mkdir -p /etc/caisson/certs.d/127.0.0.1:5000
printf 'server = "http://127.0.0.1:5000"\n[host."http://127.0.0.1:5000"]\n  capabilities = ["pull", "resolve"]\n' \
    >/etc/caisson/certs.d/127.0.0.1:5000/hosts.toml

unpacked=$(for layer in debian python3 git redis nginx site; do
    zcat "$repo/.cache/images/layers/$layer"
done | wc -c)
# A file system of the kind that servers have: ext4 with a journal. (Without one,
# ext4 is slow for whoever makes files soon after others were deleted.)
truncate -s 24G "$scratch/ext4"
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$scratch/ext4"
mkdir "$scratch/disk"
mount -o loop "$scratch/ext4" "$scratch/disk"
arguments=(--caisson "$CAISSON" --dir "$scratch/disk" --image 127.0.0.1:5000/bench/stack:1 --busybox 127.0.0.1:5000/bench/busybox:1
    --title "six layers, $((unpacked / 1000000)) MB ($(du -bs "$repo/.cache/images/stack/blobs" | awk '{print int($1 / 1000000)}') MB gzip)")
[[ -z ${PULLS:-} ]] || arguments+=(--pulls "$PULLS")
[[ -z ${RUNS:-} ]] || arguments+=(--runs "$RUNS")
[[ -z ${RECORD:-} ]] || arguments+=(--record "$RECORD")
[[ -z ${CHECK:-} ]] || arguments+=(--check)
status=0
"$BENCH" image "${arguments[@]}" || status=$?
end_servers || true # They end by a signal.
exit $status
