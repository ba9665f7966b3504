/* Random system calls with arguments of the right types, by several threads of
 * several processes, which also fork, make threads and execute programs:
 *     fuzzer SEED CALLS SECONDS
 * ends when that many calls were made, or the time is up. A process that makes
 * no progress (it may block for good reasons) is killed, and another takes its
 * place; one that can't be killed, or not be waited for, is a hang. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define PROCESSES 2
#define THREADS 3
#define ARENA (32L << 20)

/* Argument types: f descriptor, p path, b buffer, l its length, o offset, n small
 * number, g flags, x anything, i pid, s harmless signal, t short time, a address in
 * the arena, z pages, m mode, k kind of mapping without a place, K with one, 0 none,
 * v vector, w word (futex), u user, 4 name of a mount's, G flags of its calls, 6 make it. */
static const struct { short number; const char *types; } table[] = {
    {SYS_read, "fbl"}, {SYS_write, "fbl"}, {SYS_open, "pgm"}, {SYS_close, "f"}, {SYS_stat, "pb"},
    {SYS_fstat, "fb"}, {SYS_lstat, "pb"}, {SYS_poll, "bn0"}, {SYS_lseek, "fon"}, {SYS_mmap, "0znkfo"},
    {SYS_mmap, "aznKfo"}, {SYS_mmap, "aznkfo"}, {SYS_mprotect, "azn"}, {SYS_munmap, "az"},
    {SYS_rt_sigprocmask, "nbbx"}, {SYS_ioctl, "fxb"}, {SYS_ioctl, "fnb"}, {SYS_pread64, "fblo"},
    {SYS_pwrite64, "fblo"}, {SYS_readv, "fvn"}, {SYS_writev, "fvn"}, {SYS_access, "pn"}, {SYS_pipe, "b"},
    {SYS_select, "nbbbt"}, {SYS_sched_yield, ""}, {SYS_mremap, "azzna"}, {SYS_msync, "azn"},
    {SYS_mincore, "azb"}, {SYS_madvise, "azn"}, {SYS_shmget, "nlg"}, {SYS_dup, "f"}, {SYS_dup2, "ff"},
    {SYS_nanosleep, "tb"}, {SYS_getitimer, "nb"}, {SYS_getpid, ""}, {SYS_sendfile, "ffbl"},
    {SYS_socket, "nnn"}, {SYS_connect, "fbl"}, {SYS_sendto, "fblnbn"}, {SYS_recvfrom, "fblnbb"},
    {SYS_sendmsg, "fbn"}, {SYS_recvmsg, "fbn"}, {SYS_shutdown, "fn"}, {SYS_bind, "fbl"}, {SYS_listen, "fn"},
    {SYS_getsockname, "fbb"}, {SYS_getpeername, "fbb"}, {SYS_socketpair, "nnnb"}, {SYS_setsockopt, "fnnbl"},
    {SYS_getsockopt, "fnnbb"}, {SYS_wait4, "i b"}, {SYS_kill, "is"}, {SYS_uname, "b"}, {SYS_semget, "nng"},
    {SYS_semop, "nbn"}, {SYS_msgget, "ng"}, {SYS_fcntl, "fnx"}, {SYS_fcntl, "fnb"}, {SYS_flock, "fn"},
    {SYS_fsync, "f"}, {SYS_truncate, "pl"}, {SYS_ftruncate, "fl"}, {SYS_getdents64, "fbl"}, {SYS_getcwd, "bl"},
    {SYS_chdir, "p"}, {SYS_fchdir, "f"}, {SYS_rename, "pp"}, {SYS_mkdir, "pm"}, {SYS_rmdir, "p"},
    {SYS_creat, "pm"}, {SYS_link, "pp"}, {SYS_unlink, "p"}, {SYS_symlink, "pp"}, {SYS_readlink, "pbl"},
    {SYS_chmod, "pm"}, {SYS_fchmod, "fm"}, {SYS_chown, "puu"}, {SYS_umask, "m"}, {SYS_gettimeofday, "bb"},
    {SYS_getrlimit, "nb"}, {SYS_getrusage, "nb"}, {SYS_sysinfo, "b"}, {SYS_times, "b"}, {SYS_getuid, ""},
    {SYS_setpgid, "ii"}, {SYS_getppid, ""}, {SYS_setsid, ""}, {SYS_getgroups, "nb"}, {SYS_setresuid, "uuu"},
    {SYS_getresuid, "bbb"}, {SYS_getpgid, "i"}, {SYS_setfsuid, "u"}, {SYS_getsid, "i"}, {SYS_capget, "bb"},
    {SYS_capset, "bb"}, {SYS_rt_sigpending, "bx"}, {SYS_rt_sigtimedwait, "bbtx"},
    {SYS_rt_sigqueueinfo, "isb"}, {SYS_sigaltstack, "bb"}, {SYS_mknod, "pmn"}, {SYS_personality, "n"},
    {SYS_statfs, "pb"}, {SYS_fstatfs, "fb"}, {SYS_getpriority, "ni"}, {SYS_setpriority, "nin"},
    {SYS_sched_setparam, "ib"}, {SYS_sched_getscheduler, "i"}, {SYS_mlock, "az"}, {SYS_munlock, "az"},
    {SYS_prctl, "nxxxx"}, {SYS_arch_prctl, "xb"}, {SYS_chroot, "p"}, {SYS_sync, ""}, {SYS_mount, "pppxb"},
    {SYS_umount2, "pn"}, {SYS_sethostname, "bn"}, {SYS_gettid, ""}, {SYS_readahead, "fol"},
    {SYS_setxattr, "ppbln"}, {SYS_getxattr, "ppbl"}, {SYS_listxattr, "pbl"}, {SYS_removexattr, "pp"},
    {SYS_tkill, "is"}, {SYS_time, "b"}, {SYS_futex, "wnntwn"}, {SYS_sched_getaffinity, "ilb"},
    {SYS_epoll_create1, "g"}, {SYS_epoll_ctl, "fnfb"}, {SYS_epoll_wait, "fbn0"}, {SYS_fadvise64, "foln"},
    {SYS_timer_create, "nbb"}, {SYS_timer_gettime, "nb"}, {SYS_timer_delete, "n"}, {SYS_clock_gettime, "nb"},
    {SYS_clock_getres, "nb"}, {SYS_clock_nanosleep, "n0tb"}, {SYS_tgkill, "iis"}, {SYS_utimes, "pb"},
    {SYS_waitid, "nib n"}, {SYS_inotify_init1, "g"}, {SYS_inotify_add_watch, "fpx"}, {SYS_openat, "fpgm"},
    {SYS_mkdirat, "fpm"}, {SYS_fchownat, "fpuug"}, {SYS_newfstatat, "fpbg"}, {SYS_unlinkat, "fpg"},
    {SYS_renameat2, "fpfpn"}, {SYS_linkat, "fpfpg"}, {SYS_symlinkat, "pfp"}, {SYS_readlinkat, "fpbl"},
    {SYS_faccessat, "fpn"}, {SYS_pselect6, "nbbbtb"}, {SYS_ppoll, "bntbx"}, {SYS_splice, "fbfbln"},
    {SYS_tee, "ffln"}, {SYS_sync_file_range, "foln"}, {SYS_vmsplice, "fvnn"}, {SYS_utimensat, "fpbg"},
    {SYS_epoll_pwait, "fbn0bx"}, {SYS_signalfd4, "fbxg"}, {SYS_timerfd_create, "ng"}, {SYS_eventfd2, "ng"},
    {SYS_fallocate, "fnll"}, {SYS_timerfd_settime, "fntb"}, {SYS_timerfd_gettime, "fb"}, {SYS_accept4, "fbbg"},
    {SYS_dup3, "ffg"}, {SYS_pipe2, "bg"}, {SYS_preadv, "fvno"}, {SYS_pwritev, "fvno"},
    {SYS_prlimit64, "in0b"}, {SYS_name_to_handle_at, "fpbbn"}, {SYS_syncfs, "f"}, {SYS_sendmmsg, "fbnn"},
    {SYS_getcpu, "bb"}, {SYS_process_vm_readv, "ivnvnn"}, {SYS_kcmp, "iinff"}, {SYS_sched_getattr, "ibln"},
    {SYS_seccomp, "nnb"}, {SYS_getrandom, "bln"}, {SYS_memfd_create, "pg"}, {SYS_membarrier, "nnn"},
    {SYS_mlock2, "azn"}, {SYS_copy_file_range, "fbfbln"}, {SYS_preadv2, "fvnon"}, {SYS_statx, "fpgxb"},
    {SYS_rseq, "blnx"}, {SYS_pidfd_open, "in"}, {SYS_pidfd_send_signal, "fsbn"}, {SYS_close_range, "ffn"},
    {SYS_openat2, "fpbl"}, {SYS_faccessat2, "fpng"}, {SYS_epoll_pwait2, "fbntbx"}, {SYS_io_setup, "nb"},
    {SYS_io_uring_setup, "nb"}, {SYS_ptrace, "xixx"}, {SYS_bpf, "nbl"}, {SYS_unshare, "x"}, {SYS_setns, "fx"},
    {SYS_syslog, "nbl"}, {SYS_get_robust_list, "ibb"}, {SYS_set_tid_address, "b"}, {SYS_mq_open, "pgmb"},
    {SYS_add_key, "ppbln"}, {SYS_quotactl, "xpnb"}, {SYS_acct, "p"}, {SYS_swapon, "pn"}, {SYS_reboot, "xxxx"},
    {SYS_init_module, "blp"}, {SYS_perf_event_open, "binfx"}, {SYS_userfaultfd, "g"}, {SYS_pivot_root, "pp"},
    {SYS_io_submit, "xnb"}, {SYS_io_getevents, "xnnbt"}, {SYS_io_cancel, "xbb"}, {SYS_io_destroy, "x"},
    {SYS_mq_timedsend, "fblnt"}, {SYS_mq_timedreceive, "fblbt"}, {SYS_mq_unlink, "p"}, {SYS_mq_getsetattr, "fbb"},
    {SYS_msgctl, "nnb"}, {SYS_semctl, "nnnb"}, {SYS_msgsnd, "nblg"}, {SYS_msgrcv, "nblng"}, {SYS_shmctl, "nnb"},
    {449, "bnntn"}, {428, "fpg"}, {428, "f4G"}, {429, "fpfpg"}, {429, "f4f4G"}, {430, "4n"}, {431, "fn444"}, {431, "f60000"},
    {432, "fnn"}, {433, "fpg"}, {442, "fpgbn"}, {424, "fsbn"}, {437, "fpvl"},
};
/* They end, wait for good, or make what nobody ends; 335 is uretprobe, which hosts let
 * past every filter. */
