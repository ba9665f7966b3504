#!/bin/sh
# Words are meant to be split here.
# shellcheck disable=SC2046,SC2086,SC2166
set -u
# Runs inside the container and prints what a runtime set up, section by section.
s() { echo "== $1"; }
s ids; id; umask; pwd
s status; grep -E '^(Groups|Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign|Cgt)|Umask|Speculation|Cpus_allowed_list|THP)' /proc/self/status
s limits; cat /proc/self/limits
s environment; tr '\0' '\n' </proc/1/environ 2>/dev/null || env; 
s command; tr '\0' ' ' </proc/self/cmdline; echo
s mounts; cat /proc/self/mountinfo
s devices; for f in /dev/* /dev/deep/er/*; do [ -h $f ] && echo "$f -> $(readlink $f)" || stat -c '%n %A %u:%g %t,%T' $f; done 2>/dev/null
s device-access; for d in null zero full random urandom mine; do [ -e /dev/$d ] && { dd if=/dev/$d of=/dev/null bs=1 count=1 2>&1 </dev/null | grep -q '1+0\|0+0' && echo "$d readable" || echo "$d not readable"; }; done
s namespaces; for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done
s idmaps; cat /proc/self/uid_map /proc/self/gid_map; cat /proc/self/setgroups
s cgroup; cat /proc/self/cgroup
s cgroup-files; cd /sys/fs/cgroup 2>/dev/null && for f in memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.swappiness pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems blkio/blkio.weight blkio/blkio.throttle.read_bps_device; do [ -e $f ] && echo "$f: $(cat $f | tr '\n' ' ')"; done; cat devices/devices.list 2>/dev/null; cd /
s uts; hostname; cat /proc/sys/kernel/domainname
s sysctl; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max /proc/sys/net/ipv4/ping_group_range 2>&1
s oom; cat /proc/self/oom_score_adj
s descriptors; for f in /proc/$$/fd/*; do [ -h $f ] && echo ${f##*/}; done; for f in 0 1 2; do readlink /proc/$$/fd/$f | sed 's/[0-9][0-9]*/N/'; done
s process; set -- $(cat /proc/$$/stat); [ $5 = $1 ] && echo leads its process group; [ $6 = $1 ] && echo leads its session; echo "terminal $7 priority ${18} ${19} ${40} ${41}"; cat /proc/self/personality; cat /proc/self/timens_offsets 2>/dev/null; [ $$ = 1 ] && { set -- /proc/[0-9]*; echo $# processes; }
s loopback; cat /sys/class/net/lo/flags /sys/class/net/lo/operstate 2>&1; ls /sys/class/net
s paths; for p in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /sys/firmware /proc/acpi /proc/scsi /mask-file /mask-dir; do [ -e $p ] && { if [ -d $p ]; then echo "$p dir $(ls $p 2>&1 | wc -l)"; else echo "$p $(stat -c '%F %a' $p) $(head -c 5 $p 2>/dev/null | wc -c)"; fi; }; done; for p in /proc/sys/kernel/panic /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs /ro-dir; do [ -e $p ] && { [ -w $p ] && echo "$p writable" || echo "$p not writable"; }; done
s writes; for d in / /tmp /dev /dev/shm /proc/sys /sys /mnt/a /mnt/b /mnt/a/sub; do [ -d $d ] && { touch $d/.w 2>/dev/null && { echo "$d writable"; rm -f $d/.w; } || echo "$d not writable"; }; done
s seccomp; mkdir /tmp/sc 2>&1 && rmdir /tmp/sc; chmod 700 /tmp 2>&1; kill -0 $$ 2>&1; uname -m; cat /proc/self/attr/current 2>/dev/null
s extra; for f in /mnt/a/file /mnt/b/file /tmp/file; do [ -e $f ] && stat -c '%n %u:%g %a %F' $f; done; df -k /mnt/a 2>/dev/null | tail -n 1 | sed 's/  */ /g' | cut -d' ' -f1,2
exit ${PROBE_EXIT:-0}
