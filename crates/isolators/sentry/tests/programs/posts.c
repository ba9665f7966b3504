/* Calls that are made so often that they are posted instead: what they return, beside
 * signals, forks, threads and other processes. With an argument:
 * "seen": whether any was posted; "forge": desks that lie; "gain": a set-id program. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE 65536
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static int (*volatile plain)(long, ...) = (void *)syscall;
static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }
static unsigned char at(long place) { return place * 7 + (place >> 8); }

static volatile sig_atomic_t hits, broken, outside;
static uintptr_t low;
static void handler(int number, siginfo_t *info, void *context) {
    uintptr_t place = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    int kept = errno;
    if (number == SIGPIPE) broken++;
    hits++;
    /* Where the sentry's own code is. */
    outside += place >= 0x7ffe00000000 && place < 0x7ffe00001000;
    outside += place < low;
    lseek(99, 0, SEEK_SET);
    errno = kept;
}

/* Registers and vectors are kept by a call. */
static long keeps(int fd, long place) {
    register long result asm("rax");
    register long a asm("rdi") = fd, b asm("rsi") = place, c asm("rdx") = SEEK_SET;
    register long d asm("r10") = 10, e asm("r8") = 8, f asm("r9") = 9;
    uint64_t seen[2], mark = 0x1122334455667788 ^ place, flags;
    asm volatile("movq %9, %%xmm9\n\t stc\n\t mov $8, %%eax\n\t syscall\n\t pushfq\n\t popq %8\n\t movq %%xmm9, %7"
                 : "=a"(result), "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "=m"(seen[0]), "=r"(flags)
                 : "r"(mark) : "rcx", "r11", "xmm9", "memory", "cc");
    return result != place || a != fd || b != place || c != SEEK_SET || d != 10 || e != 8 || f != 9 || seen[0] != mark || !(flags & 1);
}

static pid_t own_pid;
static __thread pid_t own_tid;
static long round_of(int fd, int own, unsigned seed) {
    static __thread unsigned char buf[8192];
    long wrong = 0, place = seed * 2654435761u % (SIZE - 8192), size = 1 + seed % 8192;
    wrong += lseek(fd, place, SEEK_SET) != place;
    wrong += lseek(fd, 0, SEEK_CUR) != place;
    wrong += pread(fd, buf, size, place) != size;
    for (long i = 0; i < size; i += 61) wrong += buf[i] != at(place + i);
    wrong += plain(SYS_read, fd, buf, 3) != 3 || buf[0] != at(place) || buf[2] != at(place + 2);
    wrong += read(fd, buf, 2) != 2 || buf[1] != at(place + 4);
    wrong += lseek(fd, 0, SEEK_CUR) != place + 5;
    wrong += getpid() != own_pid || plain(SYS_gettid) != own_tid;
    wrong += pwrite(own, buf, 3, seed % 100) != 3;
    wrong += pread(fd, (void *)8, 16, 0) != -1 || errno != EFAULT;
    wrong += lseek(77, 0, SEEK_SET) != -1 || errno != EBADF;
    wrong += keeps(fd, place);
    return wrong;
}

static int content, own_file;
static long rounds(double seconds) {
    long wrong = 0;
    int fd = open("/tmp/posts", O_RDONLY);
    own_pid = plain(SYS_getpid), own_tid = plain(SYS_gettid);
    double end = now() + seconds;
    for (unsigned i = getpid(); now() < end; i++) wrong += round_of(fd, own_file, i);
    close(fd);
    return wrong;
}
static void *thread(void *seconds) { return (void *)rounds(*(double *)seconds); }
static void *sender(void *to) {
    for (int i = 0; i < 300; i++) { pthread_kill((pthread_t)to, SIGUSR1); usleep(700); }
    return 0;
}

