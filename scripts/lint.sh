#!/bin/bash
# Checks format, lints and scripts. A checker that is not there is named, with
# the command that brings it; it never counts as passed.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
left_out=()

component() { # name, cargo subcommand
    cargo "$2" --version >/dev/null 2>&1 && return
    if command -v rustup >/dev/null; then
        echo "lint: adding the toolchain's component $1"
        rustup component add "$1" >/dev/null 2>&1 || true
    fi
    cargo "$2" --version >/dev/null 2>&1
}

check() { # name, command...
    local name=$1
    shift
    echo "lint: $*"
    "$@" || failed+=("$name")
}

if component rustfmt fmt; then
    check format cargo fmt --all --check
else
    left_out+=("format (rustfmt is missing: rustup component add rustfmt)")
fi
if component clippy clippy; then
    # shellcheck disable=SC2086
    check clippy cargo clippy ${CARGO_FLAGS:-} --workspace --all-targets -- -D warnings
else
    left_out+=("clippy (clippy is missing: rustup component add clippy)")
fi
if command -v shellcheck >/dev/null || scripts/packages.sh shellcheck; then
    mapfile -t shell < <(git -c safe.directory="$PWD" ls-files -co --exclude-standard \
        | while read -r f; do
            [[ -f $f ]] && head -c 40 "$f" | grep -qaE '^#!.*\b(ba)?sh\b' && echo "$f" || true
        done)
    ((${#shell[@]} == 0)) || check scripts shellcheck -x -P SCRIPTDIR -S warning "${shell[@]}"
else
    left_out+=("scripts (shellcheck is missing: apt-get install shellcheck)")
fi

unit() {
    local dir said
    dir=$(mktemp -d)
    # The program need not be installed to be named.
    sed 's|@PREFIX@/bin/caisson|/bin/true|' scripts/caisson.service >"$dir/caisson.service"
    # A key or a value that it does not know is no failure to it.
    said=$(systemd-analyze verify --man=no "$dir/caisson.service" 2>&1) || said+=" (status $?)"
    rm -r "$dir"
    # Its own surroundings may be none of systemd's.
    said=$(grep -F caisson.service <<<"$said" || true)
    [[ -z $said ]] || echo "$said"
    [[ -z $said ]]
}
if command -v systemd-analyze >/dev/null; then
    check unit unit
else
    left_out+=("unit (systemd-analyze is missing: apt-get install systemd; conformance/cgroup-v2 verifies it, too)")
fi

for what in "${left_out[@]}"; do echo "lint: NOT CHECKED: $what"; done
if ((${#failed[@]})); then
    echo "lint: failed: ${failed[*]}"
    exit 1
fi
echo "lint: no complaints"
