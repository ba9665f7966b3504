#!/bin/sh
# A machine that falls silent, and one that has connections with it: this machine's kernel
# (`native`), or the sandbox. Says what the second one notices.
# Arguments: the command or `native`, a root file system of busybox, a folder for files.
set -eu
sentry=$1 root=$2 place=$3
. "$(dirname "$0")/veth.sh"
chroot "$root" /bin/dead &
server=$!
rm -f "$root/tmp/cut" "$root/tmp/is_cut" "$root/tmp/mend" "$root/tmp/is_mended"
if [ "$sentry" = native ]; then
    inner ip neigh replace 10.9.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent
    inner timeout 150 chroot "$root" /bin/dead 10.9.0.1 &
else
    timeout 150 "$sentry" "do" --root "$root" --network sandbox --netns "$place/ns" /bin/dead 10.9.0.1 &
fi
guest=$!
wait_for() {
    i=0
    until [ -e "$root/tmp/$1" ]; do
        i=$((i+1)); [ $i -lt 2000 ] || { echo "no $1"; break; }
        sleep 0.05
    done
}
# Who has no such address takes no such packet, and says nothing.
wait_for cut
ip addr del 10.9.0.1/24 dev outer
: >"$root/tmp/is_cut"
wait_for mend
ip addr add 10.9.0.1/24 dev outer
: >"$root/tmp/is_mended"
wait "$guest" || echo "it failed"
kill "$server" "$holder"
