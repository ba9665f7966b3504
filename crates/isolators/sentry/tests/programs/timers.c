/* Timers, clocks, interrupted sleeps, processor time. Prints nothing that depends on the
   machine's pace. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static volatile sig_atomic_t hits, code, value, thread_of;
static void on(int s, siginfo_t *i, void *c) { (void)s; (void)c; code = i->si_code; value = i->si_value.sival_int; thread_of = gettid(); hits++; }
static void set(int s, int flags) {
    struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&a.sa_mask);
    sigaction(s, &a, 0);
}
static int64_t now(clockid_t c) { struct timespec t; clock_gettime(c, &t); return t.tv_sec * 1000000000LL + t.tv_nsec; }
static struct timespec at(int64_t n) { return (struct timespec){n / 1000000000, n % 1000000000}; }
static void burn(clockid_t c, int64_t n) { int64_t end = now(c) + n; volatile int x = 0; while (now(c) < end) for (int i = 0; i < 10000; i++) x++; }
static void *burner(void *p) { burn(CLOCK_THREAD_CPUTIME_ID, 30000000); *(int64_t *)p = now(CLOCK_THREAD_CPUTIME_ID); return 0; }
static void *idler(void *p) { clockid_t *c = p; pthread_getcpuclockid(pthread_self(), c); pause(); return 0; }
int main(void) {
    int st;
    /* alarm */
    set(SIGALRM, 0);
    P("alarm %u %u", alarm(100), alarm(50));
    P(" %u\n", alarm(0));
    /* Again and again: the first one may come before the sleep. */
    struct itimerval v = {{0, 20000}, {0, 20000}}, o;
    int64_t t = now(CLOCK_MONOTONIC);
    P("setitimer %ld", E(setitimer(ITIMER_REAL, &v, 0)));
    P(" sleep %ld", E(nanosleep(&(struct timespec){10, 0}, 0)));
    P(" hits %d code %d soon %d\n", hits > 0, code, now(CLOCK_MONOTONIC) - t >= 20000000);
    v = (struct itimerval){{0, 5000}, {0, 5000}};
    hits = 0;
    setitimer(ITIMER_REAL, &v, 0);
    while (hits < 5) pause();
    getitimer(ITIMER_REAL, &o);
    P("again interval %ld left %d\n", (long)o.it_interval.tv_usec, o.it_value.tv_sec == 0 && o.it_value.tv_usec > 0 && o.it_value.tv_usec <= 5000);
    memset(&v, 0, sizeof v);
    setitimer(ITIMER_REAL, &v, 0);
    P("bad %ld %ld\n", E(setitimer(7, &v, 0)), E(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, 0)));
    /* processor time */
    for (int w = ITIMER_VIRTUAL; w <= ITIMER_PROF; w++) {
        set(w == ITIMER_PROF ? SIGPROF : SIGVTALRM, 0);
        v = (struct itimerval){{0, 0}, {0, 30000}};
        hits = 0;
        setitimer(w, &v, 0);
        int64_t c = now(CLOCK_PROCESS_CPUTIME_ID);
        nanosleep(&(struct timespec){0, 60000000}, 0);
        P("asleep %d", hits);
        volatile int x = 0;
        while (!hits) x++;
        P(" used %d code %d\n", now(CLOCK_PROCESS_CPUTIME_ID) - c >= 20000000, code);
    }
    /* interrupted sleeps */
    set(SIGUSR1, SA_RESTART);
    pid_t p = fork();
    if (!p) { until_asleep(getppid(), getppid()); kill(getppid(), SIGUSR1); _exit(0); }
    struct timespec left = {0};
    P("interrupted %ld", E(nanosleep(&(struct timespec){100, 0}, &left)));
    P(" left %d\n", left.tv_sec >= 60 && left.tv_sec < 100);
    waitpid(p, &st, 0);
    p = fork();
    if (!p) { nanosleep(&(struct timespec){0, 30000000}, 0); kill(getppid(), SIGURG); kill(getppid(), SIGCONT); _exit(0); }
    t = now(CLOCK_MONOTONIC);
    P("ignored %ld", E(nanosleep(&(struct timespec){0, 120000000}, &left)));
    t = now(CLOCK_MONOTONIC) - t;
    P(" slept %d\n", t >= 120000000);
    waitpid(p, &st, 0);
    struct timespec a = at(now(CLOCK_MONOTONIC) + 30000000);
    P("absolute %d", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, 0));
    P(" %d", now(CLOCK_MONOTONIC) >= a.tv_sec * 1000000000LL + a.tv_nsec);
    a = at(now(CLOCK_REALTIME) - 1000000000);
    P(" past %d bad %d %d\n", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &a, 0),
      clock_nanosleep(99, 0, &a, 0), clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){0, 1000000000}, 0));
    P("clocks %d %d\n", clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &a, 0), clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &a, 0));
    /* timers */
    timer_t id;
    set(SIGRTMIN, 0);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
    P("timer_create %ld", E(timer_create(CLOCK_MONOTONIC, &e, &id)));
    struct itimerspec is = {{0, 0}, {0, 20000000}}, io;
    hits = 0;
    P(" %ld", E(timer_settime(id, 0, &is, 0)));
    while (!hits) usleep(1000);
    P(" value %d code %d", value, code);
    timer_gettime(id, &io);
    P(" left %ld overrun %ld\n", (long)io.it_value.tv_nsec, E(timer_getoverrun(id)));
    /* overruns are counted while the signal waits */
    sigset_t m;
    sigemptyset(&m); sigaddset(&m, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &m, 0);
    is = (struct itimerspec){{0, 2000000}, {0, 2000000}};
    timer_settime(id, 0, &is, 0);
    nanosleep(&(struct timespec){0, 50000000}, 0);
    siginfo_t si;
    P("waits %d", sigwaitinfo(&m, &si) == SIGRTMIN);
    P(" overrun %d same %d\n", si.si_overrun >= 5, timer_getoverrun(id) == si.si_overrun);
    is = (struct itimerspec){0};
    timer_settime(id, 0, &is, 0);
    while (sigtimedwait(&m, &si, &(struct timespec){0, 0}) > 0);
    sigprocmask(SIG_UNBLOCK, &m, 0);
    P("delete %ld %ld\n", E(timer_delete(id)), E(timer_delete(id)));
    e.sigev_notify = SIGEV_THREAD_ID;
    ((int *)&e)[4] = gettid();
    timer_create(CLOCK_REALTIME, &e, &id);
    a = at(now(CLOCK_REALTIME) + 20000000);
    is = (struct itimerspec){{0, 0}, a};
    hits = 0;
    timer_settime(id, TIMER_ABSTIME, &is, 0);
    while (!hits) usleep(1000);
    P("thread %d\n", thread_of == gettid());
    timer_delete(id);
    e = (struct sigevent){.sigev_notify = SIGEV_NONE};
    timer_create(CLOCK_MONOTONIC, &e, &id);
    is = (struct itimerspec){{0, 0}, {1000, 0}};
    timer_settime(id, 0, &is, 0);
    timer_gettime(id, &io);
    P("none %d\n", io.it_value.tv_sec >= 990);
    P("refused %ld %ld\n", E(timer_create(99, &e, &id)), E(timer_create(CLOCK_REALTIME_ALARM, &e, &id)) < 0);
    /* timerfd */
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t n = 0;
    P("timerfd %ld", E(read(fd, &n, 8)));
    is = (struct itimerspec){{0, 3000000}, {0, 3000000}};
    P(" %ld", E(timerfd_settime(fd, 0, &is, 0)));
    struct pollfd pf = {fd, POLLIN};
    P(" poll %d", poll(&pf, 1, 10000));
    P(" %d", pf.revents);
    nanosleep(&(struct timespec){0, 30000000}, 0);
    P(" read %ld", E(read(fd, &n, 8)));
    P(" %d\n", n >= 5);
    timerfd_gettime(fd, &io);
    P("timerfd_gettime %ld %d\n", (long)io.it_interval.tv_nsec, io.it_value.tv_nsec > 0);
    close(fd);
    fd = timerfd_create(CLOCK_REALTIME, 0);
    a = at(now(CLOCK_REALTIME) + 20000000);
    is = (struct itimerspec){{0, 0}, a};
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &is, 0);
    P("absolute %ld", E(read(fd, &n, 8)));
    P(" %llu short %ld\n", (unsigned long long)n, E(read(fd, &n, 4)));
    P("bad %ld %ld %ld\n", E(timerfd_create(99, 0)), E(timerfd_create(CLOCK_MONOTONIC, 1)), E(timerfd_settime(0, 0, &is, 0)));
    /* whose time */
    int64_t theirs[2], mine = now(CLOCK_THREAD_CPUTIME_ID), all = now(CLOCK_PROCESS_CPUTIME_ID);
    pthread_t th[2];
    for (int i = 0; i < 2; i++) pthread_create(&th[i], 0, burner, &theirs[i]);
    for (int i = 0; i < 2; i++) pthread_join(th[i], 0);
    P("threads %d %d mine %d all %d\n", theirs[0] >= 30000000, theirs[1] >= 30000000,
      now(CLOCK_THREAD_CPUTIME_ID) - mine < 25000000, now(CLOCK_PROCESS_CPUTIME_ID) - all >= 60000000);
    clockid_t c, own;
    pthread_getcpuclockid(pthread_self(), &own);
    P("own clock %d", now(own) <= now(CLOCK_THREAD_CPUTIME_ID));
    c = 0;
    pthread_create(&th[0], 0, idler, &c);
    while (!*(volatile clockid_t *)&c) usleep(1000);
    P(" other %d\n", now(c) > 0 && now(c) < 20000000);
    p = fork();
    if (!p) { burn(CLOCK_PROCESS_CPUTIME_ID, 60000000); _exit(0); }
    struct rusage r, rc;
    wait4(p, &st, 0, &r);
    getrusage(RUSAGE_CHILDREN, &rc);
    int64_t spent = (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000LL + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
    P("child %d children %d\n", spent >= 50000 && spent < 5000000, timercmp(&rc.ru_utime, &r.ru_utime, >=));
    getrusage(RUSAGE_SELF, &r);
    P("self %d memory %d faults %d\n", r.ru_utime.tv_sec * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec > 50000, r.ru_maxrss > 100, r.ru_minflt > 10);
    P("thread %ld bad %ld\n", E(getrusage(RUSAGE_THREAD, &r)), E(getrusage(5, &r)));
    struct tms tm;
    clock_t since = times(&tm);
    P("times %d %d %d\n", since > 0, tm.tms_utime + tm.tms_stime >= 5, tm.tms_cutime + tm.tms_cstime >= 4);
    struct timespec res;
    P("res %ld %ld %ld\n", E(clock_getres(CLOCK_MONOTONIC, &res)), res.tv_nsec, E(clock_getres(CLOCK_THREAD_CPUTIME_ID, 0)));
    /* select tells what is left, and goes on after a signal without a handler */
    p = fork();
    if (!p) { nanosleep(&(struct timespec){0, 20000000}, 0); kill(getppid(), SIGCONT); _exit(0); }
    t = now(CLOCK_MONOTONIC);
    P("poll %d", poll(0, 0, 100));
    P(" %d\n", now(CLOCK_MONOTONIC) - t >= 100000000);
    waitpid(p, &st, 0);
    struct timex x = {0};
    P("adjtimex %d\n", adjtimex(&x) >= 0 && x.tick == 10000);
    P("done\n");
}
