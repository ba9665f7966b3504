#!/bin/sh
# A client and a server outside, in a network namespace of their own, and the sandbox in
# another one, with a pair of interfaces between them. Says what got through.
# Arguments: the command, a root file system of busybox, a folder for files.
set -eu
sentry=$1 root=$2 place=$3
mkdir -p "$root/tmp/www" "$place/www"
echo "from inside" >"$root/tmp/www/f"
echo "from outside" >"$place/www/f"
. "$(dirname "$0")/veth.sh"
ip addr add 192.0.2.9/32 dev lo
enter() {
    timeout 200 "$sentry" "do" --root "$root" --env PATH=/bin --network sandbox --netns "$place/ns" "$@"
}
busybox httpd -f -p 80 -h "$place/www" &
server=$!
chroot "$root" /bin/datagram 5001 &
chroot "$root" /bin/peers outside 10.9.0.2 >"$place/peers" 2>&1 &
peers=$!
enter /bin/sh -c '
    httpd -f -p 8080 -h /tmp/www &
    datagram 5000 &
    i=0; until wget -q -O - http://10.9.0.1/f 2>/dev/null; do i=$((i+1)); [ $i -lt 300 ] || break; sleep 0.2; done
    echo far: $(wget -q -O - http://192.0.2.9/f)
    echo six: $(wget -q -O - "http://[fd09::1]/f")
    i=0; until wget -q -O - http://10.9.0.2:8080/f >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 300 ] || break; sleep 0.2; done
    echo own: $(wget -q -O - http://10.9.0.2:8080/f)
    tcpinfo 10.9.0.1
    wget -q -O - http://10.9.0.1:9/ 2>&1
    datagram 10.9.0.1 5001 "datagram from inside"
    peers inside 10.9.0.1 2>&1
    : >/tmp/ready
    i=0; until [ -e /tmp/over ]; do i=$((i+1)); [ $i -lt 900 ] || break; sleep 0.2; done' &
guest=$!
i=0
until [ -e "$root/tmp/ready" ]; do
    i=$((i+1)); [ $i -lt 500 ] || { echo "the sandbox says nothing"; break; }
    sleep 0.2
done
get() { timeout 20 chroot "$root" /bin/wget -q -O - "$1" 2>&1; }
echo "in: $(get http://10.9.0.2:8080/f)"
echo "in six: $(get "http://[fd09::2]:8080/f")"
echo "closed: $(get http://10.9.0.2:8081/f)"
for i in 1 2 3 4 5 6 7 8 9 10; do get http://10.9.0.2:8080/f & done | sort | uniq -c | sed 's/^ */ten: /'
busybox ping -q -c 2 -W 10 10.9.0.2 | grep -o "2 packets received"
chroot "$root" /bin/datagram 10.9.0.2 5000 "datagram from outside" || true
wait "$peers" || echo "the peers failed"
cat "$place/peers"
: >"$root/tmp/over"
wait "$guest" || echo "the sandbox failed"
kill "$server" "$holder"
