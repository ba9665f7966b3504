/* Alternate stacks of handlers, frames without room, SIGCONT in a session, what children get of their
 * parents' scheduling, threads' numbers. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif
static char alt[65536], other[65536], small[16384];
static sigjmp_buf back;
static int within(void *p, char *stack, size_t size) { return (char *)p >= stack && (char *)p < stack + size; }
static void set(int s, void *f, int flags) {
    struct sigaction a = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
    sigaction(s, &a, 0);
}
/* Whether a frame says that there is none depends on who started the program. */
static void look(int s, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    stack_t now, next = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(0, &now);
    P("in %d: alt %d uc %#x %d now %#x %d", s, within(&now, alt, sizeof alt), (unsigned)u->uc_stack.ss_flags & ~SS_DISABLE,
      u->uc_stack.ss_sp == (void *)alt, (unsigned)now.ss_flags, now.ss_sp == (void *)alt);
    P(" same %ld other %ld none %ld\n", E(sigaltstack(&now, 0)), E(sigaltstack(&next, 0)),
      E(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, 0)));
    if (s == SIGUSR1) raise(SIGUSR2);
}
static void tell(const char *what) {
    stack_t now;
    sigaltstack(0, &now);
    P("%s: %#x %d %zu\n", what, (unsigned)now.ss_flags, now.ss_sp == (void *)alt ? 1 : now.ss_sp ? 2 : 0, now.ss_size);
}
/* By a call of its own: what it takes of the stack itself must not lead below that, where the next frame is
 * put on top again. */
