// Advice about forks, areas that grow, another process's memory.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static int code;

static void fault(int number, siginfo_t *info, void *context) {
    code = info->si_code;
    siglongjmp(back, number);
}

static char alternate[64 << 10];

// Signal and cause of touching an address; 0 if it is fine.
static int touch(volatile char *at) {
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    int number = sigsetjmp(back, 1);
    if (number == 0) {
        *at += 1;
        return 0;
    }
    return number * 10 + code;
}

static int listed(void *at) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int found = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        sscanf(line, "%lx-%lx", &from, &to);
        found |= (uintptr_t)at >= from && (uintptr_t)at < to;
    }
    fclose(maps);
    return found;
}

static void forks(void) {
    char *at = mmap(NULL, 6 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(at, 'x', 6 * 4096);
    printf("not inherited %d\n", madvise(at + 4096, 2 * 4096, MADV_DONTFORK));
    printf("wiped %d\n", madvise(at + 4 * 4096, 4096, MADV_WIPEONFORK));
    printf("inherited again %d\n", madvise(at + 2 * 4096, 4096, MADV_DOFORK));
    printf("kept %d\n", madvise(at + 5 * 4096, 4096, MADV_WIPEONFORK));
    printf("kept %d\n", madvise(at + 5 * 4096, 4096, MADV_KEEPONFORK));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (int page = 0; page < 6; page++) {
            int there = listed(at + page * 4096);
            int result = touch(at + page * 4096);
            printf("child %d: listed %d, %d", page, there, result);
            printf(", %d\n", result ? 0 : at[page * 4096]);
        }
        // A second generation, of what the first one mapped there.
        mmap(at + 4096, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        at[4096] = 'n';
        fflush(stdout);
        pid_t grand = fork();
        if (grand == 0) {
            printf("grandchild %d\n", touch(at + 4096) ? 0 : at[4096]);
            fflush(stdout);
            _exit(0);
        }
        waitpid(grand, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("parent %d %d\n", listed(at + 4096), at[4096]);
    // It is the area's, not the addresses'.
    munmap(at + 4096, 4096);
    mmap(at + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        printf("mapped anew %d\n", touch(at + 4096));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    munmap(at + 4096, 4096);
    int result = madvise(at, 3 * 4096, MADV_DONTFORK);
    printf("with a hole %d %d\n", result, errno);
    printf("nothing %d\n", madvise(at, 0, MADV_DONTFORK));
    printf("not aligned %d\n", madvise(at + 1, 4096, MADV_DONTFORK));
    printf("file: wiped %d %d\n",
           madvise(mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 4096,
                   MADV_WIPEONFORK),
           errno);
}

#define GAP (256 * 4096)

static volatile char *base;

static void *neighbour(void *unused) {
    base[-2 * 4096] = 't';
    return NULL;
}

// An area that grows, with much room below.
static char *growing(size_t length) {
    size_t size = 64 << 20;
    char *room = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    munmap(room, size);
    char *at = room + size - length;
    char *got = mmap(at, length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
    printf("at its place %d\n", got == at);
    return at;
}

static void growth(void) {
    char *at = growing(4096);
    printf("itself %d\n", touch(at));
    printf("a page below %d\n", touch(at - 4096));
    printf("listed %d %d\n", listed(at - 4096), listed(at - 8192));
    printf("far below %d\n", touch(at - 3 * GAP));
    printf("listed %d\n", listed(at - 2 * GAP));
    printf("farther than the limit %d\n", touch(at - (9 << 20)));
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = 16 << 20;
    setrlimit(RLIMIT_STACK, &limit);
    printf("the limit raised %d\n", touch(at - (9 << 20)));
    // What is below keeps its distance, unless nobody can touch it.
    char *low = at - (9 << 20) - 2 * GAP;
    mmap(low, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("in the gap %d\n", touch(low + 4096 + GAP - 4096));
    printf("above the gap %d\n", touch(low + 4096 + GAP));
    mprotect(low, 4096, PROT_NONE);
    printf("in the gap of what nobody touches %d\n", touch(low + 2 * 4096));
    printf("just above it %d\n", touch(low + 4096));
    // Threads that touch the same.
    base = growing(8192);
    // So that no stack comes near it.
    mmap((char *)base - (4 << 20), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    signal(SIGSEGV, SIG_DFL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, neighbour, NULL);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    printf("threads %c\n", base[-2 * 4096]);
    char *next = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long away = (char *)base - 2 * 4096 - next;
    printf("others stay away %d\n", away < 0 || away > GAP);
    void *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    printf("shared %d %d\n", shared == MAP_FAILED, errno);
    // Protection from where it starts.
    char *third = growing(3 * 4096);
    printf("protect %d\n", mprotect(third + 8192, 4096, PROT_READ | PROT_GROWSDOWN));
    printf("its first page %d\n", touch(third) != 0);
    int result = mprotect(third + 8192, 4096, PROT_READ | PROT_GROWSUP);
    printf("upwards %d %d\n", result, errno);
    result = mprotect(third, 4096, PROT_READ | PROT_GROWSUP | PROT_GROWSDOWN);
    printf("both %d %d\n", result, errno);
    char *plain = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    result = mprotect(plain, 4096, PROT_READ | PROT_GROWSDOWN);
    printf("of another area %d %d\n", result, errno);
    // A stack that is to be executed.
    char *page = (char *)((uintptr_t)&page & ~4095UL);
    printf("stack %d\n", mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_GROWSDOWN));
}

// From the program's own stack, more than it was given at the start.
static int deep(int depth) {
    volatile char room[16 << 10];
    room[0] = depth;
    return depth == 0 ? room[0] : deep(depth - 1) + room[0] * 0 + 1;
}

static long advise(int handle, void *ranges, long count, int advice, int flags) {
    long result = syscall(440, handle, ranges, count, advice, flags);
    return result < 0 ? -errno : result;
}

static void others(void) {
    char *at = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(at, 1, 4 * 4096);
    int hold[2];
    pipe(hold);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(hold[1]);
        munmap(at + 3 * 4096, 4096);
        read(hold[0], &byte, 1);
        _exit(0);
    }
    int handle = syscall(434, child, 0);
    struct iovec two[2] = {{at, 4096}, {at + 4096, 4096}};
    struct iovec hole[2] = {{at, 4096}, {at + 3 * 4096, 4096}};
    printf("cold %ld\n", advise(handle, two, 2, MADV_COLD, 0));
    printf("out %ld\n", advise(handle, two, 1, MADV_PAGEOUT, 0));
    printf("need %ld\n", advise(handle, two, 2, MADV_WILLNEED, 0));
    printf("none %ld\n", advise(handle, two, 0, MADV_COLD, 0));
    printf("another advice %ld\n", advise(handle, two, 2, MADV_DONTNEED, 0));
    printf("flags %ld\n", advise(handle, two, 2, MADV_COLD, 1));
    printf("bad list %ld\n", advise(handle, (void *)1, 2, MADV_COLD, 0));
    printf("too many %ld\n", advise(handle, two, 1025, MADV_COLD, 0));
    printf("no process %ld\n", advise(1000, two, 2, MADV_COLD, 0));
    hole[0].iov_base = at + 1;
    printf("not aligned %ld\n", advise(handle, hole, 1, MADV_COLD, 0));
    pid_t other = fork();
    if (other == 0) {
        setgroups(0, NULL);
        setresgid(4001, 4001, 4001);
        setresuid(4001, 4001, 4001);
        printf("another user %ld\n", advise(handle, two, 1, MADV_COLD, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(other, NULL, 0);
    close(hold[1]);
    waitpid(child, NULL, 0);
    printf("gone %ld\n", advise(handle, two, 1, MADV_COLD, 0));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    forks();
    growth();
    printf("deep %d\n", deep(800));
    others();
    puts("done");
}
