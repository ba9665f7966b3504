// What is told of processes and threads: names, states, what they used, what they share.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char *content(const char *path) {
    static char text[8192];
    int file = open(path, O_RDONLY);
    int count = file < 0 ? 0 : read(file, text, sizeof text - 1);
    text[count < 0 ? 0 : count] = 0;
    close(file);
    return text;
}

static int put(const char *path, const char *text, int length) {
    int file = open(path, O_WRONLY);
    if (file < 0) return -errno;
    int result = write(file, text, length);
    if (result < 0) result = -errno;
    close(file);
    return result;
}

static char state(int pid, int tid) {
    char path[64];
    sprintf(path, "/proc/%d/task/%d/stat", pid, tid);
    char *end = strrchr(content(path), ')');
    return end ? end[2] : '?';
}

static const char *state_line(int pid) {
    char path[64];
    sprintf(path, "/proc/%d/status", pid);
    char *line = strstr(content(path), "State:");
    if (!line) return "gone";
    *strchr(line, '\n') = 0;
    return line;
}

// Until a thread is in a state; generously.
static void await(const char *what, int pid, int tid, char wanted) {
    // For a while: what was woken goes through others on its way.
    for (int i = 0, run = 0; i < 30000 && run < 20; i++) {
        run = state(pid, tid) == wanted ? run + 1 : 0;
        usleep(1000);
    }
    printf("%s: %c\n", what, state(pid, tid));
}

static volatile int spin = 1, tid_of;
static int word;
static int pair[2];

static void *spins(void *unused) {
    tid_of = gettid();
    while (spin) {
    }
    return NULL;
}

