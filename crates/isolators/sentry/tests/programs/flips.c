/* Memory that changes while calls are made with it: two threads make calls of a kind, some of
 * them fast enough to be posted, a third one flips what they are given:
 *     flips [MILLISECONDS of each kind [SEED]]
 * Each kind has a process of its own, which must live on; only what damages itself by what it
 * asked for (clone3: signals at ends, shared stacks) may be killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define WORDS 512
typedef uint64_t word;
/* What calls are given (shared with children that execute programs), and what it points to. */
static volatile word *words;
static char *data;
static volatile int over;
static int zero, null, file, pair[2], packets[2], datagram, epoll, events, pty, listener, ends[2];
static timer_t timer;
static word seed;

static word draw(word *x) { *x ^= *x << 13; *x ^= *x >> 7; *x ^= *x << 17; return *x >> 8; }
static word odd(word *x) {
    static const word values[] = {0, 1, 2, 7, 8, 16, 64, 4096, 65536, 0x7fffffff, 0x80000000, 0xffffffff,
        0x100000000, 0x7fffffffffffffff, 0x8000000000000000, -1, -4096, -22, 0x7ffe00000000, 0x7ffe40000000,
        0x7ffe00010000, 0x7ffdfffff000, 0xffff800000000000, 0xffffffff81000000, 0x1000, 999999999, 1000000000};
    word r = draw(x);
    switch (r % 4) {
    case 0: return (word)data + (r >> 8) % 65536;
    case 1: return (word)words + (r >> 8) % (WORDS * 8);
    case 2: return r >> 8;
    default: return values[(r >> 8) % (sizeof values / sizeof *values)];
    }
}
static void put(int at, word value) { words[at] = value; }

/* Good values, between which odd ones are written. */
static void vectors(word *x) {
    for (int i = 0; i < 8; i++) put(2 * i, (word)data + 512 * i), put(2 * i + 1, draw(x) % 300);
}
static void message(word *x) {
    (void)x;
    put(0, (word)(words + 100)), put(1, sizeof(struct sockaddr_in)), put(2, (word)(words + 16)), put(3, 2);
    put(4, (word)(words + 40)), put(5, CMSG_SPACE(8)), put(6, 0);
    put(7, 0); /* of mmsghdr */
    put(16, (word)data), put(17, 100), put(18, (word)data + 200), put(19, 50);
    put(40, CMSG_LEN(8)), put(41, (word)SCM_RIGHTS << 32 | SOL_SOCKET), put(42, (word)null << 32 | zero);
    put(100, (word)htonl(INADDR_LOOPBACK) << 32 | htons(7000) << 16 | AF_INET), put(101, 0);
}
static void names(word *x) {
    put(0, draw(x) % 3 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_un));
    put(2, (word)htonl(INADDR_LOOPBACK) << 32 | htons(7000) << 16 | AF_INET), put(3, 0);
    if (draw(x) % 4 == 0) put(2, AF_UNIX | (word)'a' << 24);
}
static void pollers(word *x) {
    for (int i = 0; i < 8; i++) put(i, (word)EPOLLIN << 32 | i);
    put(8, draw(x) % 2 ? EPOLLIN | EPOLLOUT | EPOLLET : EPOLLIN | EPOLLONESHOT), put(9, 77);
    for (int i = 16; i < 32; i++) put(i, (word)POLLIN << 32 | (word[]){zero, null, pair[0], events}[i % 4]);
    put(40, 0), put(41, 1000);
}
static void masks(word *x) {
    put(0, (word)SIG_IGN), put(1, draw(x) % 2 ? SA_RESTART : SA_SIGINFO | SA_NODEFER), put(2, 0), put(3, 1 << 11);
    put(8, 1UL << (SIGUSR1 - 1)), put(16, (word)data), put(17, 0), put(18, 16384), put(20, 0), put(21, 1000);
}
static void locks(word *x) {
    for (int i = 0; i < 4; i++) put(i, draw(x) % 3);
    put(8, 0), put(9, 200000);
    for (int i = 0; i < 4; i++) put(16 + 3 * i, 0), put(17 + 3 * i, (word)(words + i)), put(18 + 3 * i, 2 | (draw(x) % 2) << 7);
}
static void times(word *x) {
    for (int i = 0; i < 8; i += 2) put(i, 0), put(i + 1, draw(x) % 200000);
    put(16, (word)(words + 20)), put(17, 8), put(20, 0);
}
static void requests(word *x) {
    (void)x;
    put(0, sizeof(word) * 40), put(1, (word)data), put(8, (word)htons(1) << 48), memcpy((void *)(words + 4), "lo", 3);
    put(2, 0x0050001800500018);
}
static void strings(word *x) {
    (void)x;
    for (int i = 0; i < 6; i++) put(i, (word)data + 64 * i);
    put(6, 0), put(8, (word)data), put(9, 0);
    strcpy(data + 4096, draw(x) % 8 ? "/bin/true" : "/bin/../bin/none");
}
static void clones(word *x) {
    static const word flags[] = {0, CLONE_VM | CLONE_VFORK, CLONE_FILES | CLONE_FS, CLONE_PIDFD, CLONE_PARENT_SETTID,
        CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID,
        CLONE_NEWNS, CLONE_NEWUSER | CLONE_NEWPID, CLONE_NEWUTS | CLONE_NEWIPC, CLONE_CLEAR_SIGHAND};
    put(0, flags[draw(x) % (sizeof flags / sizeof *flags)]);
    put(1, (word)(words + 60)), put(2, (word)(words + 61)), put(3, (word)(words + 62)), put(4, SIGCHLD);
    for (int i = 5; i < 11; i++) put(i, 0);
}
static void operations(word *x) {
    (void)x;
    for (int i = 0; i < 4; i++) put(i, (word)IPC_NOWAIT << 32 | 1UL << 16 | (draw(x) % 3) << 48);
    put(16, (word)(words + 24)), put(17, (word)(words + 32));
    struct iocb *one = (void *)(words + 24);
    *one = (struct iocb){.aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = file, .aio_buf = (word)data, .aio_nbytes = 100};
    put(40, 8), put(41, (word)(words + 44));
    for (int i = 0; i < 8; i++) put(44 + i, (word)(i == 7 ? BPF_RET : BPF_LD | BPF_IMM) | (word)i << 32);
}
static void paths(word *x) {
    static const char *all[] = {"/etc/none", "/../../../../etc/shadow", "/dev/zero", "/tmp/../tmp/./flips", "/proc/self/fd/0",
        "/proc/self/root/../../etc/passwd", "//", ""};
    strcpy(data, all[draw(x) % (sizeof all / sizeof *all)]);
    put(0, 0x2000000), put(1, 0), put(2, 0);
}

