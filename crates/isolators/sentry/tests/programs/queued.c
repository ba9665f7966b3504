// How many signals wait for a user, whoever of his processes they are for: RLIMIT_SIGPENDING, SigQ.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

static const union sigval value = {.sival_int = 77};

static const char *told(pid_t pid) {
    static char text[64];
    char path[64], line[256];
    sprintf(path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "SigQ:%63s", text) == 1) break;
    fclose(file);
    return text;
}
static const char *now(void) { return told(getpid()); }
static void limit(int most) {
    struct rlimit limit;
    getrlimit(RLIMIT_SIGPENDING, &limit);
    limit.rlim_cur = most;
    setrlimit(RLIMIT_SIGPENDING, &limit);
}
static void block(int how) {
    sigset_t set;
    sigfillset(&set);
    sigprocmask(how, &set, 0);
}
static void take_all(void) {
    sigset_t set;
    sigfillset(&set);
    struct timespec none = {0};
    siginfo_t info;
    while (memset(&info, 0, sizeof info), sigtimedwait(&set, &info, &none) > 0)
        P(" [%d %d %d %d]", info.si_signo, info.si_code, info.si_pid == getpid(),
          info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}
static void forget(int signal_number) {
    signal(signal_number, SIG_IGN);
    signal(signal_number, SIG_DFL);
}
// In a process of its own, of a user that nobody else is.
static void as(int user, void (*what)(void)) {
    pid_t child = fork();
    if (!child) {
        block(SIG_BLOCK);
        setresuid(user, user, user);
        what();
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) P(" status %x\n", status);
}

static void kinds(void) {
    pid_t self = getpid();
    limit(3);
    P("kinds %s", now());
    for (int i = 0; i < 4; i++) P(" %ld", E(sigqueue(self, SIGRTMIN + 3, value)));
    P(" then %s tgkill %ld", now(), E(syscall(SYS_tgkill, self, self, SIGRTMIN + 4)));
    P(" kill %ld %ld", E(kill(self, SIGRTMIN + 5)), E(kill(self, SIGRTMIN + 3)));
    P(" standard %ld %s", E(kill(self, SIGUSR1)), now());
    P(" queued %ld %s", E(sigqueue(self, SIGUSR2, value)), now());
    P(" thread's %ld %s", E(syscall(SYS_tgkill, self, self, SIGTERM)), now());
    P(" twice %ld %s\n", E(sigqueue(self, SIGUSR2, value)), now());
    take_all();
    P(" left %s\n", now());
}

static void ignored(void) {
    limit(4);
    signal(SIGRTMIN + 1, SIG_IGN);
    block(SIG_UNBLOCK);
    P("ignored %ld %s", E(sigqueue(getpid(), SIGRTMIN + 1, value)), now());
    block(SIG_BLOCK);
    P(" held back %ld %ld", E(sigqueue(getpid(), SIGRTMIN + 1, value)), E(sigqueue(getpid(), SIGRTMIN + 1, value)));
    P(" %s", now());
    forget(SIGRTMIN + 1);
    P(" %s", now());
    kill(getpid(), SIGTSTP);
    P(" stop %s", now());
    kill(getpid(), SIGCONT);
    P(" continue %s\n", now());
}

static int ready[2];
static void said(void) { write(ready[1], "x", 1); }
static void heard(void) { char c; read(ready[0], &c, 1); }

// All processes of a user count together, and what waits for one that has ended does, until it is waited for.
static void together(void) {
    pipe(ready);
    limit(4);
    pid_t child = fork();
    if (!child) {
        limit(5);
        sigqueue(getpid(), SIGRTMIN, value), sigqueue(getpid(), SIGRTMIN, value);
        syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN);
        said();
        pause();
        for (;;) pause();
    }
    heard();
    P("together %s his %s", now(), told(child));
    P(" to him %ld %ld %ld", E(sigqueue(child, SIGRTMIN, value)), E(sigqueue(child, SIGRTMIN, value)), E(sigqueue(child, SIGRTMIN, value)));
    P(" to me %ld %s\n", E(sigqueue(getpid(), SIGRTMIN, value)), now());
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    P(" ended %s", now());
    P(" %ld %ld", E(sigqueue(child, SIGRTMIN, value)), E(sigqueue(child, SIGUSR1, value)));
    P(" still %s", now());
    waitpid(child, 0, 0);
    P(" waited for %s\n", now());
}

static void *pauses(void *p) {
    *(pid_t *)p = gettid();
    said();
    usleep(200000);
    return 0;
}
static void threads(void) {
    pipe(ready);
    pid_t thread;
    pthread_t one;
    pthread_create(&one, 0, pauses, &thread);
    heard();
    for (int i = 0; i < 3; i++) syscall(SYS_tgkill, getpid(), thread, SIGRTMIN);
    char before[64];
    strcpy(before, now());
    pthread_join(one, 0);
    usleep(20000);
    P("threads %c then %c\n", *before, *now());
}

