// Which error a call fails with, what pipes take of memory, what selects tell of their time,
// signals that are waited for though nobody holds them back, how nice one may be.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

static char bytes[1 << 18] __attribute__((aligned(4096))), back[1 << 18];

static void memory_into_pipes(void) {
    int p[2];
    pipe(p);
    for (int i = 0; i < sizeof bytes; i++) bytes[i] = i * 7 + i / 4096;
    struct iovec all = {bytes, 1 << 17}, none = {bytes, 0}, bad = {(void *)8, 4096};
    // What doesn't fit is not waited for.
    P("memory %ld", E(vmsplice(p[1], &all, 1, 0)));
    P(" more %ld", E(vmsplice(p[1], &all, 1, SPLICE_F_NONBLOCK)));
    P(" read %ld", E(read(p[0], back, sizeof back)));
    P(" same %d", memcmp(bytes, back, 65536));
    P(" none %ld bad %ld", E(vmsplice(p[1], &none, 1, 0)), E(vmsplice(p[1], &bad, 1, 0)));
    struct iovec two[2] = {{bytes, 4096}, {bytes + 8192, 4096}};
    P(" two %ld", E(vmsplice(p[1], two, 2, 0)));
    P(" read %ld\n", E(read(p[0], back, sizeof back)));
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    while (write(p[1], bytes, 4096) > 0);
    pid_t child = fork();
    if (!child) {
        usleep(50000);
        read(p[0], back, 65536);
        _exit(0);
    }
    // It is the call that says whether it waits, not the pipe.
    P("waits %d\n", E(vmsplice(p[1], &all, 1, 0)) > 0);
    waitpid(child, 0, 0);
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    P("nobody reads %ld\n", E(vmsplice(p[1], &all, 1, 0)));
    close(p[1]);
}

/* What a file system has left, by its device. */
static void left(void) {
    struct { int blocks; unsigned long files; char names[12]; } told = {.names = "some names"};
    struct stat s;
    stat("/", &s);
    P("ustat %ld", E(syscall(SYS_ustat, (unsigned)s.st_dev, &told)));
    P(" %d %d '%s'", told.blocks != 0, told.files > 0, told.names);
    P(" bad %ld %ld\n", E(syscall(SYS_ustat, -1, &told)), E(syscall(SYS_ustat, (unsigned)s.st_dev, 8)));
}

