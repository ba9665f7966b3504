#!/bin/bash
# Runs every conformance suite against a runtime: run.sh RUNTIME-PATH.
#
# Installs what is missing first. Says plainly what is left out and why (Go
# missing or too old). Output of each suite goes to .cache/conformance/*.log
# too. Exit status: 0 all pass, 1 something failed, 2 could not run.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/.." && pwd)
runtime=$(realpath -e "${1:?usage: run.sh RUNTIME-PATH}") || exit 2
logs=$repo/.cache/conformance
mkdir -p "$logs"
"$here/peers/install.sh" || exit 2

results=()
status=0
left_out() { results+=("$(printf '%-20s LEFT OUT  %s' "$1" "$2")"); }
suite() { # name command…
    local name=$1 rc=0 began=$SECONDS word
    shift
    echo
    echo "=== $name"
    "$@" 2>&1 | tee "$logs/$name.log" || rc=$?
    case $rc in
        0) word=ok ;;
        *)
            word=FAILED
            status=1
            ;;
    esac
    results+=("$(printf '%-20s %-9s %3d s  %s' "$name" "$word" $((SECONDS - began)) "$(tail -n 1 "$logs/$name.log")")")
}

# The programs need go 1.21 in their go.mod; runc, the reference, needs more
# and is then Debian's.
if ! command -v go >/dev/null; then
    left_out runtime-tools "no Go toolchain; its 58 programs are Go modules"
elif [[ $(printf '%s\n' go1.21 "$(go env GOVERSION)" | sort -V | head -n 1) != go1.21 ]]; then
    left_out runtime-tools "$(go env GOVERSION) is older than go1.21"
else
    suite runtime-tools "$here/runtime-tools/run.py" --verbose "$runtime"
fi
suite differential "$here/differential/run.py" "$runtime"
for client in podman podman-rootless containerd docker; do
    suite "$client" "$here/clients/$client.sh" "$runtime"
done

echo
printf '%s\n' "${results[@]}"
exit "$status"