// An entry stays with who it was queued for, whoever he is by now.
static void changes(void) {
    pid_t self = getpid();
    setresuid(50010, 0, 0);
    pid_t other = fork();
    if (!other) for (;;) pause();
    sigqueue(self, SIGRTMIN, value), sigqueue(self, SIGRTMIN, value);
    P("changes %c %c", *now(), *told(other));
    setresuid(50011, 0, 0);
    P(" then %c %c", *now(), *told(other));
    sigqueue(self, SIGRTMIN, value);
    P(" one %c %c", *now(), *told(other));
    // Whose limit counts is who gets it.
    setresuid(0, 0, 0);
    P(" root to him %ld", E(sigqueue(other, SIGRTMIN, value)));
    P(" %c\n", *told(other));
    forget(SIGRTMIN);
    setresuid(50011, 0, 0);
    P(" taken %c %c", *now(), *told(other));
    kill(other, SIGKILL), waitpid(other, 0, 0);
    setresuid(50010, 0, 0);
    P(" %c\n", *now());
}

static long make(timer_t *timer, int how, int number) {
    struct sigevent event = {.sigev_notify = how, .sigev_signo = number, .sigev_value = value};
    int id;
    long result = E(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
    *timer = (timer_t)(long)id;
    return result;
}
static void fires(timer_t timer) {
    struct itimerspec soon = {.it_value = {0, 1}};
    syscall(SYS_timer_settime, (int)(long)timer, 0, &soon, 0);
    usleep(20000);
}
static void timers(void) {
    timer_t timer[4];
    limit(3);
    P("timers %ld %ld", make(timer, SIGEV_SIGNAL, SIGUSR1), make(timer + 1, SIGEV_SIGNAL, SIGUSR1));
    P(" %s %ld %ld bad %ld", now(), make(timer + 2, SIGEV_NONE, 0), make(timer + 3, SIGEV_NONE, 0), make(timer + 3, 99, 0));
    P(" signal %ld", E(sigqueue(getpid(), SIGRTMIN, value)));
    P(" deleted %ld %s", E(syscall(SYS_timer_delete, (int)(long)timer[2])), now());
    // Both wait, though it is the same signal; each in its own place.
    fires(timer[0]), fires(timer[1]);
    P(" fired %s", now());
    take_all();
    P(" %s\n", now());
    // One that is gone may still have its signal wait.
    fires(timer[1]);
    syscall(SYS_timer_delete, (int)(long)timer[1]);
    P(" deleted %s", now());
    forget(SIGUSR1);
    P(" %s\n", now());
    execl("/bin/queued", "queued", "executed", (char *)0);
}

// In namespaces, who made them answers for all in there, up to his limit then.
static void namespaces(void) {
    limit(2);
    P("namespaces %ld", E(unshare(CLONE_NEWUSER)));
    limit(6);
    P(" %s", now());
    P(" %ld %ld %ld", E(sigqueue(getpid(), SIGRTMIN, value)), E(sigqueue(getpid(), SIGRTMIN, value)), E(sigqueue(getpid(), SIGRTMIN, value)));
    P(" standard %ld %ld", E(kill(getpid(), SIGUSR1)), E(sigqueue(getpid(), SIGUSR2, value)));
    P(" %s\n", now());
    take_all();
    P(" %s\n", now());
}

static void files(void) {
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    fcntl(p[0], F_SETFL, O_ASYNC);
    fcntl(p[0], F_SETOWN, getpid());
    fcntl(p[0], F_SETSIG, SIGRTMIN + 2);
    limit(1);
    write(p[1], "x", 1);
    P("files %s", now());
    write(p[1], "x", 1);
    P(" %s", now());
    sigset_t set;
    sigfillset(&set);
    siginfo_t info;
    for (int i = 0; i < 2; i++) {
        sigwaitinfo(&set, &info);
        P(" %d %d", info.si_signo, info.si_code);
    }
    P(" %s\n", now());
}

int main(int argc, char **argv) {
    if (argc > 1) {
        P(" executed %s\n", now());
        return 0;
    }
    // Every user finds /proc, and what is executed, whatever the mode of the folder that is the root.
    chmod("/", 0755);
    struct rlimit most = {1000, 1000};
    setrlimit(RLIMIT_SIGPENDING, &most);
    as(50001, kinds);
    as(50002, ignored);
    as(50003, together);
    as(50004, threads);
    as(0, changes);
    as(50005, timers);
    as(50006, namespaces);
    as(50007, files);
    P("done\n");
}
