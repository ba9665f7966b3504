#!/bin/bash
# Installs Debian packages that are not there yet: packages.sh NAME...
# Says what it does; does nothing, and needs no rights, where all are there.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
    echo "packages: this system has no apt-get; make sure it has what these Debian packages hold: $*"
    exit 0
fi

missing=()
for name in "$@"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
    [[ $status == installed ]] || missing+=("$name")
done
((${#missing[@]})) || exit 0

as_root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null || {
        echo "packages: ${missing[*]} are missing, and there is no sudo; as root: apt-get install ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
echo "packages: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# The index may be fresh enough; only an index that fails is fetched anew.
install() {
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
}
if ! install 2>/dev/null; then
    "${as_root[@]}" apt-get update -qq </dev/null
    install
fi
