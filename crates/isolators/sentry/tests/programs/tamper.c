/* A tracer turns its tracee on the kernel: each way is a number. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define CODE 0x7ffe00000000UL
#define CLOCKS (CODE + 0x10000)
#define SLOTS 0x7ffe40000000UL
/* Which the host would make in its own root. */
#define ESCAPED "/caisson-sentry-escaped"

static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }
static long raw(long n, long a, long b, long c) {
    long r;
    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}
static pid_t start(void (*f)(void)) {
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        f();
        _exit(7);
    }
    int status;
    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    return pid;
}
/* Lets it go on to its next stop, or end. */
static int next(pid_t pid, long how, int signal) {
    int status = -1;
    if (ptrace(how, pid, 0, (long)signal)) return -1;
    waitpid(pid, &status, __WALL);
    return status;
}
/* To its end, with what signals it gets. */
static int finish(pid_t pid) {
    int status = next(pid, PTRACE_CONT, 0);
    for (int i = 0; i < 100 && WIFSTOPPED(status); i++) status = next(pid, PTRACE_CONT, WSTOPSIG(status) & 0x7f);
    if (WIFSTOPPED(status)) ptrace(PTRACE_KILL, pid, 0, 0), waitpid(pid, &status, __WALL);
    return status;
}
static void one(void) { _exit(raw(SYS_getppid, 0, 0, 0) < 0 ? 9 : 8); }

/* Before a call: another one, with arguments that aim at the stub. */
static void forge(void) {
    static const long calls[][7] = {
        {SYS_mmap, CODE, 4096, 7, 0x32, -1, 0},
        {SYS_mmap, SLOTS, 65536, 7, 0x32, -1, 0},
        {SYS_mmap, CLOCKS, 4096, 3, 0x32, -1, 0},
        {SYS_mprotect, CODE, 4096, 7},
        {SYS_mprotect, CLOCKS, 8192, 7},
        {SYS_munmap, CODE, 4096},
        {SYS_munmap, 0x10000, 0x7fffffff0000L - 0x10000},
        {SYS_mremap, CODE, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, 0x20000000},
        {SYS_madvise, CODE, 4096, MADV_DONTNEED},
        {SYS_read, 99, CODE, 4096},
        {0x40000000L | SYS_getpid},
        {SYS_ptrace, 16, 0},
        {SYS_process_vm_writev, 0, CODE, 1, CODE, 1},
        {SYS_execve, CODE, CODE, CODE},
        {SYS_seccomp, 1, 0, CODE},
        {SYS_clone3, CODE, 88},
        {500}, {0x7fffffff}, {0x3fffffff}, {1L << 40 | 500},
    };
    int refused = 0, all = sizeof calls / sizeof *calls;
    for (int i = 0; i < all; i++) {
        pid_t pid = start(one);
        struct user_regs_struct r;
        int status;
        do {
            status = next(pid, PTRACE_SYSCALL, 0);
            ptrace(PTRACE_GETREGS, pid, 0, &r);
        } while (WIFSTOPPED(status) && r.orig_rax != SYS_getppid);
        const long *c = calls[i];
        r.orig_rax = c[0], r.rdi = c[1], r.rsi = c[2], r.rdx = c[3], r.r10 = c[4], r.r8 = c[5], r.r9 = c[6];
        ptrace(PTRACE_SETREGS, pid, 0, &r);
        status = finish(pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 9) refused++;
        else printf("call %d: %x\n", i, status);
    }
    say("refused", refused - all);
    /* What has no way back. */
    static const long ends[][3] = {{SYS_rt_sigreturn}, {SYS_arch_prctl, 0x1002, SLOTS}, {SYS_arch_prctl, 0x1001, SLOTS + 77},
                                   {SYS_exit, 5}, {SYS_vfork}, {335}, {SYS_restart_syscall}};
    int over = 0;
    for (int i = 0; i < 7; i++) {
        pid_t pid = start(one);
        struct user_regs_struct r;
        int status;
        do {
            status = next(pid, PTRACE_SYSCALL, 0);
            ptrace(PTRACE_GETREGS, pid, 0, &r);
        } while (WIFSTOPPED(status) && r.orig_rax != SYS_getppid);
        r.orig_rax = ends[i][0], r.rdi = ends[i][1], r.rsi = ends[i][2];
        ptrace(PTRACE_SETREGS, pid, 0, &r);
        status = finish(pid);
        over += WIFEXITED(status) || WIFSIGNALED(status);
    }
    say("over", over - 7);
}

