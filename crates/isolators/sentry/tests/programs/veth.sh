# Two network namespaces with a pair of interfaces between them: this one, and that which
# `$place/ns` is, entered by `inner`. `$holder` keeps it.
mount --make-rprivate /
ip link set lo up
: >"$place/ns"
unshare --net="$place/ns" true
ip link add outer address 02:00:00:00:00:01 type veth peer name inner address 02:00:00:00:00:02
nsenter --net="$place/ns" sleep 300 &
holder=$!
# The namespace is entered when it differs from ours.
while [ "$(readlink /proc/$holder/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link set inner netns "$holder"
inner() { nsenter --net="$place/ns" "$@"; }
inner ip link set lo up
inner ip link set inner name eth0
inner ip addr add 10.9.0.2/24 dev eth0
inner ip -6 addr add fd09::2/64 dev eth0 nodad
inner ip link set eth0 up
inner ip route add default via 10.9.0.1
ip addr add 10.9.0.1/24 dev outer
ip -6 addr add fd09::1/64 dev outer nodad
ip link set outer up
