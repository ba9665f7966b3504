#!/bin/bash
# First process of the guest without systemd: cgroup v2 and nothing else.
# shellcheck source=lib.sh
. /payload/guest/lib.sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=755 run /run
mkdir -p /dev/pts /dev/shm $scratch
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t mqueue mqueue /dev/mqueue 2>/dev/null || { mkdir -p /dev/mqueue && mount -t mqueue mqueue /dev/mqueue; }
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up 2>/dev/null
modprobe fuse
modprobe overlay
mkdir /sys/fs/cgroup/runner
echo $$ >/sys/fs/cgroup/runner/cgroup.procs
say "# kernel $(uname -r), controllers $(</sys/fs/cgroup/cgroup.controllers)"
# shellcheck source=limits.sh
. /payload/guest/limits.sh
# shellcheck source=raised.sh
. /payload/guest/raised.sh
# shellcheck source=programs.sh
. /payload/guest/programs.sh
is "nothing is left in the hierarchy" "runner" "$(cd /sys/fs/cgroup && echo */)" 
all_of_it
echo o >/proc/sysrq-trigger
sleep 60
