// seccomp(2): filters, their verdicts, what is inherited.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RET(x) BPF_STMT(BPF_RET | BPF_K, (x))

/* This verdict on one call, others are allowed. */
static long on(int nr, unsigned verdict, int flags) {
    struct sock_filter f[] = {NR, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RET(verdict), RET(SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {4, f};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
static void child(const char *what, void (*f)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        f();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("%s: %x\n", what, status & ~0x80);
}
static void allowed(void) {
    TRY(prctl(PR_SET_SECUREBITS, 0));
    setresuid(1000, 1000, 1000);
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO | 5, 0));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    printf("mode %d\n", prctl(PR_GET_SECCOMP));
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO | 5, 0));
    printf("mode %d\n", prctl(PR_GET_SECCOMP));
    TRY(syscall(SYS_getppid));
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO | 6, 0));
    TRY(syscall(SYS_getppid));
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO, 0));
    printf("zero %ld\n", syscall(SYS_getppid));
    TRY(on(SYS_getppid, SECCOMP_RET_ALLOW, 0));
    printf("still %ld\n", syscall(SYS_getppid));
    TRY(on(SYS_openat, SECCOMP_RET_ERRNO | 9999, 0));
    errno = 0;
    printf("far %d %d\n", open("/", O_RDONLY), errno);
    TRY(on(SYS_mmap, SECCOMP_RET_ERRNO | 7, 0));
    TRY((long)malloc(1 << 24) == 0 ? -1 : 0);
    TRY(on(SYS_getppid, SECCOMP_RET_TRACE | 1, 0));
    TRY(syscall(SYS_getppid));
    fflush(stdout);
    if (fork() == 0) {
        TRY(syscall(SYS_getppid));
        fflush(stdout);
        execl("/proc/self/exe", "filters", "child", NULL);
        _exit(1);
    }
    wait(NULL);
    char line[128];
    FILE *s = fopen("/proc/self/status", "r");
    printf("closed %d\n", s == NULL);
}
static void args(void) {
    /* By the second argument's halves, with arithmetic and memory. */
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        RET(SECCOMP_RET_KILL_PROCESS),
        NR,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 9),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ST, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
        BPF_STMT(BPF_LDX | BPF_MEM, 3),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 4000, 2, 0),
        BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_A, 0),
        RET(SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = {sizeof f / sizeof *f, f};
    TRY(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p));
    for (long at = 1; at < 1L << 40; at *= 7) printf("%ld %d\n", at, lseek(-1, at, 0) < 0 ? errno : 0);
    printf("high %d\n", lseek(-1, (3L << 32) | 2, 0) < 0 ? errno : 0);
}
static volatile sig_atomic_t seen;
static void trapped(int n, siginfo_t *i, void *c) {
    greg_t *r = ((ucontext_t *)c)->uc_mcontext.gregs;
    printf("trap %d code %d errno %d call %d arch %x here %d rax %lld\n", n, i->si_code, i->si_errno, i->si_syscall, i->si_arch,
           i->si_call_addr == (void *)r[REG_RIP], r[REG_RAX]);
    r[REG_RAX] = 4711;
    seen++;
}
static void traps(void) {
    struct sigaction a = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &a, 0);
    TRY(on(SYS_getppid, SECCOMP_RET_TRAP | 77, 0));
    printf("got %ld seen %d\n", syscall(SYS_getppid), seen);
    TRY(on(SYS_mmap, SECCOMP_RET_TRAP | 78, 0));
    printf("got %ld seen %d\n", syscall(SYS_mmap, 0, 4096, 0, 34, -1, 0), seen);
    signal(SIGSYS, SIG_IGN);
    fflush(stdout);
    syscall(SYS_getppid);
    puts("not here");
}
static void kill_process(void) {
    TRY(on(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0));
    fflush(stdout);
    syscall(SYS_getppid);
}
static void kill_mmap(void) {
    on(SYS_mmap, SECCOMP_RET_KILL_PROCESS, 0);
    syscall(SYS_mmap, 0, 4096, 0, 34, -1, 0);
}
static void *killed(void *p) {
    on(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    syscall(SYS_getppid);
    puts("not here");
    return NULL;
}
static void kill_thread(void) {
    pthread_t t;
    pthread_create(&t, NULL, killed, NULL);
    pthread_join(t, NULL);
    puts("the other lives");
    fflush(stdout);
    killed(NULL);
}
static void strict(void) {
    TRY(prctl(PR_SET_SECCOMP, 3));
    fflush(stdout);
    syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL);
    write(1, "strict\n", 7);
    syscall(SYS_exit, 3);
}
static void strict_kills(void) {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    getppid();
}
static pthread_barrier_t barrier;
static void *waits(void *p) {
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    printf("in thread %s nnp %d\n", name(syscall(SYS_getppid)), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    return NULL;
}
static void *diverges(void *p) {
    printf("%s\n", name(on(SYS_getpgrp, SECCOMP_RET_ALLOW, 0)));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}
static void all_threads(void) {
    pthread_t t;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&t, NULL, waits, NULL);
    pthread_barrier_wait(&barrier);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO | 4, SECCOMP_FILTER_FLAG_TSYNC));
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
    pthread_create(&t, NULL, diverges, NULL);
    pthread_barrier_wait(&barrier);
    printf("in the way %d\n", on(SYS_getppid, SECCOMP_RET_ERRNO | 4, SECCOMP_FILTER_FLAG_TSYNC) > 0);
    TRY(on(SYS_getppid, SECCOMP_RET_ERRNO | 4, SECCOMP_FILTER_FLAG_TSYNC | 16));
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
}
static void refused(void) {
    unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                          SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW, 0x12340000};
    for (int i = 0; i < 8; i++) printf("action %x %s\n", actions[i], name(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i])));
    TRY(syscall(SYS_seccomp, 99, 0, NULL));
    TRY(on(SYS_getppid, SECCOMP_RET_ALLOW, 0x4000));
    TRY(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL));
    TRY(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
    static struct sock_filter none[] = {NR}, wild[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0)},
                              jump[] = {BPF_STMT(BPF_JMP | BPF_JA, 5), RET(0)}, byte[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RET(0)},
                              load[] = {BPF_STMT(BPF_LD | BPF_MEM, 1), RET(0)}, zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)};
    struct sock_fprog all[] = {{0, none}, {1, none}, {2, wild}, {2, jump}, {2, byte}, {2, load}, {2, zero}, {1, (void *)8}};
    for (int i = 0; i < 8; i++) printf("program %d %s\n", i, name(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all[i])));
    printf("mode %d\n", prctl(PR_GET_SECCOMP));
}
static void asks(void) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    on(SYS_getppid, SECCOMP_RET_TRACE | 17, 0);
    on(SYS_mmap, SECCOMP_RET_TRACE | 18, 0);
    long a = syscall(SYS_getppid, 11), b = syscall(SYS_getppid, 22), c = syscall(SYS_mmap, 0, 0, 0, 0, -1, 0);
    _exit(a == 1234 && b == getpid() && c < 0);
}
static void tracer(void) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) asks();
    int s;
    waitpid(pid, &s, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP);
    ptrace(PTRACE_CONT, pid, 0, 0);
    while (waitpid(pid, &s, 0) == pid && WIFSTOPPED(s)) {
        unsigned long m = 0;
        struct user_regs_struct r;
        ptrace(PTRACE_GETEVENTMSG, pid, 0, &m);
        ptrace(PTRACE_GETREGS, pid, 0, &r);
        printf("stop %x message %lu call %lld rax %lld arg %lld\n", s, m, r.orig_rax, r.rax, r.rdi);
        if (r.rdi == 11) {
            r.orig_rax = -1;
            r.rax = 1234;
        } else if (r.rdi == 22) {
            r.orig_rax = SYS_getpid;
        }
        ptrace(PTRACE_SETREGS, pid, 0, &r);
        ptrace(PTRACE_CONT, pid, 0, 0);
    }
    printf("ended %x\n", s);
}
int main(int argc, char **argv) {
    if (argc > 1) {
        printf("executed %s mode %d\n", name(syscall(SYS_getppid)), prctl(PR_GET_SECCOMP));
        return 0;
    }
    child("allowed", allowed);
    child("args", args);
    child("traps", traps);
    child("kill process", kill_process);
    child("kill mmap", kill_mmap);
    child("kill thread", kill_thread);
    child("strict", strict);
    child("strict kills", strict_kills);
    child("all threads", all_threads);
    child("refused", refused);
    tracer();
    puts("done");
}