static void files(void) {
    int f = open("/tmp/trifle", O_CREAT | O_RDWR | O_TRUNC, 0644), d = open("/tmp", O_RDONLY);
    int r = open("/tmp/trifle", O_RDONLY), a = open("/tmp/trifle", O_WRONLY | O_APPEND);
    int n = open("/tmp/trifle", O_PATH), p[2], arg;
    pipe(p);
    P("sendfile %ld %ld %ld %ld\n", E(sendfile(r, f, 0, 1)), E(sendfile(f, d, 0, 1)),
      E(sendfile(a, f, 0, 1)), E(sendfile(f, a, 0, 1)));
    P("splice %ld %ld\n", E(splice(d, 0, p[1], 0, 1, 0)), E(splice(n, 0, p[1], 0, 1, 0)));
    int fds[] = {epoll_create1(0), eventfd(0, 0), timerfd_create(CLOCK_MONOTONIC, 0),
                 inotify_init(), socket(AF_UNIX, SOCK_STREAM, 0), p[0], d, f, n};
    P("readahead");
    for (int i = 0; i < 9; i++) P(" %ld", E(readahead(fds[i], 0, 4096)));
    P("\nadvice");
    for (int i = 4; i < 9; i++)
        P(" %d %d %d", posix_fadvise(fds[i], 0, 0, 0), posix_fadvise(fds[i], 0, 0, 17),
          posix_fadvise(fds[i], 0, -1, 0));
    P("\nplaced %ld %ld %ld %ld\n", E(pread(p[1], back, 1, 0)), E(pwrite(p[0], back, 1, 0)),
      E(pread(p[1], back, 1, -1)), E(pwrite(r, back, 1, 0)));
    struct iovec one = {back, 1};
    P("vectors %ld %ld %ld\n", E(preadv(p[1], &one, 1, 0)), E(pwritev(p[0], &one, 1, 0)),
      E(pwritev2(p[0], &one, 1, 0, 0)));
    struct open_how how = {.flags = O_RDONLY, .resolve = -1};
    P("open %ld", E(syscall(SYS_openat2, AT_FDCWD, "/tmp/trifle", &how, sizeof how)));
    seteuid(1000);
    P(" %ld", E(open("/tmp/trifle", O_RDONLY | O_NOATIME)));
    seteuid(0);
    P(" %d\n", open("/tmp/trifle", O_RDONLY | O_NOATIME) > 0);
    // What is only a name.
    struct pollfd poll_it = {n, POLLIN};
    P("name %ld %ld %ld", E(ioctl(n, FIONREAD, &arg)), E(mmap(0, 1, PROT_READ, MAP_PRIVATE, n, 0)),
      E(fgetxattr(n, "user.x", 0, 0)));
    P(" %ld %ld %ld", E(lseek(n, 0, SEEK_SET)), E(ftruncate(n, 0)), E(flock(n, LOCK_SH)));
    P(" %ld %ld", E(pread(n, back, 1, 0)), E(poll(&poll_it, 1, 0)));
    P(" %x\n", poll_it.revents);
    struct timeval past[2] = {{1000, 0}, {2000, 0}}, odd[2] = {{0, 1000000}, {0, 0}};
    struct timespec keep[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}}, now[2] = {{1, 1}, {1, 1}};
    P("times %ld %ld %ld", E(syscall(SYS_utimes, 0, past)), E(syscall(SYS_utimes, 8, odd)),
      E(syscall(SYS_utimes, "/tmp/no", 8)));
    P(" %ld %ld", E(syscall(SYS_futimesat, f, 0, past)), E(syscall(SYS_futimesat, AT_FDCWD, 0, past)));
    P(" %ld %ld", E(syscall(SYS_utimensat, AT_FDCWD, 0, now, 0)), E(syscall(SYS_utimensat, f, 0, now, 0)));
    P(" %ld %ld\n", E(syscall(SYS_utimensat, AT_FDCWD, "/tmp/no", keep, 0)),
      E(syscall(SYS_utimensat, AT_FDCWD, "/tmp/trifle", now, 0x8000)));
    unlink("/tmp/trifle");
}

static void pairs(void) {
    int all[][3] = {{2, 1, 0}, {2, 1, 1}, {2, 1, 6}, {2, 2, 6}, {2, 2, 17}, {10, 1, 6}, {10, 2, 6},
                    {2, 5, 0}, {0, 1, 0}, {16, 2, 0}, {16, 1, 0}, {77, 1, 0}};
    P("pairs");
    for (int i = 0; i < 12; i++) {
        int s[2];
        P(" %ld", E(socketpair(all[i][0], all[i][1], all[i][2], s)));
    }
    P("\n");
}

static void handled(int number) {}
static int taken(int number, int in_ms) {
    // A signal that nobody holds back, which has a handler: who waits for it gets it.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pid_t own = getpid(), child = fork();
    if (!child) {
        for (;;) {
            usleep(in_ms * 1000);
            if (getppid() != own) _exit(0);
            kill(own, number);
        }
    }
    siginfo_t info = {0};
    int got = E(sigwaitinfo(&set, &info));
    P(" %d %d", got, info.si_pid == child);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    return got;
}

static void waited_for(void) {
    struct sigaction action = {.sa_handler = handled};
    sigaction(SIGUSR1, &action, 0);
    sigaction(SIGRTMIN + 3, &action, 0);
    P("taken");
    taken(SIGUSR1, 20);
    taken(SIGUSR1, 20);
    taken(SIGRTMIN + 3, 20);
    struct timespec soon = {0, 1000000};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    P(" none %ld\n", E(sigtimedwait(&set, 0, &soon)));
}