static void call_vectors(word *x) {
    int count = draw(x) % 10;
    struct iovec *v = (void *)words;
    switch (draw(x) % 8) {
    case 0: readv(zero, v, count); break;
    case 1: writev(null, v, count); break;
    case 2: preadv(file, v, count, draw(x) % 8192); break;
    case 3: pwritev(file, v, count, draw(x) % 8192); break;
    case 4: syscall(SYS_process_vm_readv, getpid(), v, 3, v + 3, 3, 0); break;
    case 5: vmsplice(ends[1], v, count, SPLICE_F_NONBLOCK); break;
    case 6: readv(ends[0], v, count); break;
    default: writev(pair[0], v, count); read(pair[1], data + 60000, 4096);
    }
}
static void call_message(word *x) {
    struct msghdr *m = (void *)words;
    int from = draw(x) % 2, flags = MSG_DONTWAIT | (draw(x) % 4 ? 0 : MSG_CMSG_CLOEXEC);
    int *sockets = draw(x) % 2 ? pair : packets;
    switch (draw(x) % 6) {
    case 0: case 1: sendmsg(sockets[from], m, flags); break;
    case 2: case 3: recvmsg(sockets[!from], m, flags); break;
    case 4: syscall(SYS_sendmmsg, datagram, m, draw(x) % 4, MSG_DONTWAIT); break;
    default: syscall(SYS_recvmmsg, draw(x) % 2 ? datagram : packets[from], m, draw(x) % 4, MSG_DONTWAIT, 0);
    }
    /* What it received. */
    if (draw(x) % 64 == 0) syscall(SYS_close_range, 40, -1, 0);
}
static void call_names(word *x) {
    void *name = (void *)(words + 2), *size = (void *)words;
    int s;
    switch (draw(x) % 9) {
    case 0: recvfrom(datagram, data, 100, MSG_DONTWAIT, name, size); break;
    case 1: getsockname(draw(x) % 2 ? datagram : pair[0], name, size); break;
    case 2: getpeername(pair[1], name, size); break;
    case 3: s = accept4(listener, name, size, SOCK_NONBLOCK); if (s >= 0) close(s); break;
    case 4: getsockopt(datagram, SOL_SOCKET, draw(x) % 60, name, size); break;
    case 5: sendto(datagram, data, 10, MSG_DONTWAIT, name, *(int *)size); break;
    case 6: s = socket(AF_INET, SOCK_DGRAM, 0); bind(s, name, *(int *)size); connect(s, name, *(int *)size); close(s); break;
    case 7: s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0); connect(s, name, *(int *)size); close(s); break;
    default: setsockopt(datagram, SOL_SOCKET, draw(x) % 60, name, *(int *)size);
    }
}
static void call_pollers(word *x) {
    struct epoll_event *e = (void *)(words + 8);
    int fds[] = {zero, pair[0], pair[1], events, ends[0], epoll}, fd = fds[draw(x) % 6];
    switch (draw(x) % 8) {
    case 0: case 1: epoll_ctl(epoll, 1 + draw(x) % 3, fd, e); break;
    case 2: case 3: epoll_wait(epoll, (void *)words, draw(x) % 6, 0); break;
    case 4: syscall(SYS_epoll_pwait2, epoll, words, 4, words + 40, words + 42, 8); break;
    case 5: poll((void *)(words + 16), draw(x) % 16, 0); break;
    case 6: syscall(SYS_ppoll, words + 16, draw(x) % 16, words + 40, words + 42, 8); break;
    default: syscall(SYS_pselect6, draw(x) % 64, words, words + 1, words + 2, words + 40, words + 48);
    }
}
static void call_masks(word *x) {
    switch (draw(x) % 7) {
    case 0: syscall(SYS_rt_sigaction, SIGUSR2, words, words + 4, 8); break;
    case 1: syscall(SYS_rt_sigaction, 34 + draw(x) % 30, words, words + 4, 8); break;
    case 2: syscall(SYS_rt_sigprocmask, draw(x) % 4, words + 8, words + 9, 8); break;
    case 3: syscall(SYS_sigaltstack, words + 16, words + 24); break;
    case 4: syscall(SYS_rt_sigtimedwait, words + 8, words + 30, words + 20, 8); break;
    case 5: syscall(SYS_rt_sigpending, words + 9, 8); syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, words + 30); break;
    default: { int fd = syscall(SYS_signalfd4, -1, words + 8, 8, O_NONBLOCK); read(fd, (void *)(words + 60), 128); close(fd); }
    }
}
static void call_locks(word *x) {
    volatile word *w = words + draw(x) % 4;
    static const int operations[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP, FUTEX_LOCK_PI,
        FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET, FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI};
    int operation = operations[draw(x) % 12] | draw(x) % 2 * FUTEX_PRIVATE_FLAG;
    int waits = (operation & 127) == FUTEX_WAIT || (operation & 127) == FUTEX_LOCK_PI || (operation & 127) == FUTEX_WAIT_BITSET || (operation & 127) == FUTEX_WAIT_REQUEUE_PI;
    if (draw(x) % 8 == 0) syscall(449, words + 16, 1 + draw(x) % 4, 0, words + 8, 1);
    else syscall(SYS_futex, w, operation, draw(x) % 3, waits ? (word)(words + 8) : draw(x) % 3, words + draw(x) % 4, draw(x));
}
static void call_times(word *x) {
    switch (draw(x) % 7) {
    case 0: syscall(SYS_nanosleep, words, words + 30); break;
    case 1: syscall(SYS_clock_nanosleep, draw(x) % 2, draw(x) % 2, words, words + 30); break;
    case 2: syscall(SYS_timerfd_settime, events, draw(x) % 4, words, words + 30); read(events, data, 8); break;
    case 3: syscall(SYS_timer_settime, timer, draw(x) % 2, words, words + 30); break;
    case 4: syscall(SYS_utimensat, AT_FDCWD, "/tmp/flips", words, 0); break;
    case 5: syscall(SYS_ppoll, 0, 0, words, words + 20, 8); break;
    default: syscall(SYS_pselect6, 0, 0, 0, 0, words, words + 16);
    }
}
static void call_requests(word *x) {
    static const unsigned kinds[] = {FIONREAD, FIONBIO, TCGETS, TCSETS, TCSETSW, TIOCGWINSZ, TIOCSWINSZ, TIOCSPGRP, TIOCSTI, 0x8912,
        0x8913, 0x8915, 0x8927, 0x8933, 0x5452, 0x5450, 0x5451, 0x5415, 0x40045431, 0x80045430, 0x8905, 0x5411, 0xb703};
    int fds[] = {pty, pair[0], datagram, file, zero, ends[0]};
    syscall(SYS_ioctl, fds[draw(x) % 6], kinds[draw(x) % 23], words + (draw(x) % 2 ? 0 : 4));
    if (draw(x) % 16 == 0) read(pty, data, 100);
    if (draw(x) % 16 == 0) write(pty, data, draw(x) % 100);
}
static void call_strings(word *x) {
    int status;
    pid_t pid = draw(x) % 4 ? vfork() : fork();
    if (pid == 0) {
        if (*x & 1024) syscall(SYS_execve, data + 4096, words, words + 8);
        else syscall(SYS_execveat, AT_FDCWD, data + 4096, words, words + 8, 0);
        _exit(0);
    }
    if (pid > 0) waitpid(pid, &status, 0);
}
static void call_clones(word *x) {
    long result;
    /* The child touches no stack: it may be its parent's. */
    asm volatile("syscall\n test %%rax, %%rax\n jnz 1f\n mov $60, %%eax\n xor %%edi, %%edi\n syscall\n 1:"
                 : "=a"(result) : "a"(435), "D"(words), "S"(64 + draw(x) % 4 * 8) : "rcx", "r11", "memory");
    while (waitpid(-1, 0, WNOHANG | __WALL) > 0) ;
    syscall(SYS_close_range, 40, -1, 0);
}
static void call_operations(word *x) {
    static aio_context_t context;
    switch (draw(x) % 5) {
    case 0: syscall(SYS_semtimedop, semget(77, 3, IPC_CREAT | 0600), words, draw(x) % 5, words + 60); break;
    case 1: if (!context) syscall(SYS_io_setup, 8, &context); syscall(SYS_io_submit, context, draw(x) % 3, words + 16); break;
    case 2: syscall(SYS_io_getevents, context, 0, 4, words + 64, words + 60); break;
    case 3: setsockopt(datagram, SOL_SOCKET, SO_ATTACH_FILTER, (void *)(words + 40), 16); break;
    default: syscall(SYS_msgsnd, msgget(78, IPC_CREAT | 0600), words, draw(x) % 200, IPC_NOWAIT); syscall(SYS_msgrcv, msgget(78, 0), words + 100, 200, 0, IPC_NOWAIT);
    }
}
static void call_paths(word *x) {
    int fd = -1;
    switch (draw(x) % 8) {
    case 0: fd = open(data, 0); break;
    case 1: fd = syscall(437, AT_FDCWD, data, words, 24); break;
    case 2: access(data, R_OK); break;
    case 3: syscall(SYS_stat, data, data + 8192); break;
    case 4: readlink(data, data + 8192, 100); break;
    case 5: fd = syscall(SYS_openat, AT_FDCWD, data, O_PATH); break;
    case 6: syscall(SYS_faccessat, AT_FDCWD, data, W_OK); break;
    default: syscall(SYS_statx, AT_FDCWD, data, 0, 0xfff, data + 8192);
    }
    if (fd >= 0) close(fd);
}
/* Buffers that go and come. */
static void call_buffers(word *x) {
    char *at = data + 65536 + draw(x) % 4 * 4096 + (draw(x) % 2 ? 4000 : 0);
    int size = draw(x) % 5000;
    switch (draw(x) % 9) {
    case 0: read(zero, at, size); break;
    case 1: write(null, at, size); break;
    case 2: pread(file, at, size, 0); break;
    case 3: pwrite(file, at, size, 0); break;
    case 4: write(ends[1], at, size); break;
    case 5: read(ends[0], at, size); break;
    case 6: syscall(SYS_stat, "/tmp", at); break;
    case 7: getrandom(at, size, 0); break;
    default: sendto(pair[0], at, size, MSG_DONTWAIT, 0, 0); recv(pair[1], at, size, MSG_DONTWAIT);
    }
}
static void unmap(word *x) {
    char *at = data + 65536 + draw(x) % 4 * 4096;
    switch (draw(x) % 4) {
    case 0: munmap(at, 4096); break;
    case 1: mprotect(at, 4096, draw(x) % 4); break;
    case 2: madvise(at, 4096, MADV_DONTNEED); break;
    }
    mmap(at, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static const struct kind { const char *name; void (*good)(word *), (*call)(word *); int most; } kinds[] = {
    {"iovec", vectors, call_vectors, 16}, {"msghdr", message, call_message, 110}, {"sockaddr", names, call_names, 8},
    {"epoll_event", pollers, call_pollers, 50}, {"sigaction", masks, call_masks, 40}, {"futex", locks, call_locks, 32},
    {"timespec", times, call_times, 24}, {"ioctl", requests, call_requests, 12}, {"argv", strings, call_strings, 10},
    {"clone_args", clones, call_clones, 12}, {"operations", operations, call_operations, 62}, {"paths", paths, call_paths, 3},
    {"buffers", unmap, call_buffers, 0},
};

struct work { const struct kind *kind; word seed; };
static void *flipper(void *argument) {
    struct work work = *(struct work *)argument;
    while (!over) {
        work.kind->good(&work.seed);
        /* A word, or half of one, that calls are not given; sometimes the text. */
        for (int i = draw(&work.seed) % 3; i > 0 && work.kind->most; i--) {
            int at = draw(&work.seed) % work.kind->most;
            if (draw(&work.seed) % 2) words[at] = odd(&work.seed);
            else ((volatile uint32_t *)words)[2 * at + draw(&work.seed) % 2] = odd(&work.seed);
        }
        if (draw(&work.seed) % 8 == 0) ((volatile char *)data)[draw(&work.seed) % 4200] = draw(&work.seed);
    }
    return 0;
}
static void *caller(void *argument) {
    struct work work = *(struct work *)argument;
    while (!over) work.kind->call(&work.seed);
    return 0;
}
static void nothing(int s) { (void)s; }
static void prepare(void) {
    struct rlimit limit = {200, 200};
    setrlimit(RLIMIT_NOFILE, &limit);
    zero = open("/dev/zero", O_RDWR);
    null = open("/dev/null", O_RDWR);
    file = open("/tmp/flips", O_RDWR | O_CREAT, 0600);
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, packets);
    struct sockaddr_in name = {AF_INET, htons(7000), {htonl(INADDR_LOOPBACK)}};
    datagram = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    bind(datagram, (void *)&name, sizeof name);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(listener, (void *)&name, sizeof name);
    listen(listener, 5);
    epoll = epoll_create1(0);
    events = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    pty = open("/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY);
    pipe2(ends, O_NONBLOCK);
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    timer_create(CLOCK_MONOTONIC, &none, &timer);
    for (int s = 1; s <= 64; s++) if (s != SIGCHLD && s != SIGALRM) signal(s, SIG_IGN);
    struct sigaction action = {.sa_handler = nothing};
    sigaction(SIGALRM, &action, 0);
}
static long clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static int run(const struct kind *kind, long milliseconds) {
    pthread_t threads[3];
    struct work work[3];
    prepare();
    /* Programs with odd arguments complain. */
    dup2(null, 2);
    for (int i = 0; i < 3; i++) {
        work[i] = (struct work){kind, (seed + 88172645463325252UL) * (i + 1) + (kind - kinds)};
        pthread_create(&threads[i], 0, i ? caller : flipper, &work[i]);
    }
    for (long end = clock_ms() + milliseconds; clock_ms() < end;) {
        usleep(4000);
        for (int j = 1; j < 3; j++) pthread_kill(threads[j], SIGALRM);
    }
    /* Whoever waits for good ends with it. */
    _exit(0);
}
int main(int argc, char **argv) {
    long milliseconds = argc > 1 ? atol(argv[1]) : 250;
    seed = argc > 2 ? strtoul(argv[2], 0, 10) : 0;
    words = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    data = mmap(0, 65536 + 4 * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) return run(&kinds[i], milliseconds);
        /* One that a clone's end has stopped is ended, too. */
        for (long waited = 0; waitpid(pid, &status, WNOHANG | __WALL) != pid; waited += 5) {
            usleep(5000);
            if (waited > milliseconds + 20000 || kinds[i].call == call_clones && waited > 4 * milliseconds) kill(pid, SIGKILL);
        }
        int known = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (kinds[i].call == call_clones) known |= WIFSIGNALED(status);
        if (!known) printf("%s: status %x\n", kinds[i].name, status);
    }
    puts("done");
    return 0;
}
