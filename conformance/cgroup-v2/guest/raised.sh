# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# What takes all capabilities of the host, which containers' hosts themselves
# often lack. Sourced.
b=$scratch/raised
r=($runtime --root $scratch/state)
run() { # name process-fields command: the container's output on one line
    bundle $b "[\"sh\", \"-c\", \"$3\"]" '{}' "$2" '"cgroupsPath": "/raised"'
    echo $(timeout 150 "${r[@]}" run --bundle $b "$1" 2>&1)
}
is "oomScoreAdj below zero" "-500" "$(run score '"oomScoreAdj": -500' 'cat /proc/self/oom_score_adj')"
is "oomScoreAdj -1000" "-1000" "$(run score '"oomScoreAdj": -1000' 'cat /proc/self/oom_score_adj')"
(
    ulimit -n 2048 && ulimit -u 4000
    is "hard limits raised above the caller's" "4096 1048576 9000 9000" "$(run rlimits '"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 4096, "hard": 1048576}, {"type": "RLIMIT_NPROC", "soft": 9000, "hard": 9000}]' 'cat /proc/self/limits' | sed -n 's/.*Max processes *\([0-9]*\) *\([0-9]*\) .*Max open files *\([0-9]*\) *\([0-9]*\) .*/\3 \4 \1 \2/p')"
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

# Policy and priority as the kernel keeps them: proc_pid_stat(5), fields 41, 18 and 40.
policy() {
    local stat
    stat=$(run policy "\"scheduler\": $1" 'cat /proc/self/stat')
    # shellcheck disable=SC2086  # into fields; the command's name is (cat)
    set -- $stat
    echo "policy ${41} priority ${18} real-time ${40}"
}
is "scheduler SCHED_FIFO" "policy 1 priority -11 real-time 10" "$(policy '{"policy": "SCHED_FIFO", "priority": 10}')"
is "scheduler SCHED_RR" "policy 2 priority -21 real-time 20" "$(policy '{"policy": "SCHED_RR", "priority": 20}')"
is "scheduler SCHED_OTHER with nice -10" "policy 0 priority 10 real-time 0" "$(policy '{"policy": "SCHED_OTHER", "nice": -10}')"
is "scheduler SCHED_BATCH" "policy 3 priority 25 real-time 0" "$(policy '{"policy": "SCHED_BATCH", "nice": 5}')"
is "scheduler SCHED_IDLE" "policy 5 priority 20 real-time 0" "$(policy '{"policy": "SCHED_IDLE"}')"
# Its processes can't fork unless they give the policy up.
bundle $b '["cat", "/proc/self/stat"]' '{}' '"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1000000, "deadline": 10000000, "period": 10000000}' '"cgroupsPath": "/raised"'
is "scheduler SCHED_DEADLINE" "6" "$(timeout 150 "${r[@]}" run --bundle $b deadline 2>&1 | cut -d' ' -f41)"
is "ioPriority of the real-time class" "realtime: prio 3" "$(run io '"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 3}' 'ionice')"
is "raised: nothing is left" "gone" "$([[ -d /sys/fs/cgroup/raised ]] || echo gone)"