static void *waits(void *unused) {
    tid_of = gettid();
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

static void *reads(void *unused) {
    char byte;
    tid_of = gettid();
    read(pair[0], &byte, 1);
    return NULL;
}

static void *named(void *unused) {
    prctl(PR_SET_NAME, "own name");
    tid_of = gettid();
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

static pthread_t start(void *(*what)(void *)) {
    pthread_t thread;
    tid_of = 0;
    pthread_create(&thread, NULL, what, NULL);
    while (!tid_of) usleep(100);
    return thread;
}

static void wake(pthread_t thread) {
    while (syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 0) usleep(100);
    pthread_join(thread, NULL);
}

static void states(void) {
    printf("oneself: %c\n", state(getpid(), getpid()));
    printf("%s\n", state_line(getpid()));
    pthread_t thread = start(spins);
    await("spins", getpid(), tid_of, 'R');
    spin = 0;
    pthread_join(thread, NULL);
    thread = start(waits);
    await("waits for a futex", getpid(), tid_of, 'S');
    wake(thread);
    pipe(pair);
    thread = start(reads);
    await("reads a pipe", getpid(), tid_of, 'S');
    write(pair[1], "", 1);
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    await("pauses", child, child, 'S');
    kill(child, SIGSTOP);
    await("stopped", child, child, 'T');
    printf("%s\n", state_line(child));
    kill(child, SIGCONT);
    await("continued", child, child, 'S');
    printf("%s\n", state_line(child));
    ptrace(PTRACE_SEIZE, child, 0, 0);
    ptrace(PTRACE_INTERRUPT, child, 0, 0);
    waitpid(child, NULL, __WALL);
    await("traced", child, child, 't');
    printf("%s\n", state_line(child));
    ptrace(PTRACE_DETACH, child, 0, 0);
    kill(child, SIGKILL);
    await("zombie", child, child, 'Z');
    printf("%s\n", state_line(child));
    waitpid(child, NULL, 0);
    printf("gone: %c\n", state(child, child));
    // Who waits for a child that has its memory.
    child = fork();
    if (child == 0) {
        if (vfork() == 0) {
            pause();
            _exit(0);
        }
        _exit(0);
    }
    await("lends its memory", child, child, 'D');
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    // A first thread that has ended before the others.
    child = fork();
    if (child == 0) {
        pthread_t other;
        pthread_create(&other, NULL, reads, NULL);
        syscall(SYS_exit, 0);
    }
    await("first thread ended", child, child, 'Z');
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void change(const char *what, const char *path, const char *text, int length) {
    int result = put(path, text, length);
    printf("%s: %d %s", what, result, content(path));
}

static void names(void) {
    char path[64], status[64];
    sprintf(path, "/proc/self/task/%d/comm", getpid());
    printf("own: %s", content(path));
    pthread_t thread = start(named);
    sprintf(path, "/proc/%d/task/%d/comm", getpid(), tid_of);
    sprintf(status, "/proc/%d/task/%d/status", getpid(), tid_of);
    printf("thread: %s", content(path));
    printf("process: %s", content("/proc/self/comm"));
    change("written", path, "another", 7);
    change("long", path, "0123456789abcdefXYZ", 19);
    change("with a zero", path, "ab\0cd", 5);
    change("with a line's end", path, "li\nne\\", 6);
    char *line = content(status);
    *strchr(line, '\n') = 0;
    printf("status: %s\n", line);
    change("nothing", path, "", 0);
    change("the process's", "/proc/self/comm", "leader", 6);
    char name[16] = {0};
    prctl(PR_GET_NAME, name);
    printf("it knows: %s\n", name);
    int set = pthread_setname_np(thread, "by a library");
    printf("by a library: %d %s", set, content(path));
    pid_t child = fork();
    if (child == 0) {
        printf("another process writes: %d\n", put(path, "no", 2));
        prctl(PR_GET_NAME, name);
        printf("child: %s\n", name);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("still: %s", content(path));
    wake(thread);
}

static void used(void) {
    struct rusage before, after, child_usage;
    getrusage(RUSAGE_CHILDREN, &before);
    /* Some, if the host had to read a program of an earlier one again. */
    printf("few yet: %d\n", before.ru_majflt < 100);
    pid_t child = fork();
    size_t size = 48 << 20;
    if (child == 0) {
        char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(at, size, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < size; i += 4096) at[i] = 1;
        for (int i = 0; i < 20; i++) usleep(100);
        _exit(0);
    }
    wait4(child, NULL, 0, &child_usage);
    getrusage(RUSAGE_CHILDREN, &after);
    int most = size >> 10, faults = size >> 12;
    printf("child: memory %d, faults %d, switches %d\n",
           child_usage.ru_maxrss >= most && child_usage.ru_maxrss < most + 8192,
           child_usage.ru_minflt >= faults && child_usage.ru_minflt < faults + 2000,
           child_usage.ru_nvcsw >= 20);
    printf("children: memory %d, faults %d, switches %d\n",
           after.ru_maxrss >= most && after.ru_maxrss < most + 8192,
           after.ru_minflt - before.ru_minflt >= faults, after.ru_nvcsw >= 20);
    // The sum of faults, and the most memory, of grandchildren, too.
    before = after;
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            madvise(at, size, MADV_NOHUGEPAGE);
            for (size_t i = 0; i < size / 2; i += 4096) at[i] = 1;
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    getrusage(RUSAGE_CHILDREN, &after);
    printf("grandchild: the most stays %d, faults %d\n", after.ru_maxrss == before.ru_maxrss,
           after.ru_minflt - before.ru_minflt >= faults / 2);
    // A child that executes a program; one that is not waited for.
    before = after;
    child = fork();
    if (child == 0) {
        char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(at, size, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < size; i += 4096) at[i] = 1;
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    wait4(child, NULL, 0, &child_usage);
    printf("executed: memory %d, faults %d\n", child_usage.ru_maxrss >= most,
           child_usage.ru_minflt >= faults);
    getrusage(RUSAGE_SELF, &after);
    printf("oneself: memory %d\n", after.ru_maxrss > 0 && after.ru_maxrss < most);
    signal(SIGCHLD, SIG_IGN);
    getrusage(RUSAGE_CHILDREN, &before);
    child = fork();
    if (child == 0) {
        char *at = mmap(NULL, 4 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < 2 * size; i += 4096) at[i] = 1;
        _exit(0);
    }
    waitpid(child, NULL, 0);
    getrusage(RUSAGE_CHILDREN, &after);
    printf("not waited for: %d\n", after.ru_maxrss == before.ru_maxrss);
    signal(SIGCHLD, SIG_DFL);
}

static long compare(int one, int other, int kind, unsigned long a, unsigned long b) {
    long result = syscall(SYS_kcmp, one, other, kind, a, b);
    return result < 0 ? -errno : result > 0;
}

static int sleeper(void *unused) {
    pause();
    return 0;
}

struct slot {
    uint32_t set, number, skip;
};

static void shared(void) {
    enum { FILE_, VM, FILES, FS, SIGHAND, IO, SYSVSEM, EPOLL_TFD };
    int own = getpid();
    int one = open("/dev/null", O_RDONLY), copy = dup(one), two = open("/dev/null", O_RDONLY);
    printf("file: %ld %ld %ld\n", compare(own, own, FILE_, one, one),
           compare(own, own, FILE_, one, copy), compare(own, own, FILE_, one, two));
    printf("no file: %ld %ld\n", compare(own, own, FILE_, 900, one),
           compare(own, own, FILE_, one, 900));
    pthread_t thread = start(waits);
    for (int kind = VM; kind <= SYSVSEM; kind++)
        printf("thread %d: %ld\n", kind, compare(own, tid_of, kind, 0, 0));
    wake(thread);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    for (int kind = VM; kind <= SYSVSEM; kind++)
        printf("child %d: %ld\n", kind, compare(own, child, kind, 0, 0));
    printf("child's file: %ld %ld\n", compare(own, child, FILE_, one, copy),
           compare(own, child, FILE_, one, two));
    static char stack[64 << 10];
    pid_t light = clone(sleeper, stack + sizeof stack, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    for (int kind = VM; kind <= FILES; kind++)
        printf("light child %d: %ld\n", kind, compare(own, light, kind, 0, 0));
    int set = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf add = {0, 1, SEM_UNDO};
    semop(set, &add, 1);
    printf("with an undo: %ld\n", compare(own, child, SYSVSEM, 0, 0));
    semctl(set, 0, IPC_RMID);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    int ends[2];
    pipe(ends);
    epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
    struct slot in = {epoll, ends[0], 0}, none = {epoll, ends[1], 0}, wrong = {one, ends[0], 0},
                later = {epoll, ends[0], 1};
    printf("in a set: %ld %ld\n", compare(own, own, EPOLL_TFD, ends[0], (long)&in),
           compare(own, own, EPOLL_TFD, ends[1], (long)&in));
    printf("not in it: %ld %ld %ld %ld\n", compare(own, own, EPOLL_TFD, ends[0], (long)&none),
           compare(own, own, EPOLL_TFD, ends[0], (long)&wrong),
           compare(own, own, EPOLL_TFD, ends[0], (long)&later),
           compare(own, own, EPOLL_TFD, ends[0], 1));
    printf("unknown: %ld, nobody: %ld\n", compare(own, own, 99, 0, 0),
           compare(own, 30000, VM, 0, 0));
    pid_t other = fork();
    if (other == 0) {
        setresgid(4001, 4001, 4001);
        setresuid(4001, 4001, 4001);
        printf("another user: %ld\n", compare(getpid(), child, VM, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(other, NULL, 0);
    kill(child, SIGKILL);
    kill(light, SIGKILL);
    waitpid(child, NULL, 0);
    waitpid(light, NULL, 0);
}

static int first[2], second[2];

static void *closes(void *unused) {
    // Once the other one waits.
    for (int seen = 0; seen < 5; usleep(5000)) {
        seen = state(getpid(), getpid()) == 'S' ? seen + 1 : 0;
    }
    close(first[0]);
    write(second[1], "x", 1);
    return NULL;
}

// A file of select(2) that is closed while it waits is ready then; later it is an error.
static void selects(void) {
    pipe(first);
    pipe(second);
    pthread_t thread;
    pthread_create(&thread, NULL, closes, NULL);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(first[0], &set);
    FD_SET(second[0], &set);
    int most = first[0] > second[0] ? first[0] : second[0];
    struct timeval time = {30, 0};
    int count = select(most + 1, &set, NULL, NULL, &time);
    printf("select %d, %d %d\n", count, FD_ISSET(first[0], &set) != 0,
           FD_ISSET(second[0], &set) != 0);
    pthread_join(thread, NULL);
    count = select(most + 1, &set, NULL, NULL, &time);
    printf("anew %d %d\n", count, errno);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    states();
    names();
    used();
    shared();
    selects();
    puts("done");
}
