#!/bin/bash
# shellcheck disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# First process of the guest without systemd: cgroup v2 and nothing else.
set -u
# shellcheck source=lib.sh
. /payload/guest/lib.sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# /tmp stays on the disk: this kernel has no idmapped mounts of tmpfs.
mount -t tmpfs -o mode=755 run /run
mkdir -p /dev/pts /dev/shm /dev/mqueue $scratch
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t cgroup2 cgroup2 /sys/fs/cgroup
modprobe fuse
modprobe overlay
mkdir /sys/fs/cgroup/runner
echo $$ >/sys/fs/cgroup/runner/cgroup.procs
say "# kernel $(uname -r), controllers $(</sys/fs/cgroup/cgroup.controllers)"
# shellcheck source=limits.sh
. /payload/guest/limits.sh
# shellcheck source=raised.sh
. /payload/guest/raised.sh
driver=cgroupfs
# shellcheck source=sentry.sh
. /payload/guest/sentry.sh
# shellcheck source=pods.sh
. /payload/guest/pods.sh
# shellcheck source=programs.sh
. /payload/guest/programs.sh
is "nothing is left in the hierarchy" "runner/" "$(cd /sys/fs/cgroup && echo */)"
all_of_it
echo o >/proc/sysrq-trigger
sleep 60