static void honest(double seconds) {
    long wrong = 0;
    int status, p[2];
    void *bad;
    struct itimerval often = {{0, 900}, {0, 900}}, never = {{0}};
    /* Threads from the start: sites are rewritten while others execute them. */
    for (int i = 0; i < 8; i++) {
        pid_t child = fork();
        if (!child) execl("/proc/self/exe", "posts", "fresh", (char *)0);
        waitpid(child, &status, 0);
        wrong += status;
    }
    say("fresh", wrong);
    wrong = 0;
    say("alone", rounds(seconds));
    setitimer(ITIMER_REAL, &often, 0);
    say("signals", rounds(seconds));
    for (double end = now() + seconds; now() < end;) {
        pid_t child = fork();
        if (!child) { setitimer(ITIMER_REAL, &often, 0); _exit(rounds(seconds / 20) ? 1 : 0); }
        wrong += rounds(seconds / 40);
        while (waitpid(child, &status, 0) < 0) ;
        wrong += status;
        child = vfork();
        if (!child) { lseek(content, 5, SEEK_SET); _exit(getppid() == 0); }
        while (waitpid(child, &status, 0) < 0) ;
        wrong += status;
    }
    say("forks", wrong);
    setitimer(ITIMER_REAL, &never, 0);
    /* More at once than there are processors. */
    pid_t many[6];
    wrong = 0;
    for (int i = 0; i < 6; i++) if (!(many[i] = fork())) _exit(rounds(seconds) ? 1 : 0);
    kill(many[0], SIGSTOP), usleep(20000), kill(many[0], SIGCONT);
    for (int i = 0; i < 6; i++) { waitpid(many[i], &status, 0); wrong += status; }
    say("processes", wrong);
    pid_t child = fork();
    if (!child) for (;;) rounds(1);
    usleep(50000), kill(child, SIGKILL), waitpid(child, &status, 0);
    say("killed", status);
    pthread_t threads[4];
    wrong = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, thread, &seconds);
    pthread_t signals;
    pthread_create(&signals, 0, sender, (void *)threads[0]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], &bad), wrong += (long)bad;
    say("threads", wrong);
    pthread_cancel(signals);
    /* Pipes: what is full, empty, broken; answered by another one. */
    char byte;
    pipe2(p, O_NONBLOCK);
    wrong = 0;
    for (int i = 0; i < 3000; i++) {
        byte = i;
        wrong += write(p[1], &byte, 1) != 1 || plain(SYS_read, p[0], &byte, 1) != 1 || byte != (char)i;
        wrong += plain(SYS_read, p[0], &byte, 1) != -1 || errno != EAGAIN;
    }
    static char block[4096];
    long filled = 0;
    while (write(p[1], block, sizeof block) == sizeof block) filled++;
    say("full", filled);
    close(p[0]);
    broken = 0;
    for (int i = 0; i < 2000; i++) wrong += write(p[1], block, 1) != -1 || errno != EPIPE;
    say("broken", broken);
    say("pipes", wrong);
    int a[2], b[2];
    pipe(a), pipe(b);
    if (!(child = fork())) {
        while (close(a[1]), plain(SYS_read, a[0], &byte, 1) == 1) { byte++; write(b[1], &byte, 1); }
        _exit(0);
    }
    close(a[0]);
    wrong = 0;
    for (int i = 0; i < 3000; i++) {
        byte = i;
        wrong += write(a[1], &byte, 1) != 1 || plain(SYS_read, b[0], &byte, 1) != 1 || byte != (char)(i + 1);
    }
    close(a[1]);
    waitpid(child, &status, 0);
    say("to and fro", wrong + status);
    say("places elsewhere", outside);
}

/* The page that the sentry looks at, and a desk in it. */
#define DESKS ((volatile unsigned char *)0x7ffe80000000)
struct desk { volatile uint32_t state, present; volatile uint64_t number, args[6], pieces[4], unused[4]; };
static struct desk *desk(int i) { return (struct desk *)(DESKS + 128 * i); }

/* Makes quick calls until they are posted, if ever. */
static int posted(double seconds) {
    int pair[2];
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i < 2000; i++) lseek(content, i, SEEK_SET);
        /* Whether the page is there: what the kernel itself reads. */
        if (plain(SYS_write, own_file, DESKS, 4) == 4 && desk(0)->state == 4) return 1;
    }
    return 0;
}

/* Locks, for which the sentry looks at the thread's memory itself. */
static int locks_posted(double seconds) {
    for (double end = now() + seconds; now() < end;)
        for (int i = 0; i < 2000; i++) {
            struct flock lock = {.l_type = i % 2 ? F_UNLCK : F_WRLCK};
            desk(0)->state = 0;
            if (fcntl(own_file, F_SETLK, &lock)) return -1;
            if (desk(0)->state == 4) return 1;
        }
    return 0;
}