static const short never[] = {SYS_exit, SYS_exit_group, SYS_fork, SYS_vfork, SYS_clone, 435, SYS_pause,
    SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigaction, SYS_munmap, SYS_mmap, SYS_mremap, SYS_mprotect,
    SYS_brk, SYS_shmat, SYS_madvise, SYS_fallocate, SYS_ftruncate, SYS_truncate, SYS_arch_prctl, 335,
    SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, 297, 424, SYS_execve, SYS_execveat, SYS_setrlimit, SYS_prlimit64, SYS_set_robust_list, 24};
static const char *paths[] = {"/tmp/z/a", "/tmp/z/b", "/tmp/z/d", "/tmp/z/d/e", "/tmp/z/l", "/tmp/z", ".",
    "..", "", "a", "d/e", "/proc/self/maps", "/proc/self/status", "/proc/self/fd/3", "/proc", "/dev/null",
    "/dev/zero", "/dev/tty", "/dev/ptmx", "/dev/shm/x", "/proc/1/stat", "/proc/self/uid_map",
    "/proc/self/gid_map", "/proc/self/setgroups", "/proc/self/smaps", "/proc/self/statm", "overlay", "/none/x", "user.name", "tmpfs",
    "/tmp/z/../z/d/./e", "/sys", "/proc/self/exe", "/proc/self/task/1/stat"};
