/* Signals that mean no good.
 *     wild frames COUNT  frames by chance for rt_sigreturn: each process may be killed for its own
 *     wild storm MS      threads signal each other as fast as they can, in the middle of calls
 *     wild ends MS       signals for processes that execute programs, end, and whose stacks overflow
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x7ffe00000000UL
#define SLOTS 0x7ffe40000000UL
#define ESCAPED "/caisson-sentry-escaped"

static uint64_t x = 88172645463325252UL;
static uint64_t draw(void) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; return x >> 8; }
static char area[65536] __attribute__((aligned(4096)));
static uint64_t place(void) {
    switch (draw() % 10) {
    case 0: return 0;
    case 1: return CODE + draw() % 4096;
    case 2: return SLOTS + draw() % (1 << 20);
    case 3: return 0x7ffe00010000UL + draw() % 8192;
    case 4: return 1UL << 47;
    case 5: return 0xffff800000000000UL + draw();
    case 6: return (uint64_t)area + draw() % sizeof area;
    case 7: return (uint64_t)area + sizeof area / 4096 * 4096 - 64 + draw() % 128;
    case 8: return draw() << 8;
    default: return (uint64_t)&draw + draw() % 64;
    }
}

/* How the frame is spoilt. */
static volatile int spoil;
static void spoilt(int s, siginfo_t *info, void *given) {
    ucontext_t *uc = given;
    greg_t *g = uc->uc_mcontext.gregs;
    uint32_t *fp = (void *)uc->uc_mcontext.fpregs;
    (void)s, (void)info;
    switch (spoil) {
    case 0: g[REG_CSGSFS] = draw() << 16 | draw(); break;
    case 1: g[REG_CSGSFS] = (draw() % 4 ? 0x33 : 0x23) | draw() % 8 << 16 | (draw() % 2 ? 0x2bUL : 0) << 48; break;
    case 2: g[REG_EFL] = draw(); break;
    case 3: g[REG_EFL] ^= 1UL << draw() % 22; break;
    case 4: uc->uc_mcontext.fpregs = (void *)place(); break;
    case 5: uc->uc_mcontext.fpregs = (void *)((char *)fp + draw() % 64); break;
    case 6: if (fp) fp[116] = draw() % 2 ? 0x46505853 : draw(), fp[117] = draw(), fp[120] = draw(); break;
    case 7: if (fp) fp[117] = (uint32_t[]){0, 511, 512, 576, 4096, 1 << 20, -1, 0x7fffffff}[draw() % 8], fp[120] = 576; break;
    case 8: if (fp) fp[118] = draw(), fp[119] = draw(), fp[120] = fp[117]; break;
    case 9: if (fp) for (int i = 128; i < 144; i++) fp[i] = draw() % 3 ? draw() : 0; break;
    case 10: if (fp) fp[6] = draw(); break;
    case 11: if (fp) for (int i = 0; i < 128; i++) fp[i] = draw(); break;
    case 12: g[REG_RIP] = place(); break;
    case 13: g[REG_RSP] = place(); break;
    case 14: uc->uc_flags = draw(); break;
    case 15: uc->uc_stack = (stack_t){(void *)place(), draw() % 8, draw() % 100000}; break;
    case 16: memset(&uc->uc_sigmask, 0xff, 8); break;
    case 17: uc->uc_link = (void *)place(); break;
    case 18: for (int i = 0; i < 23; i++) g[i] = place(); break;
    case 19: for (unsigned i = 0; i < 40; i++) ((char *)uc)[draw() % sizeof *uc] = draw(); break;
    case 20: uc->uc_mcontext.fpregs = (void *)(area + sizeof area - 64); break;
    case 21: g[REG_RAX] = SYS_openat, g[REG_RDI] = AT_FDCWD, g[REG_RSI] = (long)ESCAPED, g[REG_RDX] = O_CREAT | O_WRONLY,
             g[REG_R10] = 0666, g[REG_RIP] = CODE + draw() % 3072; break;
    default: g[REG_RAX] = (long[]){SYS_mmap, SYS_munmap, SYS_mprotect, SYS_rt_sigreturn, SYS_execve}[draw() % 5], g[REG_RDI] = place(),
             g[REG_RSI] = draw(), g[REG_RDX] = 7, g[REG_RIP] = CODE + draw() % 3072; break;
    }
}
/* The call itself, with the stack anywhere, and what is there by chance. */
static void bare(void) {
    uint64_t at = place();
    for (unsigned i = 0; i < sizeof area / 8; i++) ((uint64_t *)area)[i] = draw() % 4 ? place() : draw();
    asm volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall\n ud2" : : "r"(at) : "memory");
}
static int frames(int count) {
    int died = 0, lived = 0, ended = 0;
    for (int i = 0; i < count; i++) {
        int status, left = 40;
        draw();
        pid_t pid = fork();
        if (pid == 0) {
            static char stack[1 << 16];
            stack_t other = {stack, 0, sizeof stack};
            struct sigaction action = {.sa_sigaction = spoilt, .sa_flags = SA_SIGINFO | (i % 2 ? SA_ONSTACK : 0) | (i % 3 ? SA_NODEFER : 0)};
            if (i % 2) sigaltstack(&other, 0);
            sigaction(SIGUSR1, &action, 0);
            for (int s = 1; s < 16; s++) if (i % 5 == 0 && s != SIGUSR1 && s != SIGALRM) sigaction(s, &action, 0);
            for (spoil = i % 24; spoil < 24; spoil += 1 + draw() % 5) {
                if (spoil == 23) bare();
                kill(getpid(), SIGUSR1);
                for (int k = 0; k < 30; k++) getppid();
            }
            _exit(0);
        }
        while (waitpid(pid, &status, WNOHANG) != pid) {
            usleep(500);
            /* In a circle, with everything held back. */
            if (--left <= 0) kill(pid, SIGKILL);
        }
        if (WIFEXITED(status)) lived++;
        else if (WIFSIGNALED(status)) died++;
        else ended++;
    }
    fprintf(stderr, "died %d lived %d\n", died, lived);
    printf("frames %d\n", died + lived);
    return ended;
}

