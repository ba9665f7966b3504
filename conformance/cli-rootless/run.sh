#!/bin/bash
# The caisson command as an ordinary user with subordinate ids, on pasta and on
# slirp4netns. Started by root, in a copy of /etc in which the user is made.
# shellcheck disable=SC2034  # read by suite.sh
images=(busybox debian nginx python3)
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# shellcheck source=../cli/checks.sh
. "$here/../cli/checks.sh"
# shellcheck disable=SC2034  # read by checks.sh
rootless=1
user=caisson-test

useradd --no-create-home --home-dir "$scratch/home" --shell /bin/sh $user || die "can't add user $user"
sed -i "/^$user:/d" /etc/subuid /etc/subgid
echo "$user:700000:65536" | tee -a /etc/subuid >>/etc/subgid
mkdir -p "$scratch"/{home,xdg,bin}
# The user reaches neither this repository nor, possibly, the programs.
for program in caisson caisson-shim caisson-init caisson-native; do
    install -m 755 "$(dirname "$CAISSON")/$program" "$scratch/bin/"
done
chmod 711 "$scratch" "$CAISSON_SUITE_SCRATCH"
chown $user: "$scratch"/{home,xdg}
chmod 700 "$scratch/xdg"
caisson_words=(setpriv --reuid "$user" --regid "$user" --init-groups env -i -C "$scratch/home" "PATH=$PATH"
    "HOME=$scratch/home" "XDG_RUNTIME_DIR=$scratch/xdg" TERM=xterm "$scratch/bin/caisson")
caisson_() { timeout --foreground "${PATIENCE:-60}" "${caisson_words[@]}" "$@"; }

# Here, at least, the user may make a network device: some machines keep it for root.
mknod -m 666 "$scratch/tun" c 10 200 && mount --bind "$scratch/tun" /dev/net/tun
load_images busybox debian nginx python3
succeeds "run" run $busybox true
go_on_if_passing
census >"$scratch/before"
is "the user's id is root inside" "0 $(id -u $user) 1" \
    "$(run $busybox head -n 1 /proc/self/uid_map 2>&1 | tr -s ' ' | sed 's/^ //')"
is "subordinate ids are mapped" "1 700000 65536" \
    "$(run $busybox sed -n 2p /proc/self/uid_map 2>&1 | tr -s ' ' | sed 's/^ //')"
run_checks
lifecycle_checks
nginx_checks
network_checks
# Without pasta on the PATH slirp4netns takes its place.
mkdir -m 755 "$scratch/path"
find /usr/sbin /usr/bin ! -name 'pas[st]*' ! -type d -exec ln -sf -t "$scratch/path" {} +
caisson_words=("${caisson_words[@]/#PATH=*/PATH=$scratch/path}")
succeeds "slirp4netns: run -d -p" caisson_ run -d --name slirp -p 8081:80 $nginx
like "slirp4netns: it is what runs" 'slirp4netns' "$(ps -eo args | grep '[s]lirp4netns')"
eventually "slirp4netns: curl answers" 15 curl -sf --max-time 5 http://127.0.0.1:8081/
succeeds "slirp4netns: rm -f" caisson_ rm -f slirp
is "nothing is left: mounts, cgroups, processes, links, addresses, rules" "" "$(since "$scratch/before")"
is "nothing is left: run directory" "" \
    "$(find "$scratch"/xdg/caisson/{pods,native} -mindepth 1 2>/dev/null)"
is "nothing is left: writable layers" "" "$(find "$scratch/home/.local/share/caisson/containers" -mindepth 1 2>/dev/null)"
succeeds "image verify" caisson_ image verify
finish