/* What a mount is told by name, mostly with nothing behind it. */
static const char *names[] = {"tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup2", "overlay", "", "/tmp/z/d", "source", "size",
    "4096", "mode", "lowerdir", "upperdir", "workdir", "/tmp/z", "ro", "a", "nr_inodes"};
struct memory { char buffer[1 << 16]; long words[64]; };
/* Of each thread, one of each process's, and one of all. */
static struct { volatile long calls[PROCESSES]; struct memory memory; } *shared;
static struct memory memory[THREADS];
static char *arena;
static pthread_t workers[THREADS];
static int own;

struct chance { uint64_t x; int thread; };
static uint64_t draw(struct chance *c);
/* Mostly the thread's own, else that of another one, or of all processes: what one is given
 * another one changes meanwhile. */
static struct memory *some(struct chance *c) {
    switch (draw(c) % 8) {
    case 0: return &memory[(c->thread + 1) % THREADS];
    case 1: return &shared->memory;
    default: return &memory[c->thread];
    }
}
static uint64_t draw(struct chance *c) {
    c->x ^= c->x << 13; c->x ^= c->x >> 7; c->x ^= c->x << 17;
    return c->x >> 8;
}
static long wild(struct chance *c) {
    uint64_t r = draw(c);
    switch (r % 6) {
    case 0: return r >> 60;
    case 1: return -(long)(r >> 8 & 0xff);
    case 2: return 1L << (r >> 8 & 63);
    case 3: return (long)memory[c->thread].buffer + (r >> 8 & 0xffff);
    case 4: return (long)(r >> 8 & 0xfffff000);
    default: return (long)(r * 6364136223846793005UL);
    }
}
static long argument(struct chance *c, char type) {
    uint64_t r = draw(c);
    struct memory *own_or_not = some(c);
    char *buffer = own_or_not->buffer;
    if (r % 40 == 0 && !strchr("altzkKs0G6", type)) return wild(c);
    r >>= 8;
    switch (type) {
    case 'f': return r % 16 == 0 ? AT_FDCWD : 3 + (long)(r >> 8) % 45;
    case 'p': return (long)paths[r % (sizeof paths / sizeof *paths)];
    case 'b': return r % 12 == 0 ? 0 : (long)buffer + (r >> 8) % 60000 / 8 * 8;
    case 'l': return r % 8 == 0 ? -1 : (long)((r >> 8) % 6000);
    case 'o': return r % 8 == 0 ? wild(c) : (long)((r >> 8) % 16) * 4096;
    case 'n': return r % 32;
    case 'g': return r % 4 == 0 ? (long)(r >> 8 & 0x3ff0fff) : (long)(r >> 8 & 0xc43) | O_NONBLOCK;
    case 'i': return r % 4 == 0 ? own : (long)((r >> 8) % 40) - 2;
    case 's': { static const int s[] = {0, SIGCHLD, SIGCONT, SIGURG, SIGWINCH, 64, 65, -1}; return s[r % 8]; }
    case 't': {
        /* Nobody else makes it longer. */
        long *time = memory[c->thread].words + 2 * ((r >> 8) % 8);
        time[0] = 0; time[1] = (r >> 16) % 2000000; time[2] = 0; time[3] = (r >> 40) % 2000000;
        return (long)time;
    }
    case 'a': return (long)arena + (long)(r % (ARENA / 4096 - 64)) * 4096;
    case 'z': return (long)(1 + r % 48) * 4096;
    case 'm': return r & 07777;
    /* Places are given inside of the arena only; nothing is locked or huge. */
    case 'k': return (r & 1 ? MAP_PRIVATE : MAP_SHARED) | (r & 2 ? MAP_ANONYMOUS : 0) | (r & 0x4000);
    case 'K': return MAP_FIXED | (r & 1 ? MAP_PRIVATE : MAP_SHARED) | (r & 2 ? MAP_ANONYMOUS : 0) | (r & 0x4000);
    case 'v': {
        long *vector = own_or_not->words + 32 + 2 * (r % 8);
        for (int i = 0; i < 8; i++) { vector[2 * i] = (long)buffer + (r >> i) % 60000; vector[2 * i + 1] = (r >> i) % 900; }
        return (long)vector;
    }
    case 'w': return (long)(memory[0].words + r % 4);
    case '4': return (long)names[r % (sizeof names / sizeof *names)];
    case 'G': { static const int g[] = {0, 1, 4, 0x14, 0x44, 0x54, 0x100, 0x1000, 0x8000, 0x9001, 0x80001}; return g[r % 11]; }
    case '6': return 6;
    case 'u': return r % 3 ? -1 : (long)(r >> 8) % 3;
    case 'x': return wild(c);
    }
    return 0;
}
static void once(struct chance *c) {
    long a[6] = {0};
    uint64_t r = draw(c);
    long n;
    if (r % 16 == 0) {
        n = (r >> 8) % 470;
        for (unsigned i = 0; i < sizeof never / sizeof *never; i++) if (never[i] == n) return;
        for (int i = 0; i < 6; i++) a[i] = argument(c, "fpblonxigb"[draw(c) % 10]);
        /* Its time is always short. */
        if (n == SYS_nanosleep || n == SYS_poll || n == SYS_epoll_wait || n == SYS_clock_nanosleep) return;
    } else {
        unsigned row = (r >> 8) % (sizeof table / sizeof *table);
        n = table[row].number;
        for (int i = 0; i < 6 && table[row].types[i]; i++) a[i] = argument(c, table[row].types[i]);
        if (n == SYS_wait4 || n == SYS_waitid) a[n == SYS_wait4 ? 2 : 3] |= WNOHANG;
        if (n == SYS_mremap && a[3] & 2) a[3] = 3; else if (n == SYS_mremap) a[3] = 0;
        if (n == SYS_close_range && a[1] > 64) return;
        /* The thread's own pointer stays. */
        if (n == SYS_arch_prctl && (a[0] & 0xfff) != 5) return;
        if (n == SYS_prlimit64) a[2] = 0;
    }
    /* The host's disks keep all that wait for them. */
    if ((n == SYS_sync || n == SYS_syncfs || n == SYS_fsync) && draw(c) % 64) return;
    /* Nobody goes on with what stops for a tracer, or lives on that may only read and write. */
    if (n == SYS_ptrace && (a[0] == 0 || a[0] == 16 || a[0] == 0x4206)) return;
    if ((n == SYS_prctl && a[0] == 22) || (n == SYS_seccomp && (unsigned)a[0] < 2)) return;
    syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}
