#!/bin/bash
# Makes the images that critest names, out of Debian packages, as OCI layouts
# in .cache/images/critest, and prints for each line `layout repository:tag...`
# where a registry is to have it. Needs root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
out=$repo/.cache/images/critest
umask 022
{
    "$repo/conformance/images/build.sh" busybox debian nginx
    "$repo/scripts/packages.sh" procps util-linux gcc libc6-dev python3
} >&2
mkdir -p "$out/layers"
exec 9>"$out/lock"
flock 9
scratch=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

oci() { /usr/bin/python3 "$repo/conformance/images/oci.py" "$@"; }
# A layer of what a function writes into a directory.
layer() { # name
    [[ ! -s $out/layers/$1.json ]] || return 0
    mkdir "$scratch/$1"
    "write_$1" "$scratch/$1"
    oci layer "$scratch/$1" "$out/layers/$1"
}
image() { # name, config, layers...
    local name=$1 config=$2 one arguments=()
    shift 2
    [[ ! -s $out/$name/index.json ]] || return 0
    for one; do
        if declare -F "write_$one" >/dev/null; then
            layer "$one"
            arguments+=(--layer "$out/layers/$one")
        else
            arguments+=(--layer "$repo/.cache/images/layers/$one")
        fi
    done
    oci image "$out/$name" "${arguments[@]}" --config "$config"
}

# Debian's static busybox runs its own applets whatever the file system holds,
# and has no pgrep and no ipcs: this is the other one, its names files of their
# own, and what else the suite calls, with the libraries of all.
write_tools() {
    local program library applet
    mkdir -p "$1"/{bin,dev,etc,proc,root,sys,usr/bin,var/run,var/www,home,mnt} "$scratch/deb"
    mkdir -m 1777 "$1/tmp"
    (
        cd "$scratch"
        download() { apt-get -qq -o APT::Sandbox::User=root download busybox >&2; }
        download || { apt-get -qq update >&2 && download; }
        dpkg -x busybox_*.deb deb
    )
    program=$(find "$scratch/deb" -type f -name busybox -perm -1)
    cp "$program" "$1/bin/busybox"
    for applet in $("$program" --list); do
        [[ $applet == busybox ]] || ln "$1/bin/busybox" "$1/bin/$applet"
    done
    rm -f "$1"/bin/{pgrep,ipcs}
    cp /usr/bin/{pgrep,ipcs} "$1/usr/bin/"
    for program in "$program" /usr/bin/pgrep /usr/bin/ipcs; do
        ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$1$(dirname "$library")"
            cp -L "$library" "$1$library"
        done
    done
    printf '%s\n' root:x:0:0:root:/root:/bin/sh www-data:x:33:33:www-data:/var/www:/bin/false \
        nobody:x:65534:65534:nobody:/home:/bin/false >"$1/etc/passwd"
    printf '%s\n' root:x:0: www-data:x:33: nogroup:x:65534: >"$1/etc/group"
}
# A grep that takes /proc/1/cmdline for text, as the suite expects of nginx's image.
write_grep() {
    mkdir -p "$1/usr/local/bin"
    cp /bin/busybox "$1/usr/local/bin/grep"
}
write_groups() {
    mkdir -p "$1/etc"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh default-user:x:1000:1000::/home:/bin/sh >"$1/etc/passwd"
    printf '%s\n' root:x:0: default-user:x:1000: group-defined-in-image:x:50000:default-user >"$1/etc/group"
}
write_hostnet() {
    mkdir -p "$1/etc/nginx/sites-enabled"
    printf 'server {\n  listen 12003;\n  root /var/www/html;\n}\n' >"$1/etc/nginx/sites-enabled/default"
}
write_page() {
    mkdir -p "$1/var/www"
    echo 'a page' >"$1/var/www/index.html"
}
write_nnp() {
    printf '%s\n' '#include <stdio.h>' '#include <unistd.h>' \
        'int main(void) { printf("Effective uid: %d\n", (int)geteuid()); return 0; }' >"$scratch/nnp.c"
    gcc -static -O2 -o "$1/nnp" "$scratch/nnp.c"
    chmod 4755 "$1/nnp"
}
for n in 1 2 3 latest tag digest tags; do
    eval "write_test_$n() { echo $n >\"\$1/TEST-$n\"; }"
done

nginx='{"Cmd": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}'
image busybox '{"Cmd": ["sh"]}' tools
image nginx "$nginx" debian nginx grep
image hostnet-nginx "$nginx" debian nginx hostnet
image httpd '{"Cmd": ["sh", "-c", "echo httpd serves; exec httpd -f -p 80 -h /var/www"], "ExposedPorts": {"80/tcp": {}}}' \
    tools page
image nonewprivs '{"Entrypoint": ["/nnp"]}' busybox nnp
# Not called sleep: the suite looks for that in shared PID namespaces.
image pause '{"Entrypoint": ["tail", "-f", "/dev/null"]}' busybox
image sandbox '{"Entrypoint": ["tail", "-f", "/dev/null"], "Labels": {"for": "peers"}}' busybox
image user-uid '{"User": "1002"}' busybox
image user-username '{"User": "www-data"}' tools
image user-uid-group '{"User": "1003:1004"}' busybox
image user-username-group '{"User": "www-data:1004"}' tools
image predefined-group '{"User": "1000"}' busybox groups
for n in 1 2 3 latest tag digest tags; do image "test-$n" '{"Cmd": ["sh"]}' busybox "test_$n"; done

e2e=e2e-test-images staging=k8s-staging-cri-tools
cat <<END
$out/busybox $e2e/busybox:1.29-2
$out/nginx $e2e/nginx:1.14-2
$out/httpd $e2e/httpd:2.4.39-4
$out/nonewprivs $e2e/nonewprivs:1.3
$out/pause pause:3.9
$out/sandbox pause:caisson
$out/hostnet-nginx $staging/hostnet-nginx-$(dpkg --print-architecture):latest
$out/user-uid $staging/test-image-user-uid:latest
$out/user-username $staging/test-image-user-username:latest
$out/user-uid-group $staging/test-image-user-uid-group:latest
$out/user-username-group $staging/test-image-user-username-group:latest
$out/predefined-group $staging/test-image-predefined-group:latest
$out/test-latest $staging/test-image-latest:latest
$out/test-tag $staging/test-image-tag:test $staging/test-image-tag:all
$out/test-digest $staging/test-image-digest:latest
$out/test-1 $staging/test-image-1:latest
$out/test-2 $staging/test-image-2:latest
$out/test-3 $staging/test-image-3:latest
$out/test-tags $staging/test-image-tags:1 $staging/test-image-tags:2 $staging/test-image-tags:3
END
