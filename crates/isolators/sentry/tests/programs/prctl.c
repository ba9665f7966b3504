/* prctl(2): what tasks say of themselves. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define C(...) E(prctl(__VA_ARGS__))
static int ended(pid_t p) { int s; waitpid(p, &s, 0); return s; }
static void *thread(void *p) {
    P("thread: slack %ld mce %ld", C(PR_GET_TIMERSLACK, 0, 0, 0, 0), C(PR_MCE_KILL_GET, 0, 0, 0, 0));
    P(" zero %ld %ld\n", C(PR_SET_TIMERSLACK, 0, 0, 0, 0), C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    return 0;
}
static void line(const char *path) {
    char text[4096] = "";
    int fd = open(path, O_RDONLY);
    long n = read(fd, text, sizeof text);
    close(fd);
    for (int i = 0; i < n - 1; i++) if (!text[i]) text[i] = '|';
    P("%s: %ld '%s'\n", path, n, text);
}
static void *stays(void *p) { char c; read((int)(long)p, &c, 1); _exit(0); }
static void leaves(int until) {
    C(PR_SET_TIMERSLACK, 4567, 0, 0, 0);
    pthread_t t;
    pthread_create(&t, 0, stays, (void *)(long)until);
    pthread_exit(0);
}
/* The same in procfs: a number, for the first thread, and of others not for everybody. */
static void slack(void) {
    const char *path = "/proc/self/timerslack_ns";
    char text[64], other[64];
    struct stat s;
    stat(path, &s);
    P("slack: mode %o", s.st_mode & 07777);
    int fd = open(path, O_RDWR);
    P(" read %ld %.5s", E(pread(fd, text, sizeof text, 0)), text);
    P(" write %ld %ld", E(write(fd, "4321\n", 5)), C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    P(" bad %ld %ld %ld", E(write(fd, "x", 1)), E(write(fd, "-5", 2)), C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    P(" zero %ld %ld\n", E(write(fd, "0", 1)), C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    P("of a thread %ld", E(open("/proc/thread-self/timerslack_ns", O_RDONLY)));
    snprintf(other, sizeof other, "/proc/%d/timerslack_ns", getpid());
    pid_t p = fork();
    if (!p) {
        P(" of another %d", setresuid(1000, 1000, 1000));
        fd = open(other, O_RDWR);
        P(" %d %ld", fd > 0, E(read(fd, text, sizeof text)));
        P(" %ld\n", E(write(fd, "7", 1)));
        _exit(0);
    }
    ended(p);
    /* What is open is the process's, whatever it executes, and nobody's after it. */
    if (!(p = fork())) setresuid(1000, 1000, 1000), execl("/proc/self/exe", "prctl", "open", NULL), _exit(1);
    ended(p);
    int go[2];
    pipe(go);
    if (!(p = fork())) read(go[0], text, 1), _exit(0);
    snprintf(other, sizeof other, "/proc/%d/timerslack_ns", p);
    fd = open(other, O_RDWR), write(go[1], "", 1), ended(p);
    close(fd);
    if (!(p = fork())) leaves(go[0]);
    snprintf(other, sizeof other, "/proc/%d/task/%d/stat", p, p);
    for (char state = 0; state != 'Z'; usleep(1000)) fd = open(other, O_RDONLY), pread(fd, text, sizeof text, 0), state = strrchr(text, ')')[2], close(fd);
    snprintf(other, sizeof other, "/proc/%d/timerslack_ns", p);
    fd = open(other, O_RDWR);
    P("first thread ended: %ld %.4s", E(pread(fd, text, sizeof text, 0)), text);
    P(" set %ld", E(write(fd, "8765", 4)));
    P(" read %ld %.4s", E(pread(fd, text, sizeof text, 0)), text);
    write(go[1], "", 1);
    siginfo_t info;
    waitid(P_PID, p, &info, WEXITED | WNOWAIT);
    P(" all ended: %ld %.4s\n", E(pread(fd, text, sizeof text, 0)), text);
    ended(p);
    P("gone %ld %ld\n", E(pread(fd, text, sizeof text, 0)), E(write(fd, "7", 1)));
    close(fd), close(go[0]), close(go[1]);
    C(PR_SET_TIMERSLACK, 1234, 0, 0, 0);
}
static void held(void) {
    int fd = open("/proc/self/timerslack_ns", O_RDWR);
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl("/proc/self/exe", "prctl", "held", number, NULL);
    _exit(1);
}
static void drop(void) {
    struct { unsigned version; int pid; } h = {0x20080522, 0};
    struct { unsigned e, p, i; } d[2];
    syscall(SYS_capget, &h, d);
    d[0].e &= ~(1u << 24), d[0].p &= ~(1u << 24);
    syscall(SYS_capset, &h, d);
}
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "open")) held();
    if (argc > 1 && !strcmp(argv[1], "held")) return P("held %ld\n", E(write(atoi(argv[2]), "50000", 5))), 0;
    if (argc > 1) {
        P("executed: slack %ld mce %ld thp %ld\n", C(PR_GET_TIMERSLACK, 0, 0, 0, 0), C(PR_MCE_KILL_GET, 0, 0, 0, 0), C(PR_GET_THP_DISABLE, 0, 0, 0, 0));
        return 0;
    }
    drop();
    int n = -1, *word = 0;
    pthread_t t;
    pid_t p;
    P("timing %ld %ld %ld\n", C(PR_GET_TIMING, 0, 0, 0, 0), C(PR_SET_TIMING, 0, 0, 0, 0), C(PR_SET_TIMING, 1, 0, 0, 0));
    P("tsc %ld", C(PR_GET_TSC, &n, 0, 0, 0));
    P(" %d %ld %ld %ld\n", n, C(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0), C(PR_SET_TSC, 7, 0, 0, 0), C(PR_GET_TSC, 1, 0, 0, 0));
    P("slack %ld", C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    P(" set %ld", C(PR_SET_TIMERSLACK, 1234, 0, 0, 0));
    P(" %ld\n", C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
    slack();
    P("mce %ld", C(PR_MCE_KILL_GET, 0, 0, 0, 0));
    for (int i = 0; i < 4; i++) P(" %ld %ld,", C(PR_MCE_KILL, PR_MCE_KILL_SET, i, 0, 0), i < 3 ? C(PR_MCE_KILL_GET, 0, 0, 0, 0) : 0);
    P(" clear %ld", C(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
    P(" %ld bad %ld %ld %ld %ld\n", C(PR_MCE_KILL_GET, 0, 0, 0, 0), C(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), C(PR_MCE_KILL, 2, 0, 0, 0), C(PR_MCE_KILL, 1, 1, 1, 0), C(PR_MCE_KILL_GET, 1, 0, 0, 0));
    C(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
    P("thp %ld", C(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    P(" set %ld", C(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    P(" %ld bad %ld\n", C(PR_GET_THP_DISABLE, 0, 0, 0, 0), C(PR_GET_THP_DISABLE, 1, 0, 0, 0));
    P("word %ld %d\n", C(PR_GET_TID_ADDRESS, &word, 0, 0, 0), word != 0);
    int own;
    syscall(SYS_set_tid_address, &own);
    C(PR_GET_TID_ADDRESS, &word, 0, 0, 0);
    P("own %d\n", word == &own);
    for (int i = 0; i < 4; i++) P("speculation %d: %ld\n", i, C(PR_GET_SPECULATION_CTRL, i, 0, 0, 0));
    P("bad %ld\n", C(PR_GET_SPECULATION_CTRL, 0, 1, 0, 0));
    P("flusher %ld", C(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
    P(" set %ld", C(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
    P(" %ld bad %ld %ld", C(PR_GET_IO_FLUSHER, 0, 0, 0, 0), C(PR_SET_IO_FLUSHER, 2, 0, 0, 0), C(PR_SET_IO_FLUSHER, 1, 1, 0, 0));
    P(" off %ld\n", C(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
    pthread_create(&t, 0, thread, 0);
    pthread_join(t, 0);
    if (!(p = fork())) {
        P("child: slack %ld mce %ld thp %ld", C(PR_GET_TIMERSLACK, 0, 0, 0, 0), C(PR_MCE_KILL_GET, 0, 0, 0, 0), C(PR_GET_THP_DISABLE, 0, 0, 0, 0));
        P(" zero %ld %ld\n", C(PR_SET_TIMERSLACK, 0, 0, 0, 0), C(PR_GET_TIMERSLACK, 0, 0, 0, 0));
        execl("/proc/self/exe", "prctl", "executed", (char *)0);
        _exit(1);
    }
    ended(p);
    unsigned size = 0;
    P("mm: size %ld %u", C(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0), size);
    P(" bad %ld %ld %ld\n", C(PR_SET_MM, 99, 0x100000, 0, 0), C(PR_SET_MM, PR_SET_MM_ARG_START, 5, 0, 0), C(PR_SET_MM, PR_SET_MM_ARG_START, 0x100000, 0, 1));
    char *title = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(title, "a title"), strcpy(title + 100, "A=B");
    struct prctl_mm_map m = {0};
    unsigned long brk = (unsigned long)sbrk(0);
    m.start_code = m.start_data = m.end_data = 0x400000, m.end_code = 0x401000;
    m.start_stack = (unsigned long)&m, m.exe_fd = -1;
    m.start_brk = m.brk = brk;
    m.arg_start = (unsigned long)title, m.arg_end = m.arg_start + 8;
    m.env_start = m.arg_start + 100, m.env_end = m.env_start + 4;
    struct prctl_mm_map bad = m;
    bad.arg_end = m.arg_start - 1;
    P("order %ld size %ld none %ld\n", C(PR_SET_MM, PR_SET_MM_MAP, &bad, sizeof bad, 0), C(PR_SET_MM, PR_SET_MM_MAP, &m, 8, 0), C(PR_SET_MM, PR_SET_MM_MAP, 8, sizeof m, 0));
    line("/proc/self/cmdline");
    P("all %ld\n", C(PR_SET_MM, PR_SET_MM_MAP, &m, sizeof m, 0));
    line("/proc/self/cmdline");
    line("/proc/self/environ");
    P("start %ld", C(PR_SET_MM, PR_SET_MM_ARG_END, title + 8, 0, 0));
    P(" then %ld %ld\n", C(PR_SET_MM, PR_SET_MM_ARG_START, title, 0, 0), C(PR_SET_MM, PR_SET_MM_ARG_START, title + 9, 0, 0));
    if (!(p = fork())) {
        setuid(1000);
        P("other: mm %ld flusher %ld size %ld\n", C(PR_SET_MM, PR_SET_MM_ARG_START, title, 0, 0), C(PR_SET_IO_FLUSHER, 1, 0, 0, 0), C(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
        _exit(0);
    }
    ended(p);
    P("none %ld %ld\n", C(9999, 0, 0, 0, 0), C(PR_GET_UNALIGN, &n, 0, 0, 0));
    P("done\n");
}
