#!/bin/bash
# Measures caisson-native beside crun and runc: RUNTIME=path
# scripts/bench-native.sh [native|memory-floor|churn...], all three by default.
# RUNS sets the rounds; RECORD names a file to write the tables into.
set -euo pipefail
cd "$(dirname "$0")/.."
runtime=${RUNTIME:?RUNTIME is the path of the runtime to measure}
if ((EUID != 0)); then
    echo "bench: containers need root: sudo make bench-native" >&2
    exit 1
fi
scripts/packages.sh busybox-static
conformance/peers/install.sh
# shellcheck disable=SC2086
cargo build ${CARGO_FLAGS:-} --release -p caisson-bench
triple=$(rustc -vV | sed -n 's/^host: //p')
bench=${CARGO_TARGET_DIR:-target}/$triple/release/caisson-bench
(($#)) || set -- native memory-floor churn
for what; do
    arguments=("$what" --runtime "$runtime")
    [[ -z ${RUNS:-} || $what != native ]] || arguments+=(--runs "$RUNS")
    [[ -z ${RECORD:-} || $what == churn ]] || arguments+=(--record "$RECORD")
    echo "bench: caisson-bench ${arguments[*]}"
    "$bench" "${arguments[@]}"
done
