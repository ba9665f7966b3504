# Two networks that a pair of links connects: what Debian's ip tells of it, and what goes through.
mount -t tmpfs t /run || exit 1
ip netns add a && ip netns add b
ip link add v0 netns a type veth peer name v1 netns b; echo made $?
names() { sed -e 's/link\/ether [0-9a-f:]*/link\/ether X/' -e '/inet6 fe80/,+1d' -e '/^fe80/d' -e '/^multicast/d' -e 's/@if[0-9]*/@if/' -e 's/^[0-9]*: /N: /' -e 's/qlen [0-9]*/qlen/' -e 's/qdisc [a-z]*/qdisc/'; }
# Linux tells a link's state a moment after it has changed, and takes networks away in the background.
until_is() { i=0; until [ "$(ip -n a -o link show v0 | grep -c "state $1")" = 1 ] || [ $i -gt 400 ]; do i=$((i+1)); sleep 0.05; done; }
ip -n a link show v0 | names
ip netns list | sort
ip -n a link add v0 type veth peer name v9; echo again $?
ip -n a link add name/ type veth; echo name $?
ip -n a link add x type nonesuch; echo type $?
ip -n a addr add 10.7.0.1/24 dev v0; ip -n b addr add 10.7.0.2/24 dev v1; echo addresses $?
ip -n a route | names
ip -n a link set v0 up; ip -n a link show v0 | names; ip -n a route | names
ip -n b link set v1 up; ip -n b link set lo up; until_is UP
ip -n a addr show v0 | names; ip -n a route | names
ip netns exec a busybox ping -c 2 -W 10 10.7.0.2 | sed -e 's/time[= ].*//' -e 's/, time .*//' | grep -v round-trip; echo ping $?
ip netns exec a busybox ping -q -c 1 -W 1 10.7.0.9 | grep -c ' 0 received'
ip netns exec b sh -c 'echo hello | timeout 60 busybox nc -l -p 80' &
i=0; until ip netns exec b cat /proc/net/tcp /proc/net/tcp6 | grep -q ':0050 0*:0000 0A' || [ $i -gt 400 ]; do i=$((i+1)); sleep 0.05; done
mkfifo /run/open; ip netns exec a sh -c 'timeout 30 busybox nc 10.7.0.2 80 <>/run/open'; echo tcp $?; wait
ip netns exec a sh -c 'timeout 30 busybox nc 10.7.0.2 81 </dev/null'; echo refused $?
ip -n b addr add 10.8.0.1/32 dev lo
ip netns exec a busybox ping -q -c 1 -W 1 10.8.0.1 >/dev/null 2>&1; echo no route $?
ip -n a route add 10.8.0.0/16 via 10.7.0.2; echo route $?
ip -n a route add 10.8.0.0/16 via 10.7.0.2; echo again $?
ip -n a route add 10.9.0.0/16 via 10.66.0.2; echo gateway $?
ip -n a route add 10.9.0.1/16 dev v0; echo prefix $?
ip -n a route add 10.9.0.0/16 dev none; echo device $?
ip -n a route add default via 10.7.0.2 metric 5; ip -n a route add 10.10.0.0/16 dev v0; ip -n a route | sort | names
ip -n a route get 10.8.1.1 | head -1 | sed 's/ *uid.*//; s/ *$//'
ip netns exec a busybox ping -q -c 1 -W 10 10.8.0.1 >/dev/null; echo by the gateway $?
ip -n a route del 10.8.0.0/16; ip -n a route del 10.8.0.0/16; echo gone $?
ip -n a route del default; ip -n a route | sort | names
ip -n b link set v1 down; until_is DOWN; ip -n a link show v0 | names; ip -n a route | sort | names
ip -n b route | names; ip -n b link set v1 up; ip -n b route | names
ip -n a link set v0 name w0; ip -n a link set w0 mtu 1400; ip -n a link show w0 | names; ip -n a link set w0 mtu 10; echo mtu $?
ip -n a link add x0 type veth peer name x1 netns b; ip -n a addr add 10.11.0.1/24 dev x0; ip -n b addr add 10.11.0.2/24 dev x1
ip -n a link set x0 up; ip -n b link set x1 up; sleep 1
for by in x0 w0; do ip netns exec a busybox ping -q -c 1 -W 10 -I $by 10.7.0.2 | grep -o '[01] packets received'; done
ip netns exec a busybox ping -q -c 1 -W 10 10.11.0.2 | grep -o '[01] packets received'; ip -n a link del x0
ip -n a link add x0 type veth peer name y0; ip -n b link add x0 type veth peer name y0; ip -n a link set x0 netns b; echo taken $?
ip -n a link set x0 netns b name x9; echo moved $?; ip -n b link del x0; ip -n b link del x9; echo deleted $?
ip -n a link set w0 netns b; ip -n a link | names; ip -n b link show w0 | names; ip -n b addr show w0 | names
ip -n b link set lo netns a; echo loopback $?
ip -n b link del v1; ip -n b link | names; ip -n b link del lo; echo loopback $?
ip link add v0 netns a type veth peer name v1 netns b; ip netns del b; i=0
until [ "$(ip -n a -o link | wc -l)" = 1 ] || [ $i -gt 400 ]; do i=$((i+1)); sleep 0.05; done; ip -n a -o link | wc -l
ip netns del a; echo done