static void *nothing(void *a) { return a; }
/* Descriptors of all kinds, where calls will look for some. */
static void stock(struct chance *c) {
    int ends[2], kind = draw(c) % 14, one = -1, two = -1;
    struct sockaddr_in name = {AF_INET, htons(7000 + draw(c) % 4), {htonl(INADDR_LOOPBACK)}};
    if (kind < 4) {
        socketpair(AF_UNIX, (int[]){SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM}[kind] | SOCK_NONBLOCK, 0, ends);
    } else if (kind < 7) {
        one = socket(AF_INET, (kind == 4 ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
        bind(one, (void *)&name, sizeof name);
        if (kind == 5) listen(one, 3); else connect(one, (void *)&name, sizeof name);
    } else switch (kind) {
    case 7: pipe2(ends, O_NONBLOCK | (draw(c) % 2 ? O_DIRECT : 0)); break;
    case 8: one = epoll_create1(0); break;
    case 9: one = eventfd(draw(c) % 3, EFD_NONBLOCK); break;
    case 10: one = memfd_create("z", draw(c) % 4); if (ftruncate(one, 8192)) ; break;
    case 11: one = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK); break;
    case 12: one = syscall(430, names[draw(c) % 7], 0); syscall(431, one, 6, 0, 0, 0); two = syscall(432, one, 0, draw(c) % 16); break;
    case 13: one = syscall(428, AT_FDCWD, paths[draw(c) % 8], draw(c) % 2 ? 1 : 0x8001); break;
    }
}
/* What its arguments are may change meanwhile. */
static void execute(struct chance *c) {
    char **vector = (char **)shared->memory.words;
    for (int i = 0; i < 7; i++) vector[i] = draw(c) % 8 ? shared->memory.buffer + draw(c) % 60000 : (char *)paths[draw(c) % 20];
    vector[draw(c) % 8] = 0;
    const char *program = draw(c) % 4 ? "/bin/true" : paths[draw(c) % (sizeof paths / sizeof *paths)];
    if (draw(c) % 2) syscall(SYS_execve, program, vector, draw(c) % 2 ? vector + 4 : 0);
    else syscall(SYS_execveat, AT_FDCWD, program, vector, 0, draw(c) % 4 ? 0 : AT_SYMLINK_NOFOLLOW);
}
/* A child with flags by chance, which ends at once, without a stack of its own. */
static void bare_clone(struct chance *c) {
    static const long flags[] = {CLONE_VM, CLONE_VFORK, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD, CLONE_SYSVSEM, CLONE_NEWNS,
        CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_PARENT_SETTID, CLONE_CHILD_SETTID,
        CLONE_CHILD_CLEARTID, CLONE_PIDFD, CLONE_UNTRACED, CLONE_IO, 0x80, 0x02000000};
    long set = draw(c) % 4 ? 0 : draw(c) & 0xffffff00, result;
    for (int i = draw(c) % 4; i > 0; i--) set |= flags[draw(c) % (sizeof flags / sizeof *flags)];
    if (draw(c) % 4 == 0) set |= CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;
    /* A tracer's is stopped, an orphan is somebody else's, a thread pointer is used by nobody. */
    set &= ~(CLONE_PTRACE | CLONE_PARENT);
    register long r10 asm("r10") = (long)&some(c)->words[60], r8 asm("r8") = 0;
    asm volatile("syscall\n test %%rax, %%rax\n jnz 1f\n mov $60, %%eax\n xor %%edi, %%edi\n syscall\n 1:"
                 : "=a"(result) : "a"(SYS_clone), "D"(set | SIGCHLD), "S"(0L), "d"(&some(c)->words[61]), "r"(r10), "r"(r8)
                 : "rcx", "r11", "memory");
    /* A thread is waited for by nobody, others after all. */
    for (int i = 0; result > 0 && !(set & CLONE_THREAD) && waitpid(result, 0, WNOHANG | __WALL) == 0 && i < 200; i++) usleep(500);
}
static void tasks(struct chance *c) {
    int status;
    pthread_t thread;
    for (int i = 0; i < 4; i++) stock(c);
    switch (draw(c) % 4) {
    case 0:
        if (!pthread_create(&thread, 0, nothing, 0)) pthread_join(thread, 0);
        return;
    case 1: return bare_clone(c);
    }
    uint64_t way = draw(c);
    pid_t pid = way % 4 ? fork() : vfork();
    if (pid == 0) {
        if (way % 4) for (int i = 0; i < 8; i++) once(c);
        if (way % 3) execute(c);
        _exit(0);
    }
    if (pid < 0) return;
    if (way % 5 == 0) kill(pid, SIGKILL);
    for (int i = 0; waitpid(pid, &status, WNOHANG) == 0; i++) {
        if (i == 200) kill(pid, SIGKILL);
        if (i > 200) { waitpid(pid, &status, 0); break; }
        usleep(1000);
    }
}
static void *work(void *at) {
    struct chance c = *(struct chance *)at;
    sigset_t none;
    sigemptyset(&none);
    for (long i = 1;; i++) {
        once(&c);
        __atomic_add_fetch(&shared->calls[own % PROCESSES], 1, __ATOMIC_RELAXED);
        if (i % 64 == 0) syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 8);
        if (i % 512 == 0) tasks(&c);
    }
    return 0;
}
static void caught(int signal) { (void)signal; }
static void run(uint64_t seed) {
    static struct chance chances[THREADS];
    for (int s = 1; s <= 64; s++) if (s != SIGCHLD) signal(s, SIG_IGN);
    struct sigaction action = {.sa_handler = caught};
    sigaction(SIGUSR1, &action, 0);
    for (int fd = 0; fd < 3; fd++) { close(fd); open("/dev/null", O_RDWR); }
    mkdir("/tmp/z", 0777);
    chdir("/tmp/z");
    arena = mmap(0, ARENA, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < THREADS; i++) {
        chances[i] = (struct chance){seed * 0x9e3779b97f4a7c15UL + i * 77777 + 1, i};
        pthread_create(&workers[i], 0, work, &chances[i]);
    }
    /* Whoever blocks is interrupted. */
    for (int i = 0;; i = (i + 1) % THREADS) { usleep(4000); pthread_kill(workers[i], SIGUSR1); }
}
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoul(argv[1], 0, 10) : 1;
    long most = argc > 2 ? atol(argv[2]) : 100000, sum = 0, rounds = 0;
    double end = now() + (argc > 3 ? atof(argv[3]) : 10);
    shared = mmap(0, sizeof *shared, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int s = 1; s <= 64; s++) if (s != SIGCHLD) signal(s, SIG_IGN);
    pid_t pids[PROCESSES] = {0};
    long last[PROCESSES] = {0};
    double moved[PROCESSES] = {0}, began[PROCESSES] = {0};
    while (sum < most && now() < end) {
        sum = 0;
        for (int i = 0; i < PROCESSES; i++) {
            int status;
            long calls = shared->calls[i];
            sum += calls;
            if (calls != last[i]) moved[i] = now();
            last[i] = calls;
            /* A process wears out: it has lost its rights, its root, its files. */
            if (pids[i] && (now() > moved[i] + 1 || now() > began[i] + 0.5)) kill(pids[i], SIGKILL);
            if (pids[i] && waitpid(pids[i], &status, now() > moved[i] + 1 || now() > began[i] + 0.5 ? 0 : WNOHANG) == pids[i]) pids[i] = 0;
            if (!pids[i]) {
                own = i;
                seed++;
                rounds++;
                pids[i] = fork();
                if (!pids[i]) run(seed);
                moved[i] = began[i] = now();
            }
        }
        usleep(5000);
    }
    for (int i = 0; i < PROCESSES; i++) if (pids[i]) { kill(pids[i], SIGKILL); waitpid(pids[i], 0, 0); }
    printf("%ld calls, %ld processes\n", sum, rounds);
    return 0;
}
