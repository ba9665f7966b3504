/* Attacks its own wall; each way is a number. What reaches the host shows as a
 * file in the host's root, or as a call that works although it must not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x7ffe00000000UL
/* Which the host would make in its own root. */
#define ESCAPED "/caisson-sentry-escaped"
#define SLOTS 0x7ffe40000000UL

static long raw(long n, long a, long b, long c, long d, long e, long f) {
    long r;
    register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return r;
}

/* Calls an address of the stub's with a system call's registers; the stub goes
 * on with whatever the stack holds. */
static void jump(unsigned long to, long n, long a, long b, long c, long d, long e, long f) {
    static char stack[65536] __attribute__((aligned(64)));
    register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
    asm volatile("mov %[s], %%rsp\n jmp *%[to]"
                 : : [s] "r"(stack + 32768), [to] "b"(to), "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10),
                   "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }

static long int80(long n, long a) {
    long r;
    asm volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a) : "memory", "r8", "r9", "r10", "r11");
    return r;
}

static volatile int go;
static void *scribble(void *unused) {
    (void)unused;
    /* Writes all over the frames of the stub's threads, while they are used. */
    uint64_t x = 88172645463325252ULL;
    while (!go) {
        for (int i = 0; i < 64; i++) {
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            *(volatile uint64_t *)(SLOTS + (x % (2 * 32768)) / 8 * 8) = x;
        }
    }
    return 0;
}

static volatile char path[64] = "/etc/none";
static void *flip(void *unused) {
    (void)unused;
    while (!go) {
        strcpy((char *)path, "/../../../../etc/shadow");
        strcpy((char *)path, "/etc/none");
    }
    return 0;
}