static void queued(void) {
    struct rlimit old, two = {2, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    getrlimit(RLIMIT_SIGPENDING, &old);
    two.rlim_cur = 0, two.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_SIGPENDING, &two);
    union sigval value = {0};
    pid_t pid = getpid();
    P("queued %ld %ld %ld %ld\n", E(syscall(SYS_tgkill, pid, pid, SIGRTMIN)),
      E(sigqueue(pid, SIGRTMIN, value)), E(kill(pid, SIGRTMIN)),
      E(syscall(SYS_tgkill, pid, pid, SIGUSR1)));
    setrlimit(RLIMIT_SIGPENDING, &old);
    signal(SIGRTMIN, SIG_IGN), signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, 0);
}

static void timers(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    timer_t timer;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, 0);
    timer_create(CLOCK_REALTIME, &event, &timer);
    int id = (int)(long)timer;
    P("timers %ld %ld", E(syscall(SYS_timer_settime, id, 0, 0, 0)), E(syscall(SYS_timer_settime, id, 0, 8, 0)));
    // It was to fire every nanosecond for some seconds.
    struct itimerspec past = {.it_interval = {0, 1}};
    clock_gettime(CLOCK_REALTIME, &past.it_value);
    past.it_value.tv_sec -= 5;
    timer_settime(timer, TIMER_ABSTIME, &past, 0);
    sigwaitinfo(&set, 0);
    P(" overrun %d\n", timer_getoverrun(timer) == 0x7fffffff);
    timer_delete(timer);
}

static void rest(void) {
    struct timeval time = {2, 0};
    int p[2];
    pipe(p);
    write(p[1], "x", 1);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    P("rest %ld", E(syscall(SYS_select, p[0] + 1, &set, 0, 0, &time)));
    P(" %d", time.tv_sec == 1 && time.tv_usec > 500000);
    FD_ZERO(&set);
    time = (struct timeval){0, 20000};
    P(" %ld", E(syscall(SYS_select, 0, 0, 0, 0, &time)));
    P(" %ld %ld", time.tv_sec, time.tv_usec);
    time = (struct timeval){0, 1000001};
    FD_SET(p[0], &set);
    P(" %ld", E(syscall(SYS_select, p[0] + 1, &set, 0, 0, &time)));
    P(" %d", time.tv_sec == 0 && time.tv_usec > 500000);
    // A signal ends it: the rest is told.
    struct sigaction action = {.sa_handler = handled, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, 0);
    /* Again and again: the first one may come before the wait. */
    struct itimerval soon = {{0, 20000}, {0, 20000}}, never = {{0}};
    setitimer(ITIMER_REAL, &soon, 0);
    time = (struct timeval){50, 0};
    P(" %ld", E(syscall(SYS_select, 0, 0, 0, 0, &time)));
    setitimer(ITIMER_REAL, &never, 0);
    P(" %d\n", time.tv_sec > 20 && time.tv_sec < 50);
    struct timespec fine = {3, 0};
    struct pollfd one = {p[0], POLLIN};
    P("rest %ld", E(syscall(SYS_ppoll, &one, 1, &fine, 0, 8)));
    P(" %d", fine.tv_sec == 2);
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    P(" %ld", E(syscall(SYS_pselect6, p[0] + 1, &set, 0, 0, &fine, 0)));
    P(" %d", fine.tv_sec == 2);
    personality(STICKY_TIMEOUTS);
    time = (struct timeval){2, 0};
    FD_SET(p[0], &set);
    P(" sticky %ld", E(syscall(SYS_select, p[0] + 1, &set, 0, 0, &time)));
    P(" %ld %ld\n", time.tv_sec, time.tv_usec);
    close(p[0]), close(p[1]);
}

static void personalities(void) {
    unsigned all[] = {0, 0x20000, 0x800000, 0x8000000, 0x1000000, 0x2000000, 0x4100001, 9, 8};
    P("personality");
    struct utsname name;
    for (int i = 0; i < 9; i++) {
        P(" %d", E(personality(all[i])) >= 0);
        uname(&name);
        P(" %d %d %s", personality(-1) == all[i], strncmp(name.release, "2.6.", 4) == 0, name.machine);
    }
    personality(0);
    P("\n");
}

