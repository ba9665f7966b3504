#!/bin/bash
# Installs the runtimes, engines and tools that conformance suites and
# benches compare with or drive. Idempotent; needs root and Debian 12.
#
#   install.sh [apt] [crun] [runc] [runsc]     (no argument: the first three)
#
# apt    this Debian release's packages
# crun   crun of a later Debian suite, unpacked to .cache/peers, not installed
# runc   newest runc from its Go module, built with the machine's Go
# runsc  gVisor's runtime from its Go module (branch `go`), the same way
#
# Ends with a table of what there is. A peer that can't be had is named
# there with the reason; only a failure of `apt` is an error.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=$repo/.cache/peers
# shellcheck source=versions.sh
. "$here/versions.sh"
mkdir -p "$cache/bin" "$cache/log"
declare -A why

packages=(runc crun podman containerd docker.io uidmap slirp4netns passt
    fuse-overlayfs netavark aardvark-dns catatonit containernetworking-plugins
    skopeo buildah docker-registry openssl curl tmux iproute2 jq
    busybox-static debootstrap iptables nftables patchelf strace procps
    libseccomp-dev pkg-config gcc libc6-dev python3 ca-certificates)

install_apt() {
    local missing=() p
    for p in "${packages[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
    done
    ((${#missing[@]})) || return 0
    echo "apt: installing ${missing[*]}"
    # The engines' packages start daemons, which the suites don't want:
    # each suite starts its own, on its own directories.
    local policy=
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod +x $policy
    fi
    local rc=0
    {
        apt-get update &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    } >"$cache/log/apt.log" 2>&1 || rc=$?
    [[ -z $policy ]] || rm -f "$policy"
    if ((rc)); then
        tail -n 20 "$cache/log/apt.log" >&2
        echo "apt: could not install ${missing[*]}; see $cache/log/apt.log" >&2
        return 1
    fi
}

# The URI that the system itself takes its release from.
debian_mirror() {
    # shellcheck disable=SC2016  # apt's own placeholders
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v c="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == c && $2 == "main" {print $3; exit}'
}

# Unpacks crun and all its libraries of one later suite and binds them by
# absolute interpreter and run path, so that running it costs no wrapper.
unpack_crun() {
    local suite=$1 mirror=$2 root=$cache/crun-$1 version bin interp libs
    mkdir -p "$root"/{state/lists/partial,cache/archives/partial,tree}
    : >"$root/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$root/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$root/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State=$root/state" -o "Dir::State::status=$root/status" -o "Dir::Cache=$root/cache"
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false)
    "${apt[@]}" update || return 1
    version=$(apt-cache "${apt[@]:2}" show crun | sed -n 's/^Version: //p' | sort -V | tail -n 1)
    dpkg --compare-versions "${version:-0}" ge "$CRUN_OLDEST" || {
        echo "suite $suite has crun ${version:-none}, older than $CRUN_OLDEST"
        return 1
    }
    "${apt[@]}" -y --download-only install crun || return 1
    rm -rf "$root/tree"
    local deb
    for deb in "$root"/cache/archives/*.deb; do dpkg -x "$deb" "$root/tree"; done
    bin=$root/tree/usr/bin/crun
    interp=$(find "$root/tree" -name 'ld-linux-*.so.*' | head -n 1)
    libs=$(find "$root/tree" -type d -path '*/lib/*-linux-gnu' | paste -sd:)
    [[ -x $bin && -n $interp && -n $libs ]] || return 1
    patchelf --set-interpreter "$interp" --set-rpath "$libs" --force-rpath "$bin" || return 1
    "$bin" --version || return 1
    rm -rf "$root/cache" "$root/state"
    ln -sfn "$bin" "$cache/bin/crun"
}

install_crun() {
    local suite mirror
    # An absolute interpreter breaks when the tree moves: run it to see.
    if [[ -x $cache/bin/crun ]] && "$cache/bin/crun" --version >/dev/null 2>&1; then return 0; fi
    rm -f "$cache/bin/crun"
    mirror=$(debian_mirror)
    if [[ -z $mirror ]]; then
        why[crun]="the system's apt sources name no mirror of its release"
        return 0
    fi
    for suite in $CRUN_SUITES; do
        echo "crun: looking into Debian $suite"
        if unpack_crun "$suite" "$mirror" >"$cache/log/crun-$suite.log" 2>&1; then return 0; fi
        why[crun]="not in $CRUN_SUITES, or could not be unpacked: see .cache/peers/log/crun-$suite.log"
    done
}

install_runc() {
    local out=$cache/runc-$RUNC_VERSION
    if [[ ! -x $out/runc ]]; then
        if ! command -v go >/dev/null; then
            why[runc]="no Go toolchain"
            return 0
        fi
        echo "runc: building $RUNC_VERSION with $(go env GOVERSION)"
        # Without cgo runc has no seccomp and does not start containers.
        if ! GOBIN=$out CGO_ENABLED=1 go install -tags seccomp -trimpath -ldflags '-s -w' \
            "github.com/opencontainers/runc@$RUNC_VERSION" >"$cache/log/runc.log" 2>&1; then
            why[runc]="go install failed: $(tail -n 1 "$cache/log/runc.log")"
            return 0
        fi
    fi
    ln -sfn "$out/runc" "$cache/bin/runc"
}

install_runsc() {
    local out=$cache/runsc-$RUNSC_VERSION
    if [[ ! -x $out/runsc ]]; then
        if ! command -v go >/dev/null; then
            why[runsc]="no Go toolchain"
            return 0
        fi
        echo "runsc: building $RUNSC_VERSION with $(go env GOVERSION)"
        if ! GOBIN=$out CGO_ENABLED=0 go install -trimpath \
            -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$RUNSC_VERSION" "gvisor.dev/gvisor/runsc@$RUNSC_VERSION" >"$cache/log/runsc.log" 2>&1; then
            why[runsc]="go install failed: $(tail -n 1 "$cache/log/runsc.log")"
            return 0
        fi
    fi
    ln -sfn "$out/runsc" "$cache/bin/runsc"
}

row() { # name path
    local v
    if [[ -x $2 ]]; then
        v=$("$2" --version 2>&1) || v="does not run: $v"
        v=${v%%$'\n'*}
        printf '%-14s %-48s %s\n' "$1" "${2#"$repo/"}" "$v"
    else
        printf '%-14s %-48s %s\n' "$1" - "not installed: ${why[$1]:-not asked for}"
    fi
}

(($#)) || set -- apt crun runc
for step; do
    case $step in
        apt) install_apt ;;
        crun) install_crun ;;
        runc) install_runc ;;
        runsc) install_runsc ;;
        *)
            echo "unknown step $step; expected apt, crun, runc or runsc" >&2
            exit 2
            ;;
    esac
done
row crun "$cache/bin/crun"
row runc "$cache/bin/runc"
row runsc "$cache/bin/runsc"
for p in crun runc podman containerd dockerd; do
    row "debian $p" "$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v $p || echo -)"
done
