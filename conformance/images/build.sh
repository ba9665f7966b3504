#!/bin/bash
# Builds real images out of Debian packages, as OCI layout directories in
# .cache/images: build.sh NAME... Needs root and apt; what is there already is
# not built again. Names:
#
#   busybox   Debian's static busybox, one layer
#   debian    debootstrap's minbase, with ps
#   python3, redis, nginx, postgres
#             the package and what it needs, installed on `debian`
#   stack     python3, git, redis, nginx and a site, six layers, about 325 MB:
#             what bench-image pulls
#   large     all of those and two toolchains, nine layers, about 1.2 GB: gzip,
#             zstd and plain mixed
#   roots/base, roots/short, roots/whole
#             not images, but directories, each the upper one of an overlay on those
#             before it: minbase, and the programs that conformance/programs runs
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
out=$repo/.cache/images
layers=$out/layers
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
umask 022

((EUID == 0)) || { echo "images: need root" >&2; exit 1; }
(($#)) || { echo "usage: build.sh NAME...; see the head of this file" >&2; exit 2; }
mkdir -p "$layers" "$out/debs"
# Several suites may ask at once, on one cache.
if [[ -z ${CAISSON_IMAGES_LOCKED:-} ]]; then
    exec 9>"$out/lock"
    flock 9
    # The mounts that building needs are seen by nobody else and end with it.
    exec env CAISSON_IMAGES_LOCKED=1 unshare --mount --propagation private -- "$here/build.sh" "$@"
fi

scratch=$(mktemp -d "$out/build.XXXXXX")
trap 'cd /; umount -R "$scratch"/*/root 2>/dev/null || true; rm -rf --one-file-system "$scratch"' EXIT
say() { echo "images: $*" >&2; }

oci() { /usr/bin/python3 "$here/oci.py" "$@"; }
packages() { "$repo/scripts/packages.sh" "$@" >&2; }

debian_base() { # unpacks minbase to $scratch/base, from the cache if it can
    [[ ! -d $scratch/base ]] || return 0
    local tarball=$out/minbase.tar codename mirror
    mkdir "$scratch/base"
    if [[ ! -s $tarball ]]; then
        packages debootstrap
        codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
        # shellcheck disable=SC2016  # apt's own placeholders
        mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
            awk -v c="$codename" '$1 == c && $2 == "main" {print $3; exit}')
        say "debootstrap --variant=minbase $codename"
        debootstrap --variant=minbase --include=procps "$codename" "$scratch/base" "$mirror" \
            >"$out/debootstrap.log" 2>&1 || {
            say "debootstrap failed; see $out/debootstrap.log: $(tail -n 2 "$out/debootstrap.log")"
            return 1
        }
        clean "$scratch/base"
        tar -C "$scratch/base" --numeric-owner --xattrs -cf "$tarball.new" .
        mv "$tarball.new" "$tarball"
    else
        tar -C "$scratch/base" --numeric-owner --xattrs -xf "$tarball"
    fi
}

clean() { # root directory: what an image has no use for
    rm -rf "$1"/var/{cache/apt,cache/debconf,lib/apt/lists}/* "$1"/var/log/{*.log,apt/*}
}

# Downloads packages and what they need beyond a root file system's own, with
# this machine's apt and its sources, to DIRECTORY.
download() { # directory, dpkg's status file, packages...
    local to=$1 status=$2
    shift 2
    mkdir -p "$to/partial"
    local apt=(apt-get -qq -y -o "Dir::State::status=$status" -o "Dir::Cache::archives=$to"
        -o Dir::State::extended_states=/dev/null -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false --download-only install "$@")
    "${apt[@]}" >/dev/null 2>&1 || {
        apt-get -qq update && "${apt[@]}" >/dev/null
    } || { say "apt can't download $*"; return 1; }
}

# The packages, installed in a chroot, as a layer over the base.
installed_layer() { # name, packages...
    [[ ! -s $layers/$1.json ]] || return 0
    debian_base
    installed "$scratch/base" "$@"
    oci layer "$scratch/$1/upper" "$layers/$1"
    rm -rf "${scratch:?}/$1"
}

# The packages, installed in a chroot, as the upper directory $scratch/NAME/upper.
installed() { # directories below it, as overlayfs wants them, name, packages...
    local below=$1 name=$2 work=$scratch/$2
    shift 2
    say "$name: installing $*"
    mkdir -p "$work"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=$below,upperdir=$work/upper,workdir=$work/work" "$work/root"
    download "$out/debs/$name" "$work/root/var/lib/dpkg/status" "$@"
    mount -t proc proc "$work/root/proc"
    mount --rbind /dev "$work/root/dev"
    printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
    chmod +x "$work/root/usr/sbin/policy-rc.d"
    mkdir "$work/root/debs"
    mount --bind "$out/debs/$name" "$work/root/debs"
    chroot "$work/root" sh -c 'export DEBIAN_FRONTEND=noninteractive
        apt-get -qq -y --no-install-recommends -o APT::Sandbox::User=root install /debs/*.deb' >"$out/$name.log" 2>&1 || {
        say "$name: apt failed: $(tail -n 3 "$out/$name.log")"
        return 1
    }
    umount "$work/root/debs"
    umount -R "$work/root/proc" "$work/root/dev"
    rmdir "$work/root/debs"
    rm "$work/root/usr/sbin/policy-rc.d"
    clean "$work/root"
    "set_up_$name" "$work/root"
    umount "$work/root"
}
set_up_python3() { :; }
set_up_git() { :; }
set_up_redis() { :; }
set_up_nginx() {
    ln -sf /dev/stdout "$1/var/log/nginx/access.log"
    ln -sf /dev/stderr "$1/var/log/nginx/error.log"
    echo '<h1>nginx of a Debian package, in a container</h1>' >"$1/var/www/html/index.html"
}
set_up_postgres() {
    # Any client may come in: the image is for tests.
    echo 'host all all all trust' >>"$1/etc/postgresql/15/main/pg_hba.conf"
}


# Programs as they are packaged, for conformance/programs.
short_programs=(python3 libpython3.11-testsuite perl sqlite3 git redis-server redis-tools nginx-light
    gcc libc6-dev busybox make file xz-utils bzip2 bc less tmux vim-tiny strace)
whole_programs=(postgresql nodejs openjdk-17-jdk-headless openssh-server openssh-client gdb wrk g++ vim)
root() { # name
    local name=$1 below=$out/roots/base
    [[ ! -d $out/roots/$name ]] || return 0
    mkdir -p "$out/roots"
    if [[ $name == base ]]; then
        debian_base
        mv "$scratch/base" "$out/roots/base"
        return
    fi
    root base
    if [[ $name == short ]]; then
        installed "$below" short "${short_programs[@]}"
    else
        root short
        installed "$out/roots/short:$below" whole "${whole_programs[@]}"
    fi
    rm -rf "$out/debs/$name"
    mv "$scratch/$name/upper" "$out/roots/$name"
}
set_up_short() { :; }
set_up_whole() { :; }

# The packages' files only, without their scripts.
unpacked_layer() { # name, compression, packages...
    local name=$1 compression=$2 deb
    shift 2
    [[ ! -s $layers/$name.json ]] || return 0
    say "$name: unpacking $*"
    debian_base
    download "$out/debs/$name" "$scratch/base/var/lib/dpkg/status" "$@"
    mkdir "$scratch/$name"
    for deb in "$out/debs/$name"/*.deb; do dpkg -x "$deb" "$scratch/$name"; done
    # The base has links to /usr there: a directory would take their place.
    local top
    for top in bin sbin lib lib32 lib64 libx32; do
        [[ -d $scratch/$name/$top ]] || continue
        mkdir -p "$scratch/$name/usr/$top"
        cp -a "$scratch/$name/$top/." "$scratch/$name/usr/$top/"
        rm -r "${scratch:?}/$name/$top"
    done
    oci layer "$scratch/$name" "$layers/$name" --compression "$compression" --level 1
    rm -rf "${scratch:?}/$name" "$out/debs/$name"
}

layer() {
    case $1 in
        busybox)
            [[ ! -s $layers/busybox.json ]] || return 0
            packages busybox-static
            local root=$scratch/busybox applet
            mkdir -p "$root"/{bin,dev,etc,proc,root,sys,var/www}
            mkdir -m 1777 "$root/tmp"
            cp /bin/busybox "$root/bin/"
            for applet in $(/bin/busybox --list); do
                [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
            done
            echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
            printf 'root:x:0:\n' >"$root/etc/group"
            oci layer "$root" "$layers/busybox"
            ;;
        debian)
            [[ ! -s $layers/debian.json ]] || return 0
            debian_base
            oci layer "$scratch/base" "$layers/debian"
            ;;
        python3) installed_layer python3 python3 ;;
        redis) installed_layer redis redis-server ;;
        git) installed_layer git git openssh-client ;;
        nginx) installed_layer nginx nginx ;;
        postgres) installed_layer postgres postgresql ;;
        site)
            [[ ! -s $layers/site.json ]] || return 0
            mkdir -p "$scratch/site/srv/site"
            local i
            for i in {1..200}; do
                mkdir -p "$scratch/site/srv/site/$((i % 20))"
                seq "$i" $((i + 400)) >"$scratch/site/srv/site/$((i % 20))/page-$i.txt"
            done
            oci layer "$scratch/site" "$layers/site"
            ;;
        jdk) unpacked_layer jdk zstd openjdk-17-jre-headless ;;
        gcc) unpacked_layer gcc none g++-12 ;;
    esac
}

image() { # name, config, layers...
    local name=$1 config=$2 one arguments=()
    shift 2
    for one; do
        layer "$one"
        arguments+=(--layer "$layers/$one")
    done
    oci image "$out/$name" "${arguments[@]}" --config "$config"
    say "$name: $(($(du -bs "$out/$name" | cut -f1) / 1000000)) MB in $# layers"
}

packages python3
for name; do
    [[ ! -s $out/$name/index.json ]] || continue
    case $name in
        roots/base | roots/short | roots/whole) root "${name#roots/}" ;;
        busybox) image busybox '{"Cmd": ["/bin/sh"]}' busybox ;;
        debian) image debian '{"Cmd": ["/bin/bash"]}' debian ;;
        python3) image python3 '{"Cmd": ["python3"]}' debian python3 ;;
        redis) image redis '{"Cmd": ["redis-server", "--protected-mode", "no"],
            "ExposedPorts": {"6379/tcp": {}}, "WorkingDir": "/var/lib/redis", "User": "redis"}' debian redis ;;
        nginx) image nginx '{"Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}' debian nginx ;;
        postgres) image postgres '{"Cmd": ["/usr/lib/postgresql/15/bin/postgres",
            "-c", "config_file=/etc/postgresql/15/main/postgresql.conf", "-c", "listen_addresses=*"],
            "ExposedPorts": {"5432/tcp": {}}, "StopSignal": "SIGINT", "User": "postgres"}' debian postgres ;;
        stack) image stack '{"Cmd": ["/bin/bash"]}' debian python3 git redis nginx site ;;
        large)
            packages zstd
            image large '{"Cmd": ["/bin/bash"]}' debian python3 git redis nginx site postgres jdk gcc
            ;;
        *) echo "images: unknown image $name" >&2; exit 2 ;;
    esac
done
