// ptrace(2), process_vm_readv(2), /proc/PID/mem.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/ptrace.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static long pt(long request, pid_t pid, void *addr, void *data) { return syscall(SYS_ptrace, request, (long)pid, addr, data); }
static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))

static int stop(pid_t pid) {
    int status = -1;
    pid_t got = waitpid(pid, &status, __WALL);
    if (got != pid) printf("wait %s\n", strerrorname_np(errno));
    return status;
}
static void show(const char *what, int status) { printf("%s: %x\n", what, status); }
static long eventmsg(pid_t pid) {
    long m = 0;
    pt(PTRACE_GETEVENTMSG, pid, 0, &m);
    return m;
}
static pid_t start(void (*f)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        f();
        _exit(7);
    }
    return pid;
}
static volatile int word = 41;
static const char text[] = "read-only";

static void calls(void) {
    pt(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    syscall(SYS_getppid, 1, 2, 3, 4, 5, 6);
    syscall(SYS_close, -1);
    syscall(SYS_gettid);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_READ);
    munmap(p, 8192);
    _exit(word);
}
static void syscalls(void) {
    pid_t pid = start(calls);
    show("stopped", stop(pid));
    siginfo_t si;
    TRY(pt(PTRACE_GETSIGINFO, pid, 0, &si));
    printf("signo %d code %d\n", si.si_signo, si.si_code);
    struct ptrace_syscall_info info;
    printf("info %ld op %d\n", pt(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info), info.op);
    TRY(pt(PTRACE_SETOPTIONS, pid, 0, (void *)(PTRACE_O_TRACESYSGOOD | 1 << 30)));
    TRY(pt(PTRACE_SETOPTIONS, pid, 0, (void *)PTRACE_O_TRACESYSGOOD));
    TRY(pt(PTRACE_CONT, pid, 0, (void *)100));
    for (int i = 0; i < 14; i++) {
        pt(PTRACE_SYSCALL, pid, 0, 0);
        int s = stop(pid);
        struct user_regs_struct r;
        if (!WIFSTOPPED(s)) {
            show("ended", s);
            return;
        }
        pt(PTRACE_GETREGS, pid, 0, &r);
        memset(&info, 0, sizeof info);
        long size = pt(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof info, &info);
        long rax = (long)r.rax, show_it = r.orig_rax != SYS_mmap && r.orig_rax != SYS_gettid && r.orig_rax != SYS_getppid;
        printf("%x orig %ld rax %ld size %ld op %d ip %d sp %d cs %llx ss %llx", s, (long)r.orig_rax, show_it ? rax : 0, size, info.op,
               info.instruction_pointer == r.rip, info.stack_pointer == r.rsp, r.cs, r.ss);
        if (info.op == 1) printf(" nr %lld", (long long)info.entry.nr);
        if (info.op == 2 && show_it) printf(" value %lld error %d", (long long)info.exit.rval, info.exit.is_error);
        if (r.orig_rax == SYS_getppid && info.op == 1) printf(" args %lld %lld %lld %lld", r.rdi, r.rsi, r.rdx, r.r10);
        puts("");
        if (r.orig_rax == SYS_close && info.op == 1) {
            // Another call instead, and then none.
            r.orig_rax = SYS_getuid;
            pt(PTRACE_SETREGS, pid, 0, &r);
        } else if (r.orig_rax == SYS_gettid && info.op == 1) {
            r.orig_rax = -1;
            r.rax = 1234;
            pt(PTRACE_SETREGS, pid, 0, &r);
            pt(PTRACE_SYSCALL, pid, 0, 0);
            stop(pid);
            pt(PTRACE_GETREGS, pid, 0, &r);
            printf("none %lld\n", (long long)r.rax);
        } else if (r.orig_rax == SYS_mprotect && info.op == 2) {
            pt(PTRACE_POKEDATA, pid, (void *)&word, (void *)0x4200000009L);
        }
    }
    pt(PTRACE_CONT, pid, 0, 0);
    show("end", stop(pid));
}

