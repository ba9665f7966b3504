#!/bin/bash
# Makes an image out of Debian packages, runs it with a published port, looks
# at it from outside and inside, and cleans up, one command at a time:
# CAISSON=path scripts/demo.sh. Needs root and apt; leaves nothing behind.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
caisson=${CAISSON:-caisson}

if ((EUID != 0)); then
    echo "demo: dpkg's files belong to root, so does a bridge; asking sudo"
    exec sudo -- env CAISSON="$caisson" PATH="$PATH" "$here/demo.sh"
fi
caisson=$(command -v "$caisson") || {
    echo "demo: there is no caisson at ${CAISSON:-caisson}; 'make demo' builds it" >&2
    exit 1
}
"$here/packages.sh" curl procps iproute2 nftables

tmp=$(mktemp -d /var/tmp/caisson-demo.XXXXXX)
chmod 711 "$tmp"
# A store of the demo's own: the machine's is not touched.
export CAISSON_ROOT=$tmp/store CAISSON_RUN_ROOT=$tmp/run
clean_up() {
    local ids
    ids=$("$caisson" ps -aq 2>/dev/null || true)
    # shellcheck disable=SC2086
    [[ -z $ids ]] || "$caisson" rm -f $ids >/dev/null 2>&1 || true
    "$caisson" system prune --force >/dev/null 2>&1 || true
    rm -rf --one-file-system "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title() { printf '\n== %s\n' "$*"; }
# Prints a command as one would type it.
show() {
    local word shown=''
    for word in "$@"; do
        if [[ $word == *[![:alnum:]/._:=@-]* ]]; then shown+=" '$word'"; else shown+=" $word"; fi
    done
    printf '$%s\n' "${shown//$tmp/\$tmp}"
}
cai() { # caisson's arguments
    show caisson "$@"
    "$caisson" "$@"
}
row() { printf '  %-34s %s\n' "$@"; }
things() { # what a container makes in the machine, one per line
    ip -o link show | sed 's/^[0-9]*: \([^:@]*\).*/link \1/'
    cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/mount /'
    find /sys/fs/cgroup -type d -path '*caisson*' 2>/dev/null | sed 's/^/cgroup /' || true
    nft list ruleset 2>/dev/null | grep -i caisson | sed 's/^[[:space:]]*/rule /' || true
    pgrep -af "$CAISSON_RUN_ROOT" 2>/dev/null | sed 's/^/process /' || true
}
things | sort >"$tmp/before"

title "A root file system, out of Debian packages"
packages=(nginx busybox-static)
mkdir -p "$tmp"/{debs/partial,rootfs}
: >"$tmp/no-package-is-installed"
apt=(apt-get -qq -y -o "Dir::State::status=$tmp/no-package-is-installed" -o "Dir::Cache::archives=$tmp/debs"
    -o Dir::State::extended_states=/dev/null -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false --download-only install)
echo "\$ apt-get --download-only install ${packages[*]}"
"${apt[@]}" "${packages[@]}" >/dev/null 2>&1 || {
    echo "\$ apt-get update"
    apt-get update -qq
    "${apt[@]}" "${packages[@]}" >/dev/null
}
echo "\$ for deb in debs/*.deb; do dpkg -x \$deb rootfs; done"
# /bin and its like are links into /usr: no package's directory in their place.
for top in bin sbin lib lib64; do
    mkdir -p "$tmp/rootfs/usr/$top"
    ln -s "usr/$top" "$tmp/rootfs/$top"
done
for deb in "$tmp"/debs/*.deb; do
    dpkg --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-overwrite-dir -C "$tmp/rootfs"
done
rm -rf "$tmp/rootfs"/usr/share/{doc,man,locale,info}
root=$tmp/rootfs
for applet in $("$root/bin/busybox" --list); do
    [[ -e $root/bin/$applet || -L $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
done
mkdir -p "$root"/{tmp,run,var/www/html,var/lib/nginx,var/log/nginx,etc/nginx/conf.d}
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nwww-data:x:33:\n' >"$root/etc/group"
echo 'server { listen 80 default_server; root /var/www/html; }' >"$root/etc/nginx/conf.d/demo.conf"
echo '<h1>Hello from a container</h1>' >"$root/var/www/html/index.html"
ln -sf /dev/stdout "$root/var/log/nginx/access.log"
ln -sf /dev/stderr "$root/var/log/nginx/error.log"
echo "  $(find "$tmp/debs" -name '*.deb' | wc -l) packages, $(du -sh "$root" | cut -f1)"

title "An image of it: built, saved, removed, loaded"
cai image build-from-rootfs "$root" demo/nginx:1 --cmd '["nginx", "-g", "daemon off;"]' --expose 80/tcp
cai save --format oci-archive -o "$tmp/nginx.tar" demo/nginx:1
cai rmi demo/nginx:1
cai load -i "$tmp/nginx.tar"
cai images
cai image verify

title "A container of it, detached, with a published port and limits"
port=8080
while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
cai run -d --name web -p "127.0.0.1:$port:80" --memory 64m --pids-limit 32 --cpus 0.5 demo/nginx:1
for _ in {1..50}; do
    curl -s -o /dev/null "http://127.0.0.1:$port/" && break
    sleep 0.1
done
show curl "http://127.0.0.1:$port/"
curl -sS "http://127.0.0.1:$port/"
cai ps
cai port web

title "From inside"
cai exec web sh -c 'echo "host $(hostname), user $(id -un), $(ls -d /proc/[0-9]* | wc -l) processes"; ip -4 -o address show eth0'
cai exec web sh -c 'echo "<h1>Changed by exec</h1>" >/var/www/html/index.html'
show curl "http://127.0.0.1:$port/"
curl -sS "http://127.0.0.1:$port/"
status=0
cai exec web sh -c 'exit 42' || status=$?
echo "  exit status of the process: $status"

title "From outside"
for _ in {1..200}; do curl -s -o /dev/null "http://127.0.0.1:$port/"; done
echo "  (200 more requests)"
cai stats --no-stream web
cai top web
cai logs --tail 3 web

title "The same image behind both walls: the host's kernel, and one of its own"
for handler in native runsc; do
    cai run --rm --network none --runtime "$handler" demo/nginx:1 \
        sh -c 'uname -sr; dmesg 2>&1 | head -n 2'
done
[[ $("$caisson" run --rm --network none --runtime runsc demo/nginx:1 uname -r) != "$(uname -r)" ]]
cai handlers

title "Stopped, started, removed"
cai stop web
cai ps -a
cai start web
cai rm -f web
cai rmi demo/nginx:1
# The bridge would stay for the next container; the demo's has none to come.
cai system prune --force

title "Nothing left behind"
# What is just ending may take a moment.
for _ in {1..30}; do
    things | sort >"$tmp/after"
    comm -13 "$tmp/before" "$tmp/after" >"$tmp/left"
    [[ -s $tmp/left ]] || break
    sleep 0.1
done
for kind in process mount cgroup link rule; do
    row "$kind" "$(grep -c "^$kind " "$tmp/left" || true)"
done
row "state of containers" "$(find "$CAISSON_RUN_ROOT/pods" "$CAISSON_ROOT/containers" -mindepth 1 2>/dev/null | wc -l)"
if [[ -s $tmp/left ]]; then
    cat "$tmp/left"
    echo "demo: something was left behind" >&2
    exit 1
fi
echo
echo "demo: done"
