// Tracers that make their tracees' calls, and what else they ask.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define EMULATE 31
#define EMULATE_STEP 32
#define ARCH 30
#define GET_FILTER 0x420c
#define GET_METADATA 0x420d
#define GET_RSEQ 0x420f

static long ask(int request, pid_t pid, unsigned long address, void *data) {
    long result = syscall(SYS_ptrace, request, pid, address, data);
    return result < 0 ? -errno : result;
}

static struct user_regs_struct registers;

static int stopped(pid_t child) {
    int status;
    if (waitpid(child, &status, __WALL) != child) return -1;
    if (WIFEXITED(status)) return 1000 + WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 2000 + WTERMSIG(status);
    ptrace(PTRACE_GETREGS, child, 0, &registers);
    return status >> 8;
}

static volatile int handled;

static void handler(int number) {
    handled++;
}

static void emulated(void) {
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        // Not one of these is made.
        long number = syscall(SYS_getpid);
        long none = syscall(SYS_write, 1, "written\n", 8);
        long unknown = syscall(9999, 1, 2, 3);
        int exits = syscall(SYS_exit_group, 3);
        int code = number == 4242 && none == 77 && unknown == -1 && errno == ENOSYS && exits == 5;
        syscall(SYS_exit_group, code);
        for (;;) syscall(SYS_exit_group, 10 + code);
    }
    printf("first %d\n", stopped(child));
    ask(PTRACE_SETOPTIONS, child, 0, (void *)PTRACE_O_TRACESYSGOOD);
    long answers[] = {4242, 77, -ENOSYS, 5};
    for (int i = 0; i < 4; i++) {
        printf("emulate %ld\n", ask(EMULATE, child, 0, 0));
        int stop = stopped(child);
        // Of the library's own calls around raise(3), there may be some.
        while (registers.orig_rax == SYS_rt_sigprocmask || registers.orig_rax == SYS_gettid) {
            registers.rax = 0;
            ptrace(PTRACE_SETREGS, child, 0, &registers);
            ask(EMULATE, child, 0, 0);
            stop = stopped(child);
        }
        printf("stop %x, call %lld, %lld\n", stop, registers.orig_rax, registers.rax);
        if (answers[i] != -ENOSYS) {
            registers.rax = answers[i];
            ptrace(PTRACE_SETREGS, child, 0, &registers);
        }
    }
    // Now for true, from the stop before an emulated call.
    printf("on %ld\n", ask(EMULATE, child, 0, 0));
    printf("stop %x, call %lld\n", stopped(child), registers.orig_rax);
    printf("calls %ld\n", ask(PTRACE_SYSCALL, child, 0, 0));
    int stop = stopped(child);
    printf("after it %x, %lld\n", stop, registers.rax);
    printf("cont %ld\n", ask(PTRACE_CONT, child, 0, 0));
    printf("ended %d\n", stopped(child));
}

// Steps to a call, which is not made, and over it.
static void steps(void) {
    pid_t child = fork();
    if (child == 0) {
        long number;
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        asm volatile("nop; nop; mov $39, %%eax; syscall; nop; nop"
                     : "=a"(number)
                     :
                     : "rcx", "r11", "memory");
        for (;;) syscall(SYS_exit_group, number == 99);
    }
    stopped(child);
    ask(PTRACE_SETOPTIONS, child, 0, (void *)PTRACE_O_TRACESYSGOOD);
    int count = 0;
    for (int i = 0; i < 5000; i++) {
        ask(EMULATE_STEP, child, 0, 0);
        int stop = stopped(child);
        if (stop == (SIGTRAP | 0x80) && registers.orig_rax == SYS_getpid) {
            printf("before the call: %lld\n", registers.rax);
            registers.rax = 99;
            ptrace(PTRACE_SETREGS, child, 0, &registers);
            unsigned long behind = registers.rip;
            ask(EMULATE_STEP, child, 0, 0);
            stop = stopped(child);
            printf("then %x, %lld, %d further\n", stop, registers.rax,
                   (int)(registers.rip - behind));
            ask(EMULATE_STEP, child, 0, 0);
            stop = stopped(child);
            printf("then %x, %d further\n", stop, (int)(registers.rip - behind));
            count++;
            break;
        }
        if (stop == (SIGTRAP | 0x80)) {
            registers.rax = 0;
            ptrace(PTRACE_SETREGS, child, 0, &registers);
        }
    }
    printf("found %d\n", count);
    ask(PTRACE_CONT, child, 0, 0);
    printf("ended %d\n", stopped(child));
}

