/* Resource limits, robust mutexes, signalfd, scheduling. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static volatile sig_atomic_t hits;
static void on(int s) { (void)s; hits++; }
static pthread_mutex_t *m;
static void *hold(void *p) { pthread_mutex_lock(m); return p; }
int main(void) {
    int st;
    struct rlimit r = {20, 100};
    P("set %ld", E(setrlimit(RLIMIT_NOFILE, &r)));
    getrlimit(RLIMIT_NOFILE, &r);
    P(" %d %d", (int)r.rlim_cur, (int)r.rlim_max);
    int n = 0, fd;
    while ((fd = dup(0)) >= 0) n = fd;
    P(" last %d error %d", n, errno);
    P(" dup2 %ld dupfd %ld poll %ld\n", E(dup2(0, 20)), E(fcntl(0, F_DUPFD, 20)), E(poll(0, 0, 0)));
    for (int i = 3; i < 20; i++) close(i);
    r = (struct rlimit){50, 20};
    P("bad %ld %ld\n", E(setrlimit(RLIMIT_NOFILE, &r)), E(setrlimit(99, &r)));
    /* the size of files */
    signal(SIGXFSZ, on);
    fd = open("/tmp/limits", O_CREAT | O_TRUNC | O_RDWR, 0600);
    r = (struct rlimit){10, RLIM_INFINITY};
    P("size %ld", E(setrlimit(RLIMIT_FSIZE, &r)));
    P(" part %ld", E(write(fd, "0123456789abc", 13)));
    P(" none %ld", E(write(fd, "x", 1)));
    P(" signals %d start %ld\n", hits, E(pwrite(fd, "x", 1, 0)));
    r.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &r);
    unlink("/tmp/limits");
    fd = open("/dev/null", O_RDWR);
    P("null %ld %ld\n", E(lseek(fd, 7, SEEK_SET)), E(lseek(fd, 0, SEEK_END)));
    close(fd);
    /* processor time */
    pid_t p = fork();
    if (!p) {
        signal(SIGXCPU, on);
        r = (struct rlimit){1, 2};
        setrlimit(RLIMIT_CPU, &r);
        hits = 0;
        for (;;) if (hits == 1) { hits++; P("told\n"); }
    }
    struct rusage u;
    wait4(p, &st, 0, &u);
    P("cpu killed %d after %d\n", WTERMSIG(st), u.ru_utime.tv_sec + u.ru_stime.tv_sec >= 1);
    /* cores */
    for (int core = 0; core < 2; core++) {
        p = fork();
        if (!p) {
            chdir("/proc");
            r = (struct rlimit){core ? 1 << 20 : 0, 1 << 20};
            setrlimit(RLIMIT_CORE, &r);
            if (!core) abort();
            _exit(0);
        }
        siginfo_t si;
        waitid(P_PID, p, &si, WEXITED | WNOWAIT);
        waitpid(p, &st, 0);
        P("core %d %d %d\n", st, si.si_code, si.si_status);
    }
    struct rlimit old;
    P("prlimit %ld %ld", E(prlimit(0, RLIMIT_STACK, 0, &old)), E(prlimit(1234567, RLIMIT_STACK, 0, &old)));
    p = fork();
    if (!p) { getrlimit(RLIMIT_NOFILE, &r); _exit(r.rlim_cur); }
    waitpid(p, &st, 0);
    P(" inherited %d\n", WEXITSTATUS(st));
    /* a dead thread's mutex, a dead process's mutex */
    m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(m, &a);
    pthread_t t;
    pthread_create(&t, 0, hold, 0);
    pthread_join(t, 0);
    P("thread died %d", pthread_mutex_lock(m));
    P(" consistent %d unlock %d\n", pthread_mutex_consistent(m), pthread_mutex_unlock(m));
    for (int how = 0; how < 2; how++) {
        int pipes[2];
        pipe(pipes);
        p = fork();
        if (!p) {
            pthread_mutex_lock(m);
            write(pipes[1], "x", 1);
            nanosleep(&(struct timespec){0, 50000000}, 0);
            if (how) kill(getpid(), SIGKILL);
            _exit(0);
        }
        char c;
        read(pipes[0], &c, 1);
        P("process died %d", pthread_mutex_lock(m));
        P(" consistent %d unlock %d\n", pthread_mutex_consistent(m), pthread_mutex_unlock(m));
        waitpid(p, &st, 0);
        close(pipes[0]); close(pipes[1]);
    }
    /* signals that are read */
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1); sigaddset(&s, SIGRTMIN); sigaddset(&s, SIGCHLD);
    sigprocmask(SIG_BLOCK, &s, 0);
    int sf = signalfd(-1, &s, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo si[4];
    struct pollfd pf = {sf, POLLIN};
    P("signalfd %ld poll %d", E(read(sf, si, sizeof si)), poll(&pf, 1, 0));
    kill(getpid(), SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42});
    P(" poll %d", poll(&pf, 1, 0));
    P(" read %ld short %ld", E(read(sf, si, sizeof si)), E(read(sf, si, 10)));
    P(": %d %d pid %d, %d %d value %d\n", si[0].ssi_signo, si[0].ssi_code, si[0].ssi_pid == getpid(), si[1].ssi_signo, si[1].ssi_code, si[1].ssi_int);
    p = fork();
    if (!p) _exit(7);
    P("child %d", poll(&pf, 1, 10000));
    P(" %ld", E(read(sf, si, sizeof si)));
    P(" %d %d %d %d\n", si[0].ssi_signo, si[0].ssi_code, si[0].ssi_status, si[0].ssi_pid == p);
    waitpid(p, &st, 0);
    sigdelset(&s, SIGUSR1);
    P("changed %d", signalfd(sf, &s, 0) == sf);
    kill(getpid(), SIGUSR1);
    P(" %ld bad %ld\n", E(read(sf, si, sizeof si)), E(signalfd(0, &s, 0)));
    /* scheduling */
    cpu_set_t c;
    P("affinity %d", sched_getaffinity(0, sizeof c, &c));
    CPU_ZERO(&c);
    P(" none %ld", E(sched_setaffinity(0, sizeof c, &c)));
    CPU_SET(0, &c);
    P(" set %ld", E(sched_setaffinity(0, sizeof c, &c)));
    sched_getaffinity(0, sizeof c, &c);
    P(" %d\n", CPU_COUNT(&c));
    struct sched_param sp = {0};
    P("policy %d batch %ld now %d bad %ld %ld\n", sched_getscheduler(0), E(sched_setscheduler(0, SCHED_BATCH, &sp)), 0, E(sched_setscheduler(0, 99, &sp)), E(sched_setscheduler(0, SCHED_FIFO, &sp)));
    P("now %d max %d min %d\n", sched_getscheduler(0), sched_get_priority_max(SCHED_RR), sched_get_priority_min(SCHED_RR));
    P("nice %ld", E(setpriority(PRIO_PROCESS, 0, 5)));
    errno = 0;
    P(" %d none %ld bad %ld\n", getpriority(PRIO_PROCESS, 0), E(getpriority(PRIO_PROCESS, 1234567)), E(getpriority(9, 0)));
    long cmds = syscall(SYS_membarrier, 0, 0);
    P("membarrier %d %ld %ld\n", (cmds & 24) == 24, E(syscall(SYS_membarrier, 16, 0)), E(syscall(SYS_membarrier, 8, 0)));
    /* a child has its parent's limit of processor time */
    p = fork();
    if (!p) {
        r = (struct rlimit){1, 1};
        setrlimit(RLIMIT_CPU, &r);
        p = fork();
        if (!p) for (;;);
        wait4(p, &st, 0, 0);
        _exit(WTERMSIG(st));
    }
    wait4(p, &st, 0, 0);
    P("child %d\n", WEXITSTATUS(st));
    /* sizes of pipes */
    int ends[2];
    pipe(ends);
    P("pipe %ld", E(fcntl(ends[0], F_GETPIPE_SZ)));
    P(" page %ld %ld", E(fcntl(ends[1], F_SETPIPE_SZ, 1)), E(fcntl(ends[0], F_GETPIPE_SZ)));
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    char piece[5000] = {0};
    struct pollfd po = {ends[1], POLLOUT, 0};
    P(" takes %ld room %d", E(write(ends[1], piece, sizeof piece)), poll(&po, 1, 0));
    P(" grown %ld room %d takes %ld", E(fcntl(ends[1], F_SETPIPE_SZ, 9000)), poll(&po, 1, 0), E(write(ends[1], piece, sizeof piece)));
    P(" busy %ld huge %d\n", E(fcntl(ends[0], F_SETPIPE_SZ, 4096)), E(fcntl(ends[0], F_SETPIPE_SZ, 1u << 31)) < 0);
    int plain = open("/", O_RDONLY);
    P("no pipe %ld %ld\n", E(fcntl(plain, F_GETPIPE_SZ)), E(fcntl(plain, F_SETPIPE_SZ, 4096)));
    P("done\n");
}