static void deep(int s, siginfo_t *i, void *c) {
    long own = getpid();
    register long number asm("rax") = SYS_kill, which asm("rsi") = SIGUSR1;
    asm volatile("syscall" : "+r"(number) : "D"(own), "r"(which) : "rcx", "r11", "memory");
}
static void escape(int s, siginfo_t *i, void *c) { siglongjmp(back, s == SIGSEGV ? 2 + within(&c, alt, sizeof alt) : 1); }
/* Sends itself a signal with a stack that is none. */
static void adrift(int s) {
    long own = getpid();
    register long number asm("rax") = SYS_kill, to asm("rdi") = own, which asm("rsi") = s;
    asm volatile("mov %%rsp, %%r12\n xor %%esp, %%esp\n syscall\n mov %%r12, %%rsp" : "+r"(number) : "r"(to), "r"(which)
                 : "r12", "rcx", "r11", "memory");
}
static void *fresh(void *p) { tell("thread"); return 0; }
static sem_t go;
static void *waits(void *p) { *(int *)p = gettid(); sem_post(&go); for (;;) pause(); }
static void *cpus(void *p) {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    P("%s: processors %d policy %d\n", (char *)p, CPU_COUNT(&set), sched_getscheduler(0));
    return 0;
}
int main(int argc, char **argv) {
    int st;
    pthread_t t;
    pid_t p;
    if (argc > 1) { cpus("executed"); return 0; }
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt};
    tell("first");
    P("small %ld odd %ld\n", E(sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = 2047}, 0)),
      E(sigaltstack(&(stack_t){.ss_sp = alt, .ss_size = sizeof alt, .ss_flags = 4}, 0)));
    set(SIGUSR1, look, SA_ONSTACK), set(SIGUSR2, look, SA_ONSTACK);
    raise(SIGUSR2);
    sigaltstack(&ss, 0), tell("set"), raise(SIGUSR1), tell("after");
    for (int i = 0; i < 500; i++) sigaltstack(&ss, 0);
    pthread_create(&t, 0, fresh, 0), pthread_join(t, 0);
    ss.ss_flags = SS_ONSTACK, sigaltstack(&ss, 0), tell("in use");
    ss.ss_flags = SS_AUTODISARM, P("disarming %ld\n", E(sigaltstack(&ss, 0)));
    tell("set"), raise(SIGUSR2), tell("after"), raise(SIGUSR1), tell("after");
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, 0), tell("none");
    if (!(p = fork())) { tell("child"); _exit(0); }
    waitpid(p, &st, 0);
    /* a frame that has no room: SIGSEGV, whose handler may have some */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (int way = 0; way < 6; way++) {
        if (!(p = fork())) {
            ss = (stack_t){.ss_sp = alt, .ss_size = sizeof alt};
            if (way != 2) sigaltstack(&ss, 0);
            set(SIGUSR1, escape, way == 3 ? SA_ONSTACK : 0);
            if (way) set(SIGSEGV, escape, way == 4 ? 0 : SA_ONSTACK);
            sigset_t m;
            sigemptyset(&m), sigaddset(&m, SIGSEGV);
            if (way == 5) sigprocmask(SIG_BLOCK, &m, 0);
            int how = sigsetjmp(back, 1);
            if (!how) adrift(SIGUSR1);
            _exit(how);
        }
        waitpid(p, &st, 0);
        P("adrift %d: %#x\n", way, st);
    }
    /* nor has one below an alternate stack */
    if (!(p = fork())) {
        char *guard = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ss = (stack_t){.ss_sp = guard + (1 << 19), .ss_size = sizeof small};
        sigaltstack(&ss, 0);
        set(SIGUSR1, deep, SA_ONSTACK | SA_NODEFER);
        raise(SIGUSR1);
        _exit(0);
    }
    waitpid(p, &st, 0);
    P("below %#x\n", st);
    /* SIGCONT within the session, of whoever */
    if (!(p = fork())) {
        pid_t parent = getppid();
        setuid(1000);
        P("cont %ld term %ld none %ld thread %ld queue %ld", E(kill(parent, SIGCONT)), E(kill(parent, SIGTERM)), E(kill(parent, 0)),
          E(syscall(SYS_tgkill, parent, parent, SIGCONT)), E(sigqueue(parent, SIGCONT, (union sigval){0})));
        int fd = syscall(SYS_pidfd_open, parent, 0);
        P(" pidfd %ld", E(syscall(SYS_pidfd_send_signal, fd, SIGCONT, 0, 0)));
        setsid();
        P(" elsewhere %ld\n", E(kill(parent, SIGCONT)));
        _exit(0);
    }
    waitpid(p, &st, 0);
    /* numbers of threads are good for processes */
    if (!(p = fork())) {
        int tid;
        struct rlimit64 files;
        sem_init(&go, 0, 0);
        pthread_create(&t, 0, waits, &tid);
        sem_wait(&go);
        P("tid %ld limit %ld prlimit %ld none %ld\n", E(kill(tid, 0)), E(syscall(SYS_prlimit64, tid, RLIMIT_NOFILE, 0, &files)),
          E(prlimit(getpid(), RLIMIT_NOFILE, 0, 0)), E(syscall(SYS_prlimit64, 1 << 20, RLIMIT_NOFILE, 0, &files)));
        kill(tid, SIGTERM);
        for (;;) pause();
    }
    waitpid(p, &st, 0);
    P("by its thread %#x\n", st);
    /* what children get */
    cpu_set_t mask, one;
    sched_getaffinity(0, sizeof mask, &mask);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++) if (CPU_ISSET(i, &mask)) { CPU_SET(i, &one); break; }
    P("affinity %ld policy %ld\n", E(sched_setaffinity(0, sizeof one, &one)), E(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0})));
    pthread_create(&t, 0, cpus, "thread"), pthread_join(t, 0);
    if (!(p = fork())) { cpus("child"); execl("/bin/stacks", "stacks", "x", (char *)0); }
    waitpid(p, &st, 0);
    P("reset %ld\n", E(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &(struct sched_param){0})));
    cpus("own"), pthread_create(&t, 0, cpus, "thread"), pthread_join(t, 0);
    if (!(p = fork())) { cpus("child"); _exit(0); }
    waitpid(p, &st, 0);
    P("done\n");
}