__attribute__((noinline)) static int target(int a) { return a * 2; }
static void broken(void) {
    pt(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    int r = target(21);
    raise(SIGUSR1);
    _exit(r);
}
static void breakpoints(void) {
    pid_t pid = start(broken);
    stop(pid);
    long was = 0;
    TRY(pt(PTRACE_PEEKTEXT, pid, target, &was));
    printf("same %d\n", memcmp(&was, target, 8));
    TRY(pt(PTRACE_POKETEXT, pid, target, (void *)((was & ~0xffL) | 0xcc)));
    printf("own %d\n", memcmp(&was, target, 8));
    TRY(pt(PTRACE_PEEKTEXT, pid, (void *)8, &was) );
    pt(PTRACE_CONT, pid, 0, 0);
    show("trap", stop(pid));
    siginfo_t si;
    pt(PTRACE_GETSIGINFO, pid, 0, &si);
    printf("code %d\n", si.si_code);
    struct user_regs_struct r;
    struct iovec v = {&r, sizeof r};
    pt(PTRACE_GETREGSET, pid, (void *)1, &v);
    printf("at %ld arg %lld len %ld\n", (long)(r.rip - (long)target), r.rdi, v.iov_len);
    pt(PTRACE_PEEKTEXT, pid, target, &was);
    memcpy(&was, target, 8);
    pt(PTRACE_POKETEXT, pid, target, (void *)was);
    r.rip--;
    r.rdi = 11;
    TRY(pt(PTRACE_SETREGSET, pid, (void *)1, &v));
    int steps = 0, s = 0;
    do {
        pt(PTRACE_SINGLESTEP, pid, 0, 0);
        s = stop(pid);
        pt(PTRACE_GETREGS, pid, 0, &r);
        if (!steps) {
            pt(PTRACE_GETSIGINFO, pid, 0, &si);
            printf("step %x code %d flag %d\n", s, si.si_code, (r.eflags & 0x100) != 0);
        }
        steps++;
    } while (s == 0x57f && r.rip >= (long)target && r.rip < (long)target + 64 && steps < 50);
    printf("steps %d eax %lld\n", steps > 1, r.rax);
    long debug = 5;
    TRY(pt(PTRACE_PEEKUSR, pid, (void *)(offsetof(struct user, regs.rax)), &debug));
    printf("user %ld\n", debug);
    TRY(pt(PTRACE_POKEUSR, pid, (void *)(offsetof(struct user, regs.rbx)), (void *)5));
    TRY(pt(PTRACE_PEEKUSR, pid, (void *)3, &debug));
    struct user_fpregs_struct f;
    TRY(pt(PTRACE_GETFPREGS, pid, 0, &f));
    printf("cwd %x mxcsr %x\n", f.cwd, f.mxcsr);
    f.xmm_space[0] = 77;
    TRY(pt(PTRACE_SETFPREGS, pid, 0, &f));
    memset(&f, 0, sizeof f);
    pt(PTRACE_GETFPREGS, pid, 0, &f);
    printf("xmm %d\n", f.xmm_space[0]);
    static char state[16384];
    struct iovec x = {state, sizeof state};
    TRY(pt(PTRACE_GETREGSET, pid, (void *)0x202, &x));
    printf("state %d xcr0 %d\n", x.iov_len >= 576, (state[464] & 3) == 3);
    pt(PTRACE_CONT, pid, 0, 0);
    show("signal", stop(pid));
    // Nothing instead of the signal.
    pt(PTRACE_CONT, pid, 0, 0);
    show("end", stop(pid));
}

static void handler(int n, siginfo_t *i, void *c) { word = n * 1000 + i->si_code + i->si_value.sival_int; }
static void signalled(void) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    sigaction(SIGUSR2, &a, 0);
    pt(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGUSR1);
    word = word == 0 ? 1 : word;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, 0);
    raise(SIGTERM);
    raise(SIGCHLD);
    signal(SIGHUP, SIG_IGN);
    raise(SIGHUP);
    raise(SIGKILL);
}
static void signals(void) {
    pid_t pid = start(signalled);
    show("usr1", stop(pid));
    siginfo_t si;
    pt(PTRACE_GETSIGINFO, pid, 0, &si);
    si.si_signo = SIGUSR2;
    si.si_code = -1;
    si.si_value.sival_int = 33;
    TRY(pt(PTRACE_SETSIGINFO, pid, 0, &si));
    uint64_t mask = 0;
    TRY(pt(PTRACE_GETSIGMASK, pid, (void *)8, &mask));
    printf("mask %lx\n", mask);
    pt(PTRACE_CONT, pid, 0, (void *)SIGUSR2);
    show("ignored", stop(pid));
    long value = 0;
    pt(PTRACE_PEEKDATA, pid, (void *)&word, &value);
    printf("handler %d\n", (int)value);
    struct ptrace_peeksiginfo_args args = {0, 0, 4};
    siginfo_t list[4];
    long n = pt(PTRACE_PEEKSIGINFO, pid, &args, list);
    printf("waits %ld %d\n", n, n > 0 ? list[0].si_signo : 0);
    pt(PTRACE_CONT, pid, 0, 0);
    show("ignored", stop(pid));
    pt(PTRACE_CONT, pid, 0, 0);
    show("killed", stop(pid));
}