static void nice_ones(void) {
    P("nice %ld", E(setpriority(PRIO_PROCESS, 0, -5)));
    P(" %d", getpriority(PRIO_PROCESS, 0));
    P(" %ld", E(nice(-20)));
    P(" %d", getpriority(PRIO_PROCESS, 0));
    if (!fork()) {
        setuid(1000);
        P(" %ld", E(setpriority(PRIO_PROCESS, 0, -20)));
        P(" %ld", E(setpriority(PRIO_PROCESS, 0, 5)));
        P(" %ld", E(setpriority(PRIO_PROCESS, 0, 4)));
        _exit(0);
    }
    wait(0);
    struct rlimit some = {15, 15};
    // Who may not raise it here sees what it would be.
    if (setrlimit(RLIMIT_NICE, &some)) P(" limit 0 -13");
    else if (!fork()) {
        setuid(1000);
        setpriority(PRIO_PROCESS, 0, 10);
        P(" limit %ld", E(setpriority(PRIO_PROCESS, 0, 5)));
        P(" %ld", E(setpriority(PRIO_PROCESS, 0, 4)));
        _exit(0);
    }
    wait(0);
    setpriority(PRIO_PROCESS, 0, 0);
    struct sched_param param = {0};
    P("\nscheduling %ld %ld", E(syscall(SYS_sched_getparam, 0, 0)), E(syscall(SYS_sched_setparam, 0, 0)));
    P(" %ld %ld\n", E(syscall(SYS_sched_setscheduler, 0, -1, &param)), E(syscall(SYS_sched_setscheduler, 0, 0, 0)));
}

static void nowhere(void) {
    // What tells of events neither gives nor takes content; an empty pipe is not waited for.
    int p[2], null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
    pipe(p);
    int all[] = {epoll_create1(0), eventfd(1, 0), timerfd_create(CLOCK_MONOTONIC, 0)};
    P("nowhere");
    for (int i = 0; i < 3; i++)
        P(" %ld %ld", E(splice(p[0], 0, all[i], 0, 1, 0)), E(splice(all[i], 0, p[1], 0, 1, 0)));
    P(" zero %ld", E(splice(zero, 0, p[1], 0, 1, 0)));
    P(" null %ld\n", E(splice(p[0], 0, null, 0, 1, 0)));
}

static void nameless(void) {
    int p[2];
    pipe(p);
    int all[] = {p[0], p[1], socket(AF_UNIX, SOCK_STREAM, 0), epoll_create1(0), eventfd(0, 0)};
    for (int i = 0; i < 5; i++) {
        struct statfs s;
        P("nameless %ld", E(fstatfs(all[i], &s)));
        P(" %lx %ld %ld %ld %lx %ld\n", s.f_type, s.f_bsize, s.f_namelen, s.f_frsize, s.f_flags, s.f_files);
    }
    P("bad %ld\n", E(fstatfs(p[0], (void *)8)));
}

static void asleep(void) {
    // Who waits for a futex that processes share sleeps.
    int *word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (!child) {
        while (!*word) syscall(SYS_futex, word, 0, 0, 0);
        _exit(0);
    }
    P("asleep %c", until_asleep(child, child));
    *word = 1;
    P(" %ld\n", E(syscall(SYS_futex, word, 1, 1)));
    waitpid(child, 0, 0);
}

static void put_together(int family) {
    int to = socket(family, SOCK_DGRAM, 0), s = socket(family, SOCK_DGRAM, 0), on = 1, off = 0;
    struct sockaddr_storage name = {.ss_family = family};
    socklen_t length = sizeof name;
    bind(to, (void *)&name, family == AF_INET ? 16 : 28);
    getsockname(to, (void *)&name, &length);
    P("together %ld", E(sendto(s, "ab", 2, MSG_MORE, (void *)&name, length)));
    P(" %ld", E(recv(to, back, 100, MSG_DONTWAIT)));
    P(" %ld", E(sendto(s, "cde", 3, MSG_MORE, 0, 0)));
    P(" %ld", E(sendto(s, "f", 1, 0, (void *)&name, length)));
    P(" %ld %.6s", E(recv(to, back, 100, MSG_DONTWAIT)), back);
    P(" %ld", E(recv(to, back, 100, MSG_DONTWAIT)));
    connect(s, (void *)&name, length);
    setsockopt(s, IPPROTO_UDP, 1, &on, sizeof on);
    P(" cork %ld %ld", E(send(s, "12", 2, 0)), E(send(s, "34", 2, 0)));
    P(" %ld", E(recv(to, back, 100, MSG_DONTWAIT)));
    setsockopt(s, IPPROTO_UDP, 1, &off, sizeof off);
    P(" %ld", E(recv(to, back, 100, MSG_DONTWAIT)));
    P(" large %ld", E(send(s, bytes, 60000, MSG_MORE)));
    P(" %ld", E(send(s, bytes, 60000, 0)));
    P(" %ld", E(send(s, "x", 1, 0)));
    P(" %ld\n", E(recv(to, back, sizeof back, MSG_DONTWAIT)));
    close(to), close(s);
}