/* Into each byte of the stub's code, of the clocks' and of nowhere, with a call's registers. */
static void lead(void) {
    static const unsigned long wild[] = {0, 1UL << 63, 0x800000000000UL, -1UL, -4096UL, 0x7ffffffff000UL, SLOTS, CLOCKS,
                                         CLOCKS + 4096, CODE + 4095, CODE + 4096, 0xffffffffff600000UL};
    int ended = 0, came = 0, all = 0;
    for (int i = 0; i < 260 + 12; i++, all++) {
        pid_t pid = start(one);
        struct user_regs_struct r;
        int status = i & 1 ? next(pid, PTRACE_SYSCALL, 0) : 0;
        ptrace(PTRACE_GETREGS, pid, 0, &r);
        r.orig_rax = -1, r.rax = SYS_openat, r.rdi = AT_FDCWD, r.rsi = (long)ESCAPED, r.rdx = O_CREAT | O_WRONLY, r.r10 = 0666;
        r.rip = i < 260 ? CODE + i : wild[i - 260];
        ptrace(PTRACE_SETREGS, pid, 0, &r);
        status = finish(pid);
        ended += WIFSIGNALED(status);
        came += WIFEXITED(status) && WEXITSTATUS(status) != 7 && WEXITSTATUS(status) != 8;
    }
    say("led", all);
    say("came back", came);
    say("ended", ended > all / 2);
}

/* Registers that no program may have. */
static void registers(void) {
    pid_t pid = start(one);
    struct user_regs_struct r, now;
    struct iovec v = {&r, sizeof r};
    static const unsigned long cs[] = {0, 0x10, 0x18, 0x23, 0x1b, 0xffff};
    for (int i = 0; i < 6; i++) {
        ptrace(PTRACE_GETREGSET, pid, 1, &v);
        r.cs = cs[i];
        long set = ptrace(PTRACE_SETREGSET, pid, 1, &v);
        ptrace(PTRACE_GETREGS, pid, 0, &now);
        printf("cs %lx: %s %llx\n", cs[i], set ? strerrorname_np(errno) : "ok", now.cs);
        ptrace(PTRACE_GETREGSET, pid, 1, &v);
        r.ss = cs[i];
        set = ptrace(PTRACE_SETREGSET, pid, 1, &v);
        ptrace(PTRACE_GETREGS, pid, 0, &now);
        printf("ss %lx: %s %llx\n", cs[i], set ? strerrorname_np(errno) : "ok", now.ss);
    }
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    unsigned long before = r.eflags;
    r.eflags = -1UL;
    ptrace(PTRACE_SETREGS, pid, 0, &r);
    ptrace(PTRACE_GETREGS, pid, 0, &now);
    printf("eflags %llx\n", now.eflags & ~(before & 0x200));
    r.eflags = before, r.rsp = 1UL << 63, r.fs_base = 1UL << 63;
    long set = ptrace(PTRACE_SETREGS, pid, 0, &r);
    printf("fs_base: %s\n", set ? strerrorname_np(errno) : "ok");
    int status = finish(pid);
    say("ended", WIFSIGNALED(status));
    pid = start(one);
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    r.eflags |= 0x4000 | 0x40000 | 0x400 | 0x100;
    ptrace(PTRACE_SETREGS, pid, 0, &r);
    status = finish(pid);
    say("flags: over", WIFSIGNALED(status) || WIFEXITED(status));
    /* An extended state that nobody made. */
    static unsigned char state[16384];
    int over = 0;
    for (int i = 0; i < 20; i++) {
        pid = start(one);
        struct iovec x = {state, sizeof state};
        ptrace(PTRACE_GETREGSET, pid, 0x202, &x);
        for (size_t at = 0; at < x.iov_len; at++)
            if (i == 0 || (at * 31 + i * 17) % 7 == 0) state[at] = i & 1 ? 0xff : at * i;
        ptrace(PTRACE_SETREGSET, pid, 0x202, &x);
        status = finish(pid);
        over += WIFSIGNALED(status) || WIFEXITED(status);
    }
    say("states", over);
}

