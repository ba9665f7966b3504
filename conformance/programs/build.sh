#!/bin/bash
# Builds what the programs of the suite are given that is in no Debian package, in
# .cache/programs: build.sh FORM. Prints nothing if all is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
made=$(cd "$here/../.." && pwd)/.cache/programs
mkdir -p "$made"
if [[ ! -x $made/rust ]]; then
    rustc --edition 2021 -O -o "$made/rust.new" "$here/made/work.rs"
    mv "$made/rust.new" "$made/rust"
fi
if [[ ! -x $made/go ]] && command -v go >/dev/null; then
    CGO_ENABLED=0 go build -o "$made/go.new" "$here/made/work.go"
    mv "$made/go.new" "$made/go"
fi
if [[ $1 == whole && ! -d $made/npm ]]; then
    rm -rf "$made/npm.new"
    mkdir "$made/npm.new"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$made/npm.new" minimist@1.2.8 tape@5.9.0 >/dev/null
    mv "$made/npm.new" "$made/npm"
fi
