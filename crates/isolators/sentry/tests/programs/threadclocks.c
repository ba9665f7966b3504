// Timers and sleep by processor time, of threads and of processes.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static atomic_int fired, by_thread, stop, idle;
static __thread int own;

static void hear(int number, siginfo_t *info, void *context) {
    fired++;
    by_thread = own;
}

static long of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void burn(long millis) {
    for (long end = of(CLOCK_THREAD_CPUTIME_ID) + millis; of(CLOCK_THREAD_CPUTIME_ID) < end;)
        for (volatile int i = 0; i < 20000; i++)
            ;
}

// Its signals may come late.
static void until(int count) {
    for (int i = 0; i < 300 && fired < count; i++)
        burn(10);
}

static void *work(void *argument) {
    own = (long)argument;
    while (!stop)
        if (idle)
            usleep(1000);
        else
            burn(1);
    return 0;
}

static struct itimerspec in(long first, long again) {
    return (struct itimerspec){{again / 1000, again % 1000 * 1000000}, {first / 1000, first % 1000 * 1000000}};
}

static timer_t make(clockid_t clock, int how, pid_t tid) {
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = how, event.sigev_signo = SIGUSR1;
    event.sigev_notify_thread_id = tid;
    timer_t timer = 0;
    int result = timer_create(clock, &event, &timer);
    printf("made %d errno %d\n", result, result ? errno : 0);
    return timer;
}

static int about(long value, long wanted) {
    return value >= wanted - 20 && value <= wanted + 1000;
}

// Timers that nothing was used of for a while fire once it is, however who sleeps is woken.
static void rests(timer_t timer, const char *by, void (*sleeps)(void)) {
    struct itimerspec time = in(30, 0);
    fired = 0;
    timer_settime(timer, 0, &time, 0);
    sleeps();
    int asleep = fired;
    long end = of(CLOCK_MONOTONIC) + 20000;
    while (!fired && of(CLOCK_MONOTONIC) < end)
        for (volatile int i = 0; i < 2000000; i++)
            ;
    printf("rests by %s: asleep %d then %d\n", by, asleep, fired);
}
static void by_time(void) { usleep(150000); }
static void by_poll(void) { poll(0, 0, 150); }
static int ends[2];
static pid_t wakes(const char *what) {
    pid_t parent = getpid(), child = fork();
    if (!child) {
        usleep(150000);
        if (*what == 'p') write(ends[1], "x", 1);
        if (*what == 's') kill(parent, SIGUSR2);
        _exit(0);
    }
    return child;
}
static void by_pipe(void) {
    char c;
    pid_t child = wakes("pipe");
    read(ends[0], &c, 1);
    waitpid(child, 0, 0);
}
static void by_wait(void) { waitpid(wakes("end"), 0, 0); }
static void nothing(int number) {}
static void by_signal(void) {
    pid_t child = wakes("signal");
    pause();
    waitpid(child, 0, 0);
}
static void *sleeps(void *argument) { usleep(150000); return 0; }
static void by_thread_end(void) {
    pthread_t other;
    pthread_create(&other, 0, sleeps, 0);
    pthread_join(other, 0);
}
static void by_vfork(void) {
    pid_t child = vfork();
    if (!child) execl("/bin/sleep", "sleep", "0.15", (char *)0), _exit(1);
    waitpid(child, 0, 0);
}
static void all_rest(clockid_t clock) {
    timer_t timer = make(clock, SIGEV_SIGNAL, 0);
    pipe(ends);
    signal(SIGUSR2, nothing);
    rests(timer, "time", by_time), rests(timer, "poll", by_poll), rests(timer, "pipe", by_pipe);
    rests(timer, "wait", by_wait), rests(timer, "signal", by_signal);
    rests(timer, "thread", by_thread_end), rests(timer, "vfork", by_vfork);
    timer_delete(timer);
}

int main(int count, char **words) {
    if (count > 1) {
        // Something to look for while nothing happens.
        struct itimerval soon = {{0, 3000}, {0, 3000}};
        signal(SIGPROF, SIG_IGN);
        setitimer(ITIMER_PROF, &soon, 0);
        printf("sleeps\n"), fflush(stdout);
        pause();
    }
    setvbuf(stdout, 0, _IOLBF, 0);
    struct sigaction act = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &act, 0);
    own = 1;
    timer_t timer = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, 0);
    struct itimerspec time = in(100, 0);
    timer_settime(timer, 0, &time, 0);
    usleep(200000);
    printf("asleep: %d\n", fired);
    burn(60);
    printf("early: %d\n", fired);
    timer_gettime(timer, &time);
    printf("left %d\n", time.it_value.tv_nsec > 1000000 && time.it_value.tv_nsec < 50000000);
    until(1);
    printf("late: %d\n", fired);
    long now = of(CLOCK_THREAD_CPUTIME_ID);
    time = in(now + 50, 0);
    timer_settime(timer, TIMER_ABSTIME, &time, 0);
    burn(30);
    printf("early: %d\n", fired);
    until(2);
    printf("late: %d\n", fired);
    time = in(20, 20);
    now = of(CLOCK_THREAD_CPUTIME_ID);
    timer_settime(timer, 0, &time, 0);
    until(8);
    printf("again and again: %d\n", of(CLOCK_THREAD_CPUTIME_ID) - now >= 100);
    time = in(0, 0);
    timer_settime(timer, 0, &time, 0);
    timer_delete(timer);

    pthread_t other;
    pthread_create(&other, 0, work, (void *)2);
    clockid_t clock;
    pthread_getcpuclockid(other, &clock);
    struct timespec shown;
    printf("its own %d\n", clock_gettime(clock, &shown));
    fired = 0;
    timer = make(clock, SIGEV_SIGNAL, 0);
    now = of(clock);
    time = in(100, 0);
    timer_settime(timer, 0, &time, 0);
    while (!fired)
        usleep(1000);
    printf("other's: %d\n", about(of(clock) - now, 100));
    timer_delete(timer);
    fired = 0;
    timer = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, syscall(SYS_gettid));
    time = in(50, 0);
    timer_settime(timer, 0, &time, 0);
    until(1);
    printf("to a thread: %d by %d\n", fired, by_thread);
    timer_delete(timer);

    struct timespec wait = {0, 100000000};
    now = of(clock);
    int result = clock_nanosleep(clock, 0, &wait, 0);
    printf("slept by other's %d: %d\n", result, about(of(clock) - now, 100));
    now = of(CLOCK_PROCESS_CPUTIME_ID);
    result = clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &wait, 0);
    printf("slept by process's %d: %d\n", result, about(of(CLOCK_PROCESS_CPUTIME_ID) - now, 100));
    result = clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &wait, 0);
    printf("by its own: %d\n", result);
    clockid_t mine;
    pthread_getcpuclockid(pthread_self(), &mine);
    printf("by its own: %d\n", clock_nanosleep(mine, 0, &wait, 0));
    stop = 1;
    pthread_join(other, 0);
    all_rest(CLOCK_PROCESS_CPUTIME_ID);
    all_rest(CLOCK_THREAD_CPUTIME_ID);
    timer = make(clock, SIGEV_SIGNAL, 0);
    printf("done\n");
}