static void roots(void) {
    if (!fork()) {
        unshare(CLONE_NEWNS);
        mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
        mkdir("/tmp/root", 0755);
        mount("none", "/tmp/root", "tmpfs", 0, 0);
        chroot("/tmp/root"), chdir("/");
        mkdir("/new", 0755), mkdir("/new/old", 0755);
        P("roots %ld", E(syscall(SYS_pivot_root, "/new", "/new/old")));
        mount("none", "/new", "tmpfs", 0, 0);
        mkdir("/new/old", 0755), mkdir("/new/sub", 0755);
        P(" %ld", E(syscall(SYS_pivot_root, "/new", "/")));
        P(" %ld", E(syscall(SYS_pivot_root, "/new/sub", "/new/sub")));
        P(" %ld\n", E(syscall(SYS_pivot_root, "/new", "/new/old")));
        _exit(0);
    }
    wait(0);
    rmdir("/tmp/root");
}

static void locked(void) {
    int id = shmget(IPC_PRIVATE, 8192, 0600);
    struct shmid_ds about;
    struct shm_info info;
    char *at = shmat(id, 0, 0);
    P("locked %ld", E(shmctl(id, SHM_LOCK, 0)));
    shmctl(id, IPC_STAT, &about);
    P(" %o", about.shm_perm.mode);
    P(" %ld", E(shmctl(id, SHM_UNLOCK, 0)));
    shmctl(id, IPC_STAT, &about);
    P(" %o", about.shm_perm.mode);
    *at = 1;
    P(" %d", E(shmctl(0, SHM_INFO, (void *)&info)) >= 0);
    P(" %ld %ld", info.shm_tot, info.shm_rss);
    if (!fork()) {
        setuid(1000);
        P(" %ld\n", E(shmctl(id, SHM_LOCK, 0)));
        _exit(0);
    }
    wait(0);
    shmctl(id, IPC_RMID, 0);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    P("layers %ld\n", E(setsockopt(s, IPPROTO_TCP, 31, "nothing", 7)));
}

static void places(void) {
    // The second set in a place: its id leads to the place.
    int first = semget(IPC_PRIVATE, 1, 0600);
    struct semid_ds about;
    P("places %d", E(semctl(first, 0, SEM_STAT, &about)) == first);
    semctl(first, 0, IPC_RMID);
    int second = semget(IPC_PRIVATE, 1, 0600);
    P(" %d\n", E(semctl(second, 0, SEM_STAT, &about)) == second);
    semctl(second, 0, IPC_RMID);
}

/* Where nothing is mapped from, an offset has to be one of a page, too. */
static void offsets(void) {
    void *odd = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 4096);
    P("offset %d", odd != MAP_FAILED);
    for (long at = 1; at < 4096; at += 1365)
        P(" %ld", E(syscall(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, at)));
    P("\n");
    munmap(odd, 4096);
}

int main(void) {
    memory_into_pipes();
    left();
    files();
    pairs();
    waited_for();
    queued();
    timers();
    rest();
    personalities();
    nice_ones();
    places();
    nowhere();
    nameless();
    asleep();
    put_together(AF_INET);
    put_together(AF_INET6);
    roots();
    locked();
    offsets();
    P("done\n");
}