static int cloned(void *p) { return 5; }
static char stack[65536];
static void family(void) {
    pt(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    if (fork() == 0) _exit(3);
    int s;
    wait(&s);
    if (vfork() == 0) _exit(4);
    wait(&s);
    clone(cloned, stack + sizeof stack, CLONE_VM | SIGUSR2, 0);
    waitpid(-1, &s, __WALL);
    execl("/proc/self/exe", "tracing", "child", NULL);
}
static void events(void) {
    pid_t pid = start(family);
    stop(pid);
    long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |
                   PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
    TRY(pt(PTRACE_SETOPTIONS, pid, 0, (void *)options));
    pt(PTRACE_CONT, pid, 0, 0);
    int live = 1, left = 60;
    pid_t child = 0;
    // Children's stops come in any order: each kind is counted.
    int forks = 0, vforks = 0, clones = 0, execs = 0, done = 0, exits = 0, first = 0, dead = 0, good = 0;
    while (live && left--) {
        int s;
        pid_t got = waitpid(-1, &s, __WALL);
        if (got < 0) break;
        if (!WIFSTOPPED(s)) {
            dead++;
            if (got == pid) {
                live = 0;
                show("main", s);
            }
            continue;
        }
        long m = eventmsg(got), sig = 0;
        switch (s >> 16) {
        case PTRACE_EVENT_FORK: forks++; good += m > 0; break;
        case PTRACE_EVENT_VFORK: vforks++; good += m > 0; break;
        case PTRACE_EVENT_CLONE: clones++; good += m > 0; break;
        case PTRACE_EVENT_EXEC: execs++; good += m == got; break;
        case PTRACE_EVENT_VFORK_DONE: done++; break;
        case PTRACE_EVENT_EXIT: exits++; good += got == pid ? m == 0x900 : (m & 0xff) == 0; break;
        default:
            if (WSTOPSIG(s) == SIGSTOP) first++;
            else sig = WSTOPSIG(s);
        }
        pt(PTRACE_CONT, got, 0, (void *)(sig == SIGTRAP ? 0 : sig == SIGUSR2 ? 0 : sig));
    }
    printf("forks %d vforks %d clones %d execs %d done %d exits %d first %d dead %d good %d\n", forks, vforks, clones, execs, done,
           exits, first, dead, good);
}

static void sleeper(void) {
    for (;;) usleep(1000);
}
static char state_of(pid_t pid, int *tracer) {
    char path[64], line[256], state = '?';
    sprintf(path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        sscanf(line, "State: %c", &state);
        sscanf(line, "TracerPid: %d", tracer);
    }
    if (f) fclose(f);
    return state;
}
static void attached(void) {
    pid_t pid = start(sleeper);
    int tracer = -1;
    TRY(pt(PTRACE_CONT, pid, 0, 0));
    TRY(pt(PTRACE_ATTACH, pid, 0, 0));
    TRY(pt(PTRACE_ATTACH, pid, 0, 0));
    show("attached", stop(pid));
    char state = state_of(pid, &tracer);
    printf("state %c tracer %d\n", state, tracer == getpid());
    TRY(pt(PTRACE_INTERRUPT, pid, 0, 0));
    TRY(pt(PTRACE_DETACH, pid, 0, 0));
    state_of(pid, &tracer);
    printf("tracer %d\n", tracer);
    TRY(pt(PTRACE_SEIZE, pid, 0, (void *)PTRACE_O_TRACESYSGOOD));
    TRY(pt(PTRACE_GETEVENTMSG, pid, 0, &tracer));
    TRY(pt(PTRACE_INTERRUPT, pid, 0, 0));
    show("interrupted", stop(pid));
    siginfo_t si;
    TRY(pt(PTRACE_GETSIGINFO, pid, 0, &si));
    printf("code %x\n", si.si_code);
    pt(PTRACE_CONT, pid, 0, 0);
    kill(pid, SIGSTOP);
    show("signal", stop(pid));
    pt(PTRACE_CONT, pid, 0, (void *)SIGSTOP);
    show("group", stop(pid));
    TRY(pt(PTRACE_LISTEN, pid, 0, 0));
    TRY(pt(PTRACE_CONT, pid, 0, 0));
    kill(pid, SIGCONT);
    show("continued", stop(pid));
    pt(PTRACE_CONT, pid, 0, 0);
    show("cont", stop(pid));
    TRY(pt(PTRACE_DETACH, pid, 0, (void *)SIGTERM));
    show("end", stop(pid));
}
static void tracer_dies(void) {
    for (int kills = 0; kills < 2; kills++) {
        pid_t pid = start(sleeper);
        int p[2];
        pipe(p);
        fflush(stdout);
        pid_t tracer = fork();
        if (tracer == 0) {
            pt(PTRACE_SEIZE, pid, 0, (void *)(kills ? PTRACE_O_EXITKILL : 0L));
            pt(PTRACE_INTERRUPT, pid, 0, 0);
            int s;
            waitpid(pid, &s, __WALL);
            _exit(s == (SIGTRAP << 8 | 0x7f | PTRACE_EVENT_STOP << 16));
        }
        show("tracer", stop(tracer));
        if (!kills) {
            int t;
            state_of(pid, &t);
            printf("traced by %d\n", t);
            kill(pid, SIGINT);
        }
        show("tracee", stop(pid));
    }
}
static void memory(void) {
    pid_t pid = start(sleeper);
    char buf[32] = "", two[4];
    struct iovec local[2] = {{two, 4}, {buf, sizeof buf - 1}}, remote = {(void *)text, sizeof text};
    printf("read %ld", process_vm_readv(pid, local, 2, &remote, 1, 0));
    printf(" %.4s %s\n", two, buf);
    int new = 4711;
    struct iovec from = {&new, 4}, to = {(void *)&word, 4};
    printf("write %ld\n", process_vm_writev(pid, &from, 1, &to, 1, 0));
    printf("own %d\n", word);
    to.iov_base = (void *)text;
    TRY(process_vm_writev(pid, &from, 1, &to, 1, 0));
    TRY(process_vm_writev(pid, &from, 1, &to, 1, 1));
    TRY(process_vm_readv(99999, &from, 1, &to, 1, 0));
    char path[64];
    sprintf(path, "/proc/%d/mem", pid);
    int fd = open(path, O_RDWR);
    printf("open %d\n", fd >= 0);
    new = 0;
    printf("mem %ld", pread(fd, &new, 4, (long)&word));
    printf(" %d\n", new);
    TRY(pread(fd, &new, 4, 16));
    pt(PTRACE_ATTACH, pid, 0, 0);
    stop(pid);
    printf("force %ld\n", pwrite(fd, "RE", 2, (long)text));
    printf("back %ld", pread(fd, buf, sizeof text, (long)text));
    printf(" %s own %s\n", buf, text);
    pt(PTRACE_KILL, pid, 0, 0);
    show("killed", stop(pid));
    TRY(pread(fd, &new, 4, (long)&word));
    close(fd);
}
static void other_user(void) {
    setresuid(1000, 1000, 1000);
    TRY(pt(PTRACE_ATTACH, getppid(), 0, 0));
    TRY(pt(PTRACE_ATTACH, getpid(), 0, 0));
    TRY(pt(PTRACE_SEIZE, 99999, 0, 0));
    struct iovec v = {(void *)&word, 4};
    TRY(process_vm_readv(getppid(), &v, 1, &v, 1, 0));
    char path[64];
    sprintf(path, "/proc/%d/mem", getppid());
    TRY(open(path, O_RDONLY));
    fflush(stdout);
}

// One that is another's child is waited for until its tracer has heard of its end, while
// other ends wake who waits.
static void sleeps(void) { pause(); }
static void noise(void) {
    for (;;) {
        if (!fork()) _exit(0);
        wait(0);
    }
}
static void deaths(void) {
    int heard = 0, told = 0, gate[2];
    pid_t other = start(noise);
    pipe(gate);
    for (int i = 0; i < 50; i++) {
        pid_t child = start(sleeps), tracer = fork();
        if (!tracer) {
            int status = 0;
            if (pt(PTRACE_SEIZE, child, 0, 0)) _exit(1);
            write(gate[1], "", 1);
            if (waitpid(child, &status, __WALL) != child) _exit(2);
            _exit(status == SIGKILL ? 0 : 3);
        }
        char c;
        int status = 0;
        read(gate[0], &c, 1);
        kill(child, SIGKILL);
        heard += waitpid(tracer, &status, 0) == tracer && status == 0;
        told += waitpid(child, &status, 0) == child && status == SIGKILL;
    }
    kill(other, SIGKILL);
    waitpid(other, 0, 0);
    printf("deaths %d told %d\n", heard, told);
}

int main(int argc, char **argv) {
    if (argc > 1) return 9;
    syscalls();
    breakpoints();
    signals();
    events();
    attached();
    tracer_dies();
    memory();
    deaths();
    show("user", stop(start(other_user)));
    puts("done");
}
