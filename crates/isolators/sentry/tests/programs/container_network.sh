#!/bin/sh
# Makes a network namespace at PLACE/ns whose interface reaches a web server here, and
# runs a command that makes a container there: twice, and with the interface claimed
# by another sandbox. Arguments: PLACE, the command.
set -eu
place=$1
shift
mount --make-rprivate /
mkdir "$place/www"
echo "from outside" >"$place/www/f"
: >"$place/ns"
unshare --net="$place/ns" true
ip link add outer type veth peer name eth0
nsenter --net="$place/ns" sleep 300 &
holder=$!
# The namespace is entered when it differs from ours.
while [ "$(readlink /proc/$holder/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link set eth0 netns "$holder"
nsenter --net="$place/ns" ip addr add 10.9.0.2/24 dev eth0
nsenter --net="$place/ns" ip link set eth0 up
ip addr add 10.9.0.1/24 dev outer
ip link set outer up
busybox httpd -f -p 80 -h "$place/www" &
server=$!
"$@" || echo "exit code $?"
# As after a crash: the next one has the same interface.
"$@" || echo "exit code $?"
# Another sandbox has it.
nsenter --net="$place/ns" python3 -c '
import socket, sys, time
held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
held.bind("\0caisson-sentry/eth0")
open(sys.argv[1], "w")
time.sleep(300)' "$place/held" &
other=$!
until [ -e "$place/held" ]; do sleep 0.1; done
"$@" || echo "exit code $?"
kill $holder $server $other