/* The pages of the stub, by every way to write a tracee's memory. */
static void pages(void) {
    pid_t pid = start(one);
    char path[64];
    sprintf(path, "/proc/%d/mem", pid);
    int mem = open(path, O_RDWR);
    static const unsigned long places[] = {CODE, CODE + 24, CODE + 4088, CODE + 1024, CLOCKS, CLOCKS + 4096,
                                           -4096UL, 1UL << 63, 0xffffffffff600000UL};
    int written = 0;
    for (int i = 0; i < 9; i++) {
        long word = 0x9090909090909090L;
        struct iovec local = {&word, 8}, remote = {(void *)places[i], 8};
        written += ptrace(PTRACE_POKETEXT, pid, places[i], word) == 0;
        written += ptrace(PTRACE_POKEDATA, pid, places[i] + 1, word) == 0;
        written += process_vm_writev(pid, &local, 1, &remote, 1, 0) > 0;
        written += pwrite(mem, &word, 8, places[i]) > 0;
    }
    say("written", written);
    say("same", memcmp((void *)CODE, "\x90\x90\x90\x90\x90\x90\x90\x90", 8) != 0);
    /* Its frames are its own to damage, but its tracer's registers are not read from them. */
    struct user_regs_struct r, now;
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    for (unsigned long at = SLOTS; at < SLOTS + 65536; at += 8) ptrace(PTRACE_POKEDATA, pid, at, -1L);
    ptrace(PTRACE_GETREGS, pid, 0, &now);
    say("held", r.rip == now.rip && r.rsp == now.rsp && r.rax == now.rax && r.rbx == now.rbx);
    int status = finish(pid);
    say("over", WIFSIGNALED(status) || WIFEXITED(status));
    close(mem);
}

/* What a signal tells, forged. */
static void handler(int n, siginfo_t *i, void *c) { _exit(n == SIGUSR1 ? 11 : 12); }
static void signalled(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0), sigaction(SIGSYS, &a, 0), sigaction(SIGSEGV, &a, 0), sigaction(SIGURG, &a, 0);
    raise(SIGUSR1);
}
static void infos(void) {
    static const int numbers[] = {0, -1, 65, 1 << 30, SIGKILL, SIGSTOP, SIGSYS, SIGURG, SIGSEGV, SIGUSR1};
    static const int sent[] = {SIGUSR1, SIGSYS, SIGURG, SIGSEGV, SIGTERM};
    int all = 0, over = 0;
    for (int n = 0; n < 10; n++)
        for (int s = 0; s < 5; s++, all++) {
            pid_t pid = start(signalled);
            int status = next(pid, PTRACE_CONT, 0);
            siginfo_t info;
            memset(&info, 0xff, sizeof info);
            info.si_signo = numbers[n], info.si_code = n & 1 ? 0x80 : 1, info.si_errno = -1;
            info.si_arch = 0x40000003, info.si_call_addr = (void *)CODE, info.si_syscall = SYS_execve;
            ptrace(PTRACE_SETSIGINFO, pid, 0, &info);
            status = next(pid, PTRACE_CONT, sent[s]);
            int named = WIFEXITED(status) && WEXITSTATUS(status) == (sent[s] == SIGUSR1 ? 11 : 12);
            over += named || (sent[s] == SIGTERM && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
            if (WIFSTOPPED(status)) kill(pid, SIGKILL), waitpid(pid, &status, __WALL);
        }
    say("infos", over - all);
}

/* The call that it has stopped before, turned into a jump to another one: which is judged. */
extern char site[], after[], other[];
static volatile long number;
static void jumps(void) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgrp, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 3), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4711, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {8, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p);
    long r = SYS_personality, b = number;
    asm volatile(".globl site, after, other\nsite: syscall\nafter: jmp 1f\nother: mov %%rbx, %%rax\n mov $4711, %%edi\n syscall\n mov $-1000, %%rax\n1:"
                 : "+a"(r) : "b"(b), "D"(-1L) : "rcx", "r11", "memory");
    _exit(r == -1000 ? 66 : 6);
}
static void pokes(void) {
    static const long calls[] = {SYS_getpgrp, SYS_personality};
    for (int i = 0; i < 2; i++) {
        number = calls[i];
        pid_t pid = start(jumps);
        struct user_regs_struct r;
        int status;
        do {
            status = next(pid, PTRACE_SYSCALL, 0);
            ptrace(PTRACE_GETREGS, pid, 0, &r);
        } while (WIFSTOPPED(status) && r.orig_rax != SYS_personality);
        long word = ptrace(PTRACE_PEEKTEXT, pid, site, 0);
        unsigned char jump[2] = {0xeb, other - after};
        memcpy(&word, jump, 2);
        ptrace(PTRACE_POKETEXT, pid, site, word);
        status = finish(pid);
        /* On Linux the call was made already: 6. */
        say("made", WIFEXITED(status) && WEXITSTATUS(status) == 66);
    }
}

int main(int argc, char **argv) {
    static void (*const ways[])(void) = {forge, lead, registers, pages, infos, pokes};
    alarm(100);
    ways[atoi(argv[1])]();
    return 0;
}