// Signals while calls are emulated, and what a handler returns by.
static void signals(void) {
    pid_t child = fork();
    if (child == 0) {
        signal(SIGUSR1, handler);
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (;;) syscall(SYS_getppid);
    }
    stopped(child);
    ask(PTRACE_SETOPTIONS, child, 0, (void *)PTRACE_O_TRACESYSGOOD);
    int stop = 0, call = 0;
    ask(EMULATE, child, 0, 0);
    stop = stopped(child);
    while (registers.orig_rax != SYS_getppid) {
        registers.rax = 0;
        ptrace(PTRACE_SETREGS, child, 0, &registers);
        ask(EMULATE, child, 0, 0);
        stop = stopped(child);
    }
    ask(EMULATE, child, 0, (void *)SIGUSR1);
    stop = stopped(child);
    printf("signal %d\n", stop);
    ask(EMULATE, child, 0, (void *)SIGUSR1);
    stop = stopped(child);
    printf("its return %x, call %lld\n", stop, registers.orig_rax);
    kill(child, SIGKILL);
    printf("killed %d\n", stopped(child));
}

static void asked(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 5),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code}, second = {1, code + 3};
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &second);
        raise(SIGSTOP);
        _exit(0);
    }
    stopped(child);
    struct sock_filter told[8];
    struct {
        uint64_t number, flags;
    } metadata = {0, 9};
    printf("without filters %ld %ld\n", ask(GET_FILTER, child, 0, told),
           ask(GET_METADATA, child, sizeof metadata, &metadata));
    ask(PTRACE_CONT, child, 0, 0);
    stopped(child);
    memset(told, 0, sizeof told);
    printf("first %ld\n", ask(GET_FILTER, child, 0, told));
    printf("the same %d\n", memcmp(told, code, sizeof code));
    printf("length %ld\n", ask(GET_FILTER, child, 0, NULL));
    printf("second %ld\n", ask(GET_FILTER, child, 1, told));
    printf("the same %d\n", memcmp(told, code + 3, sizeof *code));
    printf("third %ld\n", ask(GET_FILTER, child, 2, told));
    printf("nowhere %ld\n", ask(GET_FILTER, child, 0, (void *)1));
    metadata.number = 1;
    printf("flags %ld", ask(GET_METADATA, child, sizeof metadata, &metadata));
    printf(" %lu\n", metadata.flags);
    printf("small %ld\n", ask(GET_METADATA, child, 4, &metadata));
    metadata.number = 2;
    printf("none %ld\n", ask(GET_METADATA, child, sizeof metadata, &metadata));
    // Bases, as arch_prctl tells them.
    unsigned long base = 1, again = 2;
    ptrace(PTRACE_GETREGS, child, 0, &registers);
    printf("base %ld", ask(ARCH, child, (unsigned long)&base, (void *)ARCH_GET_FS));
    printf(" %d\n", base == registers.fs_base);
    printf("gs %ld", ask(ARCH, child, (unsigned long)&base, (void *)ARCH_GET_GS));
    printf(" %d\n", base == registers.gs_base);
    printf("set %ld", ask(ARCH, child, 0x12345000, (void *)ARCH_SET_GS));
    ask(ARCH, child, (unsigned long)&again, (void *)ARCH_GET_GS);
    printf(" %lx\n", again);
    printf("nothing %ld\n", ask(ARCH, child, 0, (void *)0x77));
    printf("nowhere %ld\n", ask(ARCH, child, 1, (void *)ARCH_GET_FS));
    // Signals held back.
    uint64_t mask = 0, set = 1 << 9 | 1 << 8;
    printf("mask %ld\n", ask(0x420b, child, 8, &set));
    printf("mask %ld", ask(0x420a, child, 8, &mask));
    printf(" %lx\n", mask);
    printf("size %ld\n", ask(0x420a, child, 4, &mask));
    printf("unknown %ld\n", ask(0x4fff, child, 0, 0));
    kill(child, SIGKILL);
    printf("killed %d\n", stopped(child));
    // Who may not see filters.
    child = fork();
    if (child == 0) {
        setresgid(4001, 4001, 4001);
        setresuid(4001, 4001, 4001);
        pid_t tracee = fork();
        if (tracee == 0) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            _exit(0);
        }
        stopped(tracee);
        printf("another user %ld\n", ask(GET_FILTER, tracee, 0, told));
        kill(tracee, SIGKILL);
        stopped(tracee);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    emulated();
    steps();
    signals();
    asked();
    puts("done");
}
