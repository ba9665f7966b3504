#!/bin/bash
# Makes sure that there is a Rust toolchain and a C linker with a static libc.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    echo "No Rust toolchain on the PATH. Get one from https://rustup.rs, then try again." >&2
    exit 1
fi
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/../Cargo.toml")
have=$(rustc --version | cut -d' ' -f2)
if [[ $(printf '%s\n' "$wanted" "$have" | sort -V | head -n1) != "$wanted" ]]; then
    echo "Rust $wanted or newer is needed; this is $have. With rustup: rustup update stable" >&2
    exit 1
fi
exec "$here/packages.sh" gcc libc6-dev git ca-certificates