static void *fuzz(void *seed) {
    /* Not those that end others, make more, or wait for good. */
    static const short spared[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill,
        SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_fork, SYS_vfork, SYS_clone, SYS_clone3,
        SYS_pause, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_setuid, SYS_close_range, 335};
    static char memory[65536];
    uint64_t x = 88172645463325252ULL * ((uint64_t)seed + 1);
    for (;;) {
        long a[6];
        for (int i = 0; i < 6; i++) {
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            switch (x >> 61) {
            case 0: a[i] = x & 7; break;
            case 1: a[i] = (x & 0xffff) + (long)memory; break;
            case 2: a[i] = -(long)(x & 0xff); break;
            case 3: a[i] = x & 0xffff; break;
            case 4: a[i] = 1L << (x & 63); break;
            case 5: a[i] = (long)SLOTS + (x & 0xffff); break;
            case 6: a[i] = (long)(x & 0xfffff000); break;
            default: a[i] = (long)x; break;
            }
        }
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        long n = x % 470;
        int spare = 0;
        for (unsigned i = 0; i < sizeof spared / sizeof *spared; i++) spare |= spared[i] == n;
        /* Sleep and wait only briefly: no time given, or none at all. */
        if (n == SYS_nanosleep || n == SYS_clock_nanosleep) continue;
        if (!spare) raw(n, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    return 0;
}

int main(int argc, char **argv) {
    int way = atoi(argv[1]);
    unsigned char *code = (unsigned char *)CODE;
    pthread_t thread;
    switch (way) {
    case 0: /* int 0x80: getpid of 32 bits */
        say("int80", int80(20, 0));
        break;
    case 1: /* sysenter */
        asm volatile("sysenter");
        break;
    case 2: /* x32 numbers */
        say("x32", raw(0x40000000L | 39, 0, 0, 0, 0, 0, 0));
        say("x32 execve", raw(0x40000000L | 520, 0, 0, 0, 0, 0, 0));
        break;
    case 3: /* an own call at the place of ordered ones */
        jump(CODE + 24, SYS_openat, AT_FDCWD, (long)ESCAPED, O_CREAT | O_WRONLY, 0666, 0, 0);
    case 4: /* the same with what is often ordered */
        jump(CODE + 24, SYS_mmap, 0x10000000, 4096, 3, 0x32, -1, 0);
    case 5: /* a forged report */
        jump(CODE + 0, 0x1000, 31, 8, 8, 0, 0, 0);
    case 6: /* a forged end of an order */
        jump(CODE + 61, 0, 0, 0, 0, 0, 0, 1);
    case 7: /* into the middle of each instruction */
        for (int i = 0; i < 200; i++) {
            int status;
            pid_t pid = fork();
            if (pid == 0)
                jump(CODE + i, SYS_openat, AT_FDCWD, (long)ESCAPED, O_CREAT | O_WRONLY, 0666, 0, 0);
            if (waitpid(pid, &status, 0) != pid) return 9;
            if (WIFEXITED(status)) say("offset came back", i);
        }
        say("offsets", 200);
        break;
    case 8: /* take the stub away, replace it, write it */
        say("munmap", munmap((void *)CODE, 4096));
        say("mprotect", mprotect((void *)CODE, 4096, 7));
        say("mmap", (long)mmap((void *)CODE, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
        say("mremap", (long)mremap((void *)CODE, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x20000000));
        say("madvise", madvise((void *)CODE, 4096, MADV_DONTNEED));
        say("all", munmap((void *)0x10000, 0x7fffffff0000UL - 0x10000));
        code[0] = 0xc3;
        break;
    case 9: /* stay below the limit, grow across it */
        say("end", (long)mmap((void *)0x7ffdfffff000UL, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
        say("brk", raw(SYS_brk, CODE, 0, 0, 0, 0, 0) < (long)CODE);
        break;
    case 10: /* other personalities */
        say("personality", personality(PER_LINUX32));
        say("read implies exec", personality(READ_IMPLIES_EXEC));
        break;
    case 11: /* a mask that holds everything back, by a frame of its own */ {
        ucontext_t uc;
        memset(&uc, 0xff, sizeof uc);
        jump(CODE + 12, SYS_rt_sigreturn, 0, 0, (long)&uc, 0, 0, 0);
    }
    case 12: /* frames of the stub, all over */
        pthread_create(&thread, 0, scribble, 0);
        for (int i = 0; i < 10000; i++) {
            void *p = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p != MAP_FAILED) munmap(p, 4096);
        }
        break;
    case 13: /* memory under a call */
        pthread_create(&thread, 0, flip, 0);
        for (int i = 0; i < 3000; i++) {
            int fd = open((const char *)path, O_RDONLY);
            if (fd >= 0) say("opened", fd);
        }
        go = 1;
        say("raced", 3000);
        break;
    case 14: /* wild addresses */
        for (int i = 0; i < 64; i++) {
            long at = (i & 1) ? -(1L << i) : (1L << i);
            if (read(0, (void *)at, 16) > 0 || open((char *)at, 0) >= 0) say("wild", i);
            if (raw(SYS_mmap, at, -1, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) > 0) say("map", i);
        }
        say("wild", 64);
        break;
    case 15: /* calls that the host must never make for it */
        say("ptrace", raw(SYS_ptrace, 16, 4999, 0, 0, 0, 0) < 0);
        say("seccomp", raw(SYS_seccomp, 1, 0, 0, 0, 0, 0) < 0);
        say("bpf", raw(SYS_bpf, 0, 0, 0, 0, 0, 0) < 0);
        say("userfaultfd", raw(SYS_userfaultfd, 0, 0, 0, 0, 0, 0) < 0);
        say("process_vm_readv", raw(SYS_process_vm_readv, 4999, 0, 0, 0, 0, 0) < 0);
        say("io_uring", raw(SYS_io_uring_setup, 1, 0, 0, 0, 0, 0) < 0);
        say("unshare", raw(SYS_unshare, 0x80, 0, 0, 0, 0, 0) < 0);
        break;
    case 16: /* every number, most of them nonsense; but for uretprobe (335), which hosts
                since 6.14 let past every filter, and end with SIGILL */
        for (long n = 0; n < 3000; n++) {
            if (n == 335 || n == SYS_exit || n == SYS_exit_group || n == SYS_rt_sigreturn || n == SYS_pause
                || n == SYS_fork || n == SYS_vfork || n == SYS_clone || n == SYS_clone3 || n == SYS_munmap
                || n == SYS_rt_sigsuspend || n == SYS_close || n == SYS_close_range || n == SYS_select
                || n == SYS_ppoll || n == SYS_poll || n == SYS_pselect6)
                continue;
            raw(n, -1, -1, -1, -1, -1, -1);
        }
        say("numbers", 3000);
        break;
    case 18: /* random calls with likely arguments, by several threads of several processes */
        for (int k = 0; k < (argc > 2 ? atoi(argv[2]) : 4); k++) {
            int status;
            pid_t pid = fork();
            if (pid == 0) {
                for (int fd = 0; fd < 3; fd++) close(fd);
                for (long i = 1; i < 3; i++) pthread_create(&thread, 0, fuzz, (void *)(k * 16 + i));
                fuzz((void *)(k * 16 + 3L));
            }
            usleep(150000);
            kill(pid, SIGKILL);
            if (waitpid(pid, &status, 0) != pid) return 9;
        }
        say("fuzzed", 0);
        break;
    case 19: { /* the places for mapping, and for approved calls: with other calls, at the stub's
                pages, shared, of files, growing down, wrapping around; and a report of failure */
        unsigned long places[2] = {CODE + 138};
        /* The second of those that post. */
        for (int i = 1536, seen = 0; i < 3071 && !places[1]; i++)
            if (code[i] == 0x0f && code[i + 1] == 0x05 && seen++) places[1] = CODE + i;
        for (int k = 0; k < 40; k++) {
            static const long calls[][7] = {
                {SYS_openat, AT_FDCWD, (long)ESCAPED, O_CREAT | O_WRONLY, 0666, 0, 0},
                {SYS_mmap, CODE, 4096, 7, 0x4032, -1, 0},
                {SYS_mmap, 0x7ffcfffff000, 0x100000000, 7, 0x4032, -1, 0},
                {SYS_mmap, SLOTS, 65536, 7, 0x4032, -1, 0},
                {SYS_mmap, 0x10000000, -4096, 7, 0x4032, -1, 0},
                {SYS_mmap, 0x10000000, 4096, 7, 0x4012, 0, 0},
                {SYS_mmap, 0x10000000, 4096, 7, 0x4031, -1, 0},
                {SYS_mmap, 0x7ffdf0000000, 1L << 30, 7, 0x4132, -1, 0},
                {SYS_munmap, CODE, 4096, 0, 0, 0, 0},
                {0x1002, -12, 0, (long)&calls, 0, 0, 0},
                {SYS_munmap, SLOTS, 1 << 20, 0, 0, 0, 0},
                {SYS_munmap, 0x7ffdfffff000, 1L << 31, 0, 0, 0, 0},
                {SYS_munmap, 0x7ffe20000000, 4096, 0, 0, 0, 0},
                {SYS_mprotect, CODE, 4096, 7, 0, 0, 0},
                {SYS_mprotect, CODE + 0x10000, 8192, 7, 0, 0, 0},
                {SYS_mprotect, 0x7ffcfffff000, 1L << 32, 7, 0, 0, 0},
                {SYS_madvise, CODE, 4096, 4, 0, 0, 0},
                {SYS_madvise, SLOTS, 65536, 8, 0, 0, 0},
                {SYS_mremap, CODE, 4096, 4096, 3, 0x20000000, 0},
                {SYS_fork, 0, 0, 0, 0, 0, 0},
            };
            const long i = k % 20, *c = calls[i];
            pid_t pid = fork();
            if (pid == 0) {
                alarm(5);
                jump(i == 9 ? CODE + 178 : places[k / 20], c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
            }
            int status;
            if (waitpid(pid, &status, 0) != pid) return 9;
            if (WIFEXITED(status)) say("came back", k);
        }
        say("places", places[1] != 0);
        say("code", code[0] == 0xb8);
        break;
    }
    case 20: /* changes memory behind the sentry's back, at the place for it: its own, its loss */
        for (int i = 0; i < 4; i++) {
            static const long calls[][4] = {{SYS_mmap, 4096, 3, 0x4032}, {SYS_munmap, 4096, 0, 0},
                {SYS_mprotect, 4096, 7, 0}, {SYS_madvise, 4096, 4, 0}};
            int status;
            pid_t pid = fork();
            if (pid == 0) jump(CODE + 138, calls[i][0], 0x10000000, calls[i][1], calls[i][2], calls[i][3], -1, 0);
            if (waitpid(pid, &status, 0) != pid) return 9;
            say("lost", WIFSIGNALED(status));
        }
        break;
    case 21: /* the clocks' page and the image that reads it */
        say("write", syscall(SYS_read, open("/dev/zero", O_RDONLY), (void *)(CODE + 0x10000), 8));
        say("protect", mprotect((void *)(CODE + 0x10000), 8192, 7));
        say("unmap", munmap((void *)(CODE + 0x10000), 8192));
        *(volatile long *)(CODE + 0x10000) = 0;
        break;
    case 22: /* into the middle of the code that rewritten sites lead to, and of a trampoline;
                with a base register of its own; with the page of trampolines damaged */ {
        int status;
        unsigned char *site;
        for (int i = 0; i < 500; i++) asm volatile("call 1f\n jmp 2f\n1: mov $39, %%eax\n syscall\n ret\n2: lea 1b(%%rip), %0"
            : "=r"(site) : : "rax", "rcx", "r11", "memory");
        unsigned char *place = site[0] == 0xe9 ? site + 5 + *(int *)(site + 1) : 0;
        if (!place) { say("trampolines", 0); break; }
        for (int i = 0; i < 500; i++) {
            pid_t pid = fork();
            if (pid == 0) {
                alarm(5);
                if (i >= 250) raw(SYS_arch_prctl, 0x1001, i & 1 ? SLOTS + 77 : i, 0, 0, 0, 0);
                unsigned long to = i % 250 < 80 ? (unsigned long)place + i % 250 : CODE + 1024 + (i % 250 - 80);
                asm volatile("mov %0, %%rcx\n xor %%r11d, %%r11d\n" : : "r"(code + i) : "rcx", "r11");
                jump(to, SYS_openat, AT_FDCWD, (long)ESCAPED, O_CREAT | O_WRONLY, 0666, 0, 0);
            }
            if (waitpid(pid, &status, 0) != pid) return 9;
        }
        unsigned char *page = (unsigned char *)((unsigned long)place & ~4095UL);
        pid_t pid = fork();
        if (pid == 0) {
            if (mprotect(page, 4096, 7)) _exit(1);
            memset(page, 0x90, 4094), page[4094] = 0x0f, page[4095] = 0x05;
            getpid();
            for (int i = 0; i < 500; i++) getppid();
            asm volatile("call *%0" : : "r"(site) : "rax", "rcx", "r11", "memory");
            _exit(0);
        }
        waitpid(pid, &status, 0);
        pid = fork();
        if (pid == 0) { munmap(page, 4096); asm volatile("call *%0" : : "r"(site) : "rax", "rcx", "r11", "memory"); _exit(0); }
        waitpid(pid, &status, 0);
        say("trampolines", WIFSIGNALED(status));
        break;
    }
    case 17: /* two of the stub's own slots: is another thread's stack its? */
        memset((void *)SLOTS, 0x41, 32768);
        say("scribbled", 0);
        break;
    }
    return 0;
}
