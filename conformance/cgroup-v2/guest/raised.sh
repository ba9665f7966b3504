# What takes all capabilities of the host, which containers' hosts themselves
# often lack. Sourced.
b=$scratch/raised
r=($runtime --root $scratch/state)
run() { # name process-fields command: the container's output on one line
    bundle $b "[\"sh\", \"-c\", \"$3\"]" '{}' "$2" '"cgroupsPath": "/raised"'
    echo $(timeout 40 "${r[@]}" run --bundle $b "$1" 2>&1)
}
is "oomScoreAdj below zero" "-500" "$(run score '"oomScoreAdj": -500' 'cat /proc/self/oom_score_adj')"
is "oomScoreAdj -1000" "-1000" "$(run score '"oomScoreAdj": -1000' 'cat /proc/self/oom_score_adj')"
(
    ulimit -H -n 2048 && ulimit -H -u 4000
    is "hard limits raised above the caller's" "4096 1048576 9000" "$(run rlimits '"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 1048576}, {"type": "RLIMIT_NPROC", "soft": 9000, "hard": 9000}]' 'ulimit -Sn; ulimit -Hn; ulimit -Hp')"
)
is "unlimited locked memory and core size" "unlimited unlimited" "$(run rlimits '"rlimits": [{"type": "RLIMIT_MEMLOCK", "soft": 18446744073709551615, "hard": 18446744073709551615}, {"type": "RLIMIT_CORE", "soft": 18446744073709551615, "hard": 18446744073709551615}]' 'ulimit -l; ulimit -c')"

last=$(</proc/sys/kernel/cap_last_cap)
names=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE)
caps=$(printf '"CAP_%s",' "${names[@]}")
caps=${caps%,}
full=$(printf '%016x' $(((1 << (last + 1)) - 1)))
is "all capabilities" "CapPrm: $full CapEff: $full CapBnd: $full" "$(run caps '' 'grep -E Cap[PEB] /proc/self/status')"
is "a privileged container mounts" "mounted" "$(run mounts '' 'mount -t tmpfs x /mnt && echo mounted')"
is "and lowers a score by itself" "-7" "$(run score '' 'echo -7 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj')"
unset caps

policy() { run policy "\"scheduler\": $1" 'grep -E ^policy.*:\|^prio.*: /proc/1/sched; sleep 0'; }
for wanted in "SCHED_FIFO:1:89" "SCHED_RR:2:79" ; do
    IFS=: read -r name number prio <<<"$wanted"
    is "scheduler $name" "$number $prio" "$(policy "{\"policy\": \"$name\", \"priority\": $((99 - prio))}" | tr -s ' ' | sed 's/policy : \([0-9]*\) prio : \([0-9]*\)/\1 \2/')"
done
is "scheduler SCHED_OTHER with nice -10" "0 110" "$(policy '{"policy": "SCHED_OTHER", "nice": -10}' | tr -s ' ' | sed 's/policy : \([0-9]*\) prio : \([0-9]*\)/\1 \2/')"
is "scheduler SCHED_BATCH" "3 125" "$(policy '{"policy": "SCHED_BATCH", "nice": 5}' | tr -s ' ' | sed 's/policy : \([0-9]*\) prio : \([0-9]*\)/\1 \2/')"
is "scheduler SCHED_DEADLINE" "6" "$(policy '{"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 10000000, "period": 10000000}' | tr -s ' ' | sed 's/policy : \([0-9]*\) .*/\1/')"
is "ioPriority of the real-time class" "4" "$(run io '"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 3}' 'ionice' | sed 's/.*realtime.*3.*/4/')"
is "raised: nothing is left" "gone" "$([[ -d /sys/fs/cgroup/raised ]] || echo gone)"
