#!/bin/bash
# Measures pods through the CRI, ours beside containerd and runc, in the same
# run: CAISSON=path scripts/bench-cri.sh. ROUNDS (10), AT_ONCE (20) and RESIDENT
# (100) set how many; RECORD names a file to write the tables into. Needs root
# and Go; works in namespaces of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
export repo=$PWD CAISSON=${CAISSON:?CAISSON is the path of the command to measure}
if ((EUID != 0)); then
    echo "bench: containers need root: sudo make bench-cri" >&2
    exit 1
fi
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    conformance/peers/install.sh apt runc
    conformance/peers/go/build.sh cribench crictl containerd
    conformance/critest/images.sh >/dev/null
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
set -e
scratch=$CAISSON_SUITE_SCRATCH
# shellcheck source=../conformance/registry/servers.sh
. conformance/registry/servers.sh
# shellcheck source=../conformance/cri.sh
. conformance/cri.sh
end_daemon() { kill -TERM "$1" && wait "$1" || true; }

start_registry 5000 "$scratch/registry" plain
mirror_registries 5000 registry.k8s.io
conformance/critest/images.sh | grep -E '/(busybox|sandbox) ' | while read -r layout name _; do
    skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://127.0.0.1:5000/$name"
done
runtimes=() daemons=()
for peer in caisson containerd; do
    use_peer $peer
    for dir in /sys/fs/cgroup/cpuacct /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup; do
        [[ -e $dir/cgroup.procs ]] || continue
        cri_cgroup=$dir/runtime-$peer
        mkdir "$cri_cgroup"
        break
    done
    start_cri
    daemons+=("$cri_pid")
    runtimes+=("$peer,$cri_socket,$cri_cgroup")
done
status=0
"$go_programs/cribench" -image registry.k8s.io/e2e-test-images/busybox:1.29-2 -rounds "${ROUNDS:-10}" \
    -at-once "${AT_ONCE:-20}" -resident "${RESIDENT:-100}" "${runtimes[@]}" >"$scratch/samples.json" || status=$?
for pid in "${daemons[@]}"; do end_daemon "$pid"; done
if ((status)); then
    tail -n 20 "$scratch/caisson.log" "$scratch/containerd.log"
else
    arguments=(--samples "$scratch/samples.json")
    [[ -z ${RECORD:-} ]] || arguments+=(--record "$RECORD")
    [[ -z ${CHECK:-} ]] || arguments+=(--check)
    "$BENCH" cri "${arguments[@]}" || status=$?
fi
end_servers || true # They end by a signal.
exit $status
