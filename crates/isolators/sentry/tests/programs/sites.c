/* Calls that are made so often that their sites are rewritten: what they return, whose
 * ids they tell, and what a signal sees that comes in between. With an argument: says
 * what stands at a site. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char site_getpid[], site_gettid[], sites_end[];
long do_getpid(uint64_t *flags);
long do_gettid(void);
/* Flags are set before and read after the call; words below the stack pointer are used. */
asm(".text\n.globl do_getpid, do_gettid, site_getpid, site_gettid, sites_end\n"
    ".balign 16\ndo_getpid:\n mov %rdi, %r8\n pushq (%rdi)\n movq $0x1234567, -16(%rsp)\n"
    " movq $0x89abcde, -120(%rsp)\n popfq\n nop\n"
    "site_getpid:\n mov $39, %eax\n syscall\n pushfq\n popq (%r8)\n"
    " cmpq $0x89abcde, -128(%rsp)\n je 1f\n mov $-1, %rax\n1: ret\n"
    ".balign 16\ndo_gettid:\nsite_gettid:\n mov $186, %eax\n syscall\n ret\nsites_end:\n");

/* Three pages each: calls at the end of the first and across that of the second, and loops
 * in the second and the third. */
#define EDGES 24
extern char edges[];
asm(".text\n.balign 4096\nedges:\n.rept 24\n"
    ".skip 4085\n mov $39, %eax\n syscall\n ret\n.balign 4096\n"
    "1: cmpl $0, (%rdi)\n je 1b\n ret\n.skip 4087\n mov $39, %eax\n syscall\n ret\n.balign 16\n"
    "2: cmpl $0, (%rdi)\n je 2b\n ret\n.balign 4096\n.endr\n");

static int (*volatile plain)(long, ...) = (void *)syscall;
static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }

static volatile sig_atomic_t hits, inside, outside;
static uintptr_t low, high;
static void handler(int number, siginfo_t *info, void *context) {
    uintptr_t at = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)number; (void)info;
    hits++;
    if (at >= (uintptr_t)do_getpid && at < (uintptr_t)sites_end) inside++;
    if (at < low || at >= high) outside++;
    do_gettid();
    plain(SYS_getpid);
}

static void stepped(int number, siginfo_t *info, void *context) {
    (void)number; (void)info; (void)context;
    hits++;
}

static long ids(long pid, long tid, int times) {
    long wrong = 0;
    for (int i = 0; i < times; i++) {
        uint64_t flags = 0x202;
        wrong += do_getpid(&flags) != pid;
        wrong += do_gettid() != tid;
        wrong += plain(SYS_getpid) != pid;
        wrong += plain(SYS_gettid) != tid;
    }
    return wrong;
}

static void *thread(void *pid) {
    long tid = plain(SYS_gettid);
    if (tid == (long)pid) return (void *)1L;
    return (void *)ids((long)pid, tid, 300);
}

static volatile int stop;
static void *loop(void *at) {
    ((void (*)(volatile int *))at)(&stop);
    return 0;
}

/* Others execute what is next to a site while it is rewritten. */
static long at_edges(long pid) {
    long wrong = 0;
    for (int i = 0; i < EDGES; i++) {
        char *first = edges + i * 3 * 4096;
        pthread_t loops[2];
        stop = 0;
        pthread_create(&loops[0], 0, loop, first + 4096);
        pthread_create(&loops[1], 0, loop, first + 8192 + 16);
        for (int n = 0; n < 100; n++) wrong += ((long (*)(void))(first + 4085))() != pid;
        for (int n = 0; n < 100; n++) wrong += ((long (*)(void))(first + 8192 - 3))() != pid;
        stop = 1;
        for (int n = 0; n < 2; n++) pthread_join(loops[n], 0);
    }
    return wrong;
}

static const uint64_t patterns[] = {0x202, 0x203, 0x206, 0x212, 0x242, 0x282, 0xa02, 0xad7, 0x602};

int main(int argc, char **argv) {
    extern char __executable_start[], etext[];
    low = (uintptr_t)__executable_start, high = (uintptr_t)etext;
    long pid = getpid(), wrong = 0;
    int status;
    say("ids", ids(pid, pid, 500));
    if (argc > 1) {
        say("site", *(unsigned char *)site_getpid);
        say("call", site_getpid[5] == 0x0f && site_getpid[6] == 5);
        return 0;
    }
    for (unsigned i = 0; i < 300 * sizeof patterns / sizeof *patterns; i++) {
        uint64_t want = patterns[i % (sizeof patterns / sizeof *patterns)], flags = want;
        wrong += do_getpid(&flags) != pid;
        wrong += (flags & 0xcd5) != (want & 0xcd5);
    }
    asm volatile("cld");
    say("flags", wrong);

    pid_t child = fork();
    if (!child) _exit(getpid() == pid || ids(getpid(), getpid(), 300) || do_gettid() == pid);
    waitpid(child, &status, 0);
    say("fork", status);
    child = fork();
    if (!child) {
        uint64_t flags = 0x202;
        /* Not even the first one may be the parent's. */
        _exit(do_getpid(&flags) == pid || do_gettid() == pid);
    }
    waitpid(child, &status, 0);
    say("first", status);
    static volatile long of_child;
    child = vfork();
    if (!child) { uint64_t flags = 0x202; of_child = do_getpid(&flags); _exit(0); }
    say("vfork", of_child == child && waitpid(child, &status, 0) == child && ids(pid, pid, 10) == 0);

    pthread_t threads[4];
    void *bad;
    wrong = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, thread, (void *)pid);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], &bad), wrong += (long)bad;
    say("threads", wrong + ids(pid, pid, 10));

    say("edges", at_edges(pid));

    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGALRM, &action, 0);
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0}};
    setitimer(ITIMER_REAL, &often, 0);
    wrong = 0;
    for (long i = 0; hits < 2000 && i < 400000000; i++) {
        uint64_t want = patterns[i % 8], flags = want;
        wrong += do_getpid(&flags) != pid;
        wrong += (flags & 0xcd5) != (want & 0xcd5);
        wrong += plain(SYS_gettid) != pid;
    }
    setitimer(ITIMER_REAL, &never, 0);
    say("signals", wrong);
    say("handled", hits >= 2000);
    say("places outside of the program", outside);
    say("places at the sites", inside > 0);

    /* It steps through the sites by itself. */
    struct sigaction step = {.sa_sigaction = stepped, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &step, 0);
    hits = 0;
    wrong = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t flags = 0x302;
        wrong += do_getpid(&flags) != pid;
        asm volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    }
    say("steps", wrong);
    say("taken", hits > 20 && hits < 1000);

    /* The code is copied away, where it can be written and moved, and back. */
    uintptr_t page = (uintptr_t)do_getpid & ~4095UL;
    static char copy[8192];
    memcpy(copy, (void *)page, 8192);
    say("writable", mprotect((void *)page, 8192, 7));
    memcpy((void *)page, copy, 8192);
    say("again", ids(pid, pid, 100));
    say("executable", mprotect((void *)page, 8192, 5));
    say("again", ids(pid, pid, 100));
    /* A base register of its own. */
    static char own[64] = "mine";
    say("base", plain(SYS_arch_prctl, 0x1001, own));
    say("with it", ids(pid, pid, 300));
    child = fork();
    if (!child) {
        char c;
        asm volatile("mov %%gs:1, %0" : "=r"(c));
        _exit(c != 'i' || ids(getpid(), getpid(), 100));
    }
    waitpid(child, &status, 0);
    say("its child", status);
    printf("done\n");
    return 0;
}
