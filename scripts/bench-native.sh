#!/bin/bash
# Measures caisson-native beside crun and runc: RUNTIME=path
# scripts/bench-native.sh [ARGUMENT...]; arguments go to the bench program.
set -euo pipefail
cd "$(dirname "$0")/.."
runtime=${RUNTIME:?RUNTIME is the path of the runtime to measure}
if ((EUID != 0)); then
    echo "bench: containers need root: sudo make bench-native" >&2
    exit 1
fi
scripts/packages.sh busybox-static
conformance/peers/install.sh
echo "bench: cargo run --release -p caisson-bench"
# shellcheck disable=SC2086
exec cargo run ${CARGO_FLAGS:-} --quiet --release -p caisson-bench -- native --runtime "$runtime" "$@"
