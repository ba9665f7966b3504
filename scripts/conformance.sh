#!/bin/bash
# Runs what others wrote for runtimes against ours: RUNTIME=path
# scripts/conformance.sh [SUITE...]. A suite is an executable
# conformance/NAME/run.* (of the command CAISSON, or the caisson beside the
# runtime) or conformance/clients/NAME.sh; it is called with the
# runtime's path and exits 0 (passed), 77 (can't run here; the last line says
# why) or anything else (failed). Ends with a table; nothing is left out
# without a line there.
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
export RUNTIME=${RUNTIME:?RUNTIME is the path of the runtime to test}
export PATH=$PATH:/usr/local/go/bin
go_oldest=1.26
logs=$repo/.cache/conformance
mkdir -p "$logs"

if ((EUID != 0)); then
    echo "conformance: containers of other engines need root; asking sudo"
    exec sudo -- env RUNTIME="$RUNTIME" CAISSON="${CAISSON:-}" KILLS="${KILLS:-}" SEED="${SEED:-}" ROUNDS="${ROUNDS:-}" PARTS="${PARTS:-}" FORM="${FORM:-}" SCALE="${SCALE:-}" MODULES="${MODULES:-}" PROGRAMS="${PROGRAMS:-}" HANDLER="${HANDLER:-}" FOCUS="${FOCUS:-}" PART="${PART:-}" SUITE_TIMEOUT="${SUITE_TIMEOUT:-}" PATH="$PATH" HOME="$HOME" "$0" "$@"
fi

# Suites that build Go modules.
needs_go() { [[ $1 == runtime-tools || $1 == critest || $1 == cri-contract || $1 == kubernetes || $1 == streaming ]]; }
# Suites that run only when they are named, and why.
declare -A on_request=(
    [kubernetes]="building Kubernetes takes longer than everything else together: make conformance-kubernetes"
)
go_missing() { # prints why Go won't do; fails if it will
    local have
    if ! have=$(go env GOVERSION 2>/dev/null); then
        echo "no Go toolchain on the PATH"
    elif [[ $(printf '%s\n' "go$go_oldest" "$have" | sort -V | head -n1) != "go$go_oldest" ]]; then
        echo "$have is too old, go$go_oldest is needed"
    else
        return 1
    fi
}

suites=()
for file in conformance/*/run.* conformance/clients/*.sh; do
    # What has no `#!` line is sourced by the others.
    if [[ -x $file && $(head -c 2 "$file") == '#!' ]]; then suites+=("$file"); fi
done
name_of() {
    case $1 in
        conformance/clients/*) basename "$1" .sh ;;
        *) basename "$(dirname "$1")" ;;
    esac
}

echo "conformance: $("$RUNTIME" --version | head -n1) at $RUNTIME"
echo "conformance: installing peers and clients"
conformance/peers/install.sh </dev/null

passed=0 failed=0 left_out=0
table=() failures=()
# What went wrong comes last: of a long log, the end is what is kept and read.
failure() { # suite, log
    local lines
    lines=$(grep -aE '^(FAIL|not ok|error|thread .* panicked)' "$2" | tail -n 8) || lines=$(tail -n 8 "$2")
    failures+=("$(sed "s/^/$1: /" <<<"$lines")")
    failed=$((failed + 1))
}
note() { table+=("$(printf '%-22s %-9s %5s s  %s' "$@")"); }
for file in "${suites[@]}"; do
    name=$(name_of "$file")
    if (($#)) && [[ " $* " != *" $name "* ]]; then continue; fi
    if ! (($#)) && [[ -n ${on_request[$name]:-} ]]; then
        note "$name" "left out" 0 "${on_request[$name]}"
        left_out=$((left_out + 1))
        continue
    fi
    if needs_go "$name" && why=$(go_missing); then
        note "$name" "left out" 0 "$why"
        left_out=$((left_out + 1))
        continue
    fi
    echo "=== $name: $file"
    from=$SECONDS status=0 log=$logs/$name.log
    timeout -k 10 "${SUITE_TIMEOUT:-1500}" "$file" "$RUNTIME" </dev/null 2>&1 | tee "$log" \
        || status=${PIPESTATUS[0]}
    last=$(tail -n1 "$log")
    took=$((SECONDS - from))
    case $status in
        0) note "$name" passed $took "$last" && passed=$((passed + 1)) ;;
        77) note "$name" "left out" $took "$last" && left_out=$((left_out + 1)) ;;
        124 | 137) note "$name" FAILED $took "time-out" && failure "$name" "$log" ;;
        *) note "$name" FAILED $took "exit $status: $last" && failure "$name" "$log" ;;
    esac
done

echo
echo "=== conformance"
((${#table[@]} == 0)) || printf '%s\n' "${table[@]}"
((${#failures[@]} == 0)) || printf '%s\n' "${failures[@]}"
echo "conformance: $passed passed, $failed failed, $left_out left out; logs in .cache/conformance"
if ((passed + failed + left_out == 0)); then
    echo "conformance: no suite was found" >&2
    exit 1
fi
((failed == 0))