static volatile int stop;
/* Liars say that calls are approved, too: whose desk that is makes whatever call stands there. */
static int approves;
static uint64_t dice(uint64_t *s) { *s ^= *s << 13; *s ^= *s >> 7; *s ^= *s << 17; return *s; }
static void *liar(void *seed) {
    static const uint16_t numbers[] = {0, 1, 3, 4, 5, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19, 20, 21, 28, 35, 39, 44, 45, 56, 57, 59, 60, 62, 72, 82, 85, 87, 88, 90,
        102, 105, 107, 117, 133, 157, 200, 202, 217, 228, 231, 232, 233, 234, 262, 269, 281, 322, 332, 435, 511, 512, 4096};
    uint64_t s = (uint64_t)seed;
    while (!stop) {
        struct desk *d = desk(dice(&s) % 8);
        d->number = dice(&s) % 4 ? numbers[dice(&s) % (sizeof numbers / sizeof *numbers)] : dice(&s);
        for (int i = 0; i < 6; i++)
            switch (dice(&s) % 6) {
            case 0: d->args[i] = dice(&s); break;
            case 1: d->args[i] = dice(&s) % 8; break;
            case 2: d->args[i] = (uint64_t)"/tmp/forged"; break;
            case 3: d->args[i] = (uint64_t)DESKS + dice(&s) % 5000; break;
            case 4: d->args[i] = getpid(); break;
            default: d->args[i] = 9;
            }
        d->present = dice(&s) % 3;
        for (int i = 0; i < 4; i++) d->pieces[i] = dice(&s) % 2 ? d->args[dice(&s) % 6] : dice(&s) % 5000;
        static const uint32_t states[] = {0, 1, 1, 1, 1, 2, 4, 8, 16, 0x80000001, 32};
        d->state = dice(&s) % 16 ? states[dice(&s) % (10 + approves)] : dice(&s);
    }
    return 0;
}
static void *quick(void *unused) { while (!stop) lseek(content, 1, SEEK_SET), getppid(); return 0; }
static void forge(double seconds) {
    int status, made = 0;
    for (int kind = 0; kind < 6; kind++) {
        if (kind == 5) made = access("/tmp/forged", F_OK) == 0;
        pid_t child = fork();
        if (!child) {
            approves = kind == 5;
            /* Calls that say something go nowhere. */
            int none = open("/dev/null", O_RDWR);
            dup2(none, 0), dup2(none, 1), dup2(none, 2);
            /* Nor do those that write what the parent reads. */
            none = open("/tmp/posts", O_RDONLY);
            dup2(none, content);
            if (!posted(2)) _exit(0);
            pthread_t t[6];
            for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, liar, (void *)(i * 77 + 12345 + kind));
            for (int i = 4; i < 6; i++) pthread_create(&t[i], 0, quick, 0);
            if (kind == 1) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), prctl(PR_SET_SECCOMP, 1, 0, 0, 0);
            if (kind == 2) { usleep(100000); execl("/bin/busybox", "busybox", "true", (char *)0); }
            if (kind == 3) { alarm(1); for (;;) round_of(content, own_file, 3); }
            double end = now() + seconds;
            while (now() < end) usleep(1000);
            if (kind == 4) { pid_t p = fork(); if (!p) _exit(rounds(0.1) * 0); waitpid(p, &status, 0); }
            _exit(0);
        }
        for (int i = 0; kind != 2 && i < 50; i++) { usleep(1000); kill(child, SIGSTOP); usleep(1000); kill(child, SIGCONT); }
        for (double end = now() + 3 * seconds; waitpid(child, &status, WNOHANG) == 0;) {
            if (now() > end) kill(child, SIGKILL);
            usleep(2000);
        }
    }
    struct stat s;
    unlink("/tmp/forged");
    say("made", made);
    say("alive", rounds(0.2));
}

static volatile int *seen;
static void *become(void *program) {
    usleep(20000);
    execl(program, program, "gained", (char *)0);
    return 0;
}
static void gain(char *program) {
    seen = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status, good = 0;
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (!child) {
            if (setgid(1000) || setuid(1000)) _exit(9);
            pthread_t t;
            for (int i = 0; i < 20000; i++) geteuid();
            pthread_create(&t, 0, become, program);
            /* Its credentials are the process's. */
            for (;;) if (geteuid() == 0) *seen = 1;
        }
        waitpid(child, &status, 0);
        good += status == 7 << 8;
    }
    say("executed", good);
    say("seen", *seen);
}

int main(int argc, char **argv) {
    extern char __executable_start[];
    low = (uintptr_t)__executable_start;
    if (argc > 1 && !strcmp(argv[1], "gained")) return geteuid() == 0 ? 7 : 8;
    own_file = open("/tmp/posts.own", O_RDWR | O_CREAT, 0644);
    if (argc > 1 && !strcmp(argv[1], "fresh")) {
        double little = 0.1;
        long bad = 0;
        void *one;
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, thread, &little);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], &one), bad += (long)one;
        return bad != 0;
    }
    unlink("/tmp/posts");
    content = open("/tmp/posts", O_RDWR | O_CREAT | O_TRUNC, 0644);
    static unsigned char all[SIZE];
    for (long i = 0; i < SIZE; i++) all[i] = at(i);
    if (write(content, all, SIZE) != SIZE) return 1;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, 0), sigaction(SIGUSR1, &action, 0), sigaction(SIGPIPE, &action, 0);
    double seconds = argc > 2 ? atof(argv[2]) : 0.3;
    if (argc < 2 || !strcmp(argv[1], "long")) honest(seconds);
    else if (!strcmp(argv[1], "seen")) say("posted", posted(120)), say("locks posted", locks_posted(60));
    else if (!strcmp(argv[1], "forge")) forge(seconds);
    else if (!strcmp(argv[1], "gain")) gain(argv[2]);
    printf("done\n");
    return 0;
}