#define THREADS 6
static pthread_t threads[THREADS];
static volatile int over, ready;
static volatile long wrong, caught;
static int zero, ends[2];
static void count(int s) { (void)s; __atomic_add_fetch(&caught, 1, __ATOMIC_RELAXED); }
static void chatty(int s) { count(s); if (getppid() < 0) wrong++; }
static void *stormed(void *argument) {
    long own = (long)argument, calls = 0;
    static char stacks[THREADS][32768];
    stack_t other = {stacks[own], 0, sizeof stacks[own]};
    char buffer[256];
    sigaltstack(&other, 0);
    pid_t parent = getppid(), pid = getpid();
    int file = memfd_create("storm", 0);
    long counter = 0;
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    while (ready < THREADS) sched_yield();
    for (; !over; calls++) {
        struct timespec short_time = {0, 100000};
        switch (calls % 16) {
        /* Each has its result, or was interrupted, whatever comes in between. */
        case 0: if (getppid() != parent) wrong++; break;
        case 1: memset(buffer, 1, 64); if (read(zero, buffer, 64) != 64 || buffer[63]) wrong++; break;
        case 2: counter++; if (pwrite(file, &counter, 8, 0) != 8) wrong++; break;
        case 3: { long seen = 0; if (pread(file, &seen, 8, 0) != 8 || seen != counter) wrong++; break; }
        case 4: if (nanosleep(&short_time, 0) && errno != EINTR) wrong++; break;
        case 5: { int fd = open("/dev/null", O_RDWR); if (fd < 0 || close(fd)) wrong++; break; }
        case 6: if (poll(0, 0, 0)) wrong += errno != EINTR; break;
        case 7: { char c; if (write(ends[1], "x", 1) == 1 && read(ends[0], &c, 1) != 1) wrong++; break; }
        case 8: { void *p = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  if (p == MAP_FAILED) { wrong++; break; }
                  *(volatile char *)p = 1; if (mprotect(p, 4096, 1) || munmap(p, 8192)) wrong++; break; }
        case 9: syscall(SYS_futex, &ready, 0, ready, &short_time); break;
        case 10: if (access("/tmp", R_OK)) wrong++; break;
        default: {
            int to = (own + calls) % THREADS, s = (int[]){SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 2}[calls % 4];
            if (calls % 32 < 16) pthread_kill(threads[to], s);
            else { union sigval v = {.sival_int = calls}; pthread_sigqueue(threads[to], SIGRTMIN + 1, v); }
        } }
    }
    if (getpid() != pid) wrong++;
    return 0;
}
static int storm(long milliseconds) {
    static const int flags[] = {SA_RESTART, SA_RESTART | SA_NODEFER, SA_ONSTACK | SA_RESTART, SA_ONSTACK | SA_NODEFER | SA_RESTART};
    for (int i = 0; i < 4; i++) {
        struct sigaction action = {.sa_handler = i % 2 ? chatty : count, .sa_flags = flags[i]};
        /* One that others may interrupt has no room for all of them. */
        if (flags[i] & SA_NODEFER) sigfillset(&action.sa_mask);
        sigaction((int[]){SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 2}[i], &action, 0);
    }
    zero = open("/dev/zero", O_RDONLY);
    pipe(ends);
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, stormed, (void *)i);
    usleep(milliseconds * 1000);
    over = 1;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], 0);
    printf("storm wrong %ld caught %d\n", wrong, caught > 100);
    return 0;
}

