#!/bin/bash
# Builds and fetches what the programs of the suite are given beside their root file systems, in
# .cache/programs: build.sh FORM. What it needs for that, and is not there, is installed, as
# Debian has it. Prints nothing if all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
made=$repo/.cache/programs
export PATH=$PATH:/usr/local/go/bin
mkdir -p "$made"
if [[ ! -x $made/rust ]]; then
    rustc --edition 2021 -O -o "$made/rust.new" "$here/made/work.rs"
    mv "$made/rust.new" "$made/rust"
fi
if [[ ! -x $made/go ]]; then
    command -v go >/dev/null || "$repo/scripts/packages.sh" golang-go
    CGO_ENABLED=0 go build -o "$made/go.new" "$here/made/work.go"
    mv "$made/go.new" "$made/go"
fi
if [[ $1 == whole && ! -d $made/npm ]]; then
    # Who has node from elsewhere has an npm with it.
    command -v npm >/dev/null || "$repo/scripts/packages.sh" npm
    rm -rf "$made/npm.new"
    mkdir "$made/npm.new"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$made/npm.new" minimist@1.2.8 tape@5.9.0 >/dev/null
    mv "$made/npm.new" "$made/npm"
fi
# Packages that apt-get is to install inside; see inside/apt.sh.
if [[ ! -d $made/debs ]]; then
    rm -rf "$made/debs.new"
    mkdir "$made/debs.new"
    cd "$made/debs.new"
    apt=(apt-get -qq -o APT::Sandbox::User=root download jq libjq1 libonig5)
    "${apt[@]}" >/dev/null 2>&1 || { apt-get -qq update </dev/null && "${apt[@]}" >/dev/null; }
    mv "$made/debs.new" "$made/debs"
fi
