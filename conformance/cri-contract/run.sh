#!/bin/bash
# The contract in proto/ against k8s.io/cri-api: every field with its number and
# type, every value, every call. Then Go's gRPC client against the daemon, by each
# way to name its socket: some of them send its path as the request's host.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
CAISSON=${CAISSON:-$(dirname "${RUNTIME:-${1:-/}}")/caisson}
if [[ ! -x $CAISSON ]]; then
    echo "cri-contract: there is no caisson at $CAISSON"
    exit 77
fi
"$here/../peers/go/build.sh" cricontract || exit 2
contract=$repo/.cache/peers/go/cricontract
scratch=$(mktemp -d)
pid=
cleanup() {
    if [[ -n $pid ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap cleanup EXIT

LC_ALL=C sort >"$scratch/ours" < <(python3 "$here/facts.py" "$repo/proto")
LC_ALL=C sort >"$scratch/theirs" < <("$contract" facts)
if ! diff -u "$scratch/theirs" "$scratch/ours"; then
    echo "cri-contract: proto/ differs from k8s.io/cri-api"
    exit 1
fi
echo "cri-contract: $(wc -l <"$scratch/ours") fields, values and calls are the same"

socket=$scratch/cri.sock
"$CAISSON" --root "$scratch/root" --run-root "$scratch/run" serve --socket "$socket" >"$scratch/log" 2>&1 &
pid=$!
for _ in {1..100}; do
    [[ ! -S $socket ]] || break
    sleep 0.1
done
if ! "$contract" dial "$socket"; then
    tail -n 20 "$scratch/log"
    exit 1
fi