static void deep(int s) { char room[2048]; memset(room, s, sizeof room); raise(s); (void)*(volatile char *)room; }
static void *execute(void *unused) { (void)unused; usleep(draw() % 3000); execl("/bin/true", "true", (char *)0); return 0; }
static void *leave(void *unused) { (void)unused; usleep(draw() % 2000); if (draw() % 2) _exit(0); return 0; }
static void *quick(void *unused) { (void)unused; char b[64]; for (;;) { getppid(); read(zero, b, 64); } return 0; }
static int finish(long milliseconds) {
    struct timespec begin, now;
    int bad = 0, rounds = 0;
    zero = open("/dev/zero", O_RDONLY);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        int status, way = rounds++ % 4, s[] = {SIGUSR1, SIGRTMIN, SIGCONT, SIGSTOP, SIGTERM, SIGURG};
        draw();
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART | SA_NODEFER};
            if (way == 3) {
                /* Its own stack for signals, which is too small for what comes. */
                static char small[16384];
                stack_t other = {small, 0, sizeof small};
                sigaltstack(&other, 0);
                action = (struct sigaction){.sa_handler = deep, .sa_flags = SA_ONSTACK | SA_NODEFER};
            }
            sigaction(SIGUSR1, &action, 0);
            sigaction(SIGRTMIN, &action, 0);
            if (way == 3 && rounds % 8) raise(SIGUSR1);
            for (int i = 0; i < 2; i++) pthread_create(&thread, 0, quick, 0);
            for (int i = 0; i < 2; i++) pthread_create(&thread, 0, way == 0 ? execute : way == 1 ? leave : quick, 0);
            if (way == 2) for (int i = 0; i < 40; i++) { pthread_create(&thread, 0, leave, 0); pthread_kill(thread, SIGUSR1); pthread_join(thread, 0); }
            usleep(draw() % 4000);
            if (way == 0) execl("/bin/true", "true", (char *)0);
            _exit(0);
        }
        int left = 4000;
        while (waitpid(pid, &status, WNOHANG) != pid) {
            kill(pid, s[draw() % 4]);
            kill(pid, SIGCONT);
            if (left % 16 == 0) syscall(SYS_tgkill, pid, pid + 1 + draw() % 4, SIGUSR1);
            if (left == 2000 && way != 3) kill(pid, s[4]);
            if (--left == 0) kill(pid, SIGKILL), usleep(100000);
            if (left < -20) { bad++; break; }
            usleep(50);
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds);
    fprintf(stderr, "rounds %d\n", rounds);
    printf("ends bad %d\n", bad);
    return 0;
}

int main(int argc, char **argv) {
    long much = argc > 2 ? atol(argv[2]) : 100;
    if (argc > 3) x ^= strtoul(argv[3], 0, 10) * 0x9e3779b97f4a7c15UL;
    if (!strcmp(argv[1], "frames")) return frames(much);
    if (!strcmp(argv[1], "storm")) return storm(much);
    return finish(much);
}
