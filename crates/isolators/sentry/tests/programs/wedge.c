/* What once made the sandbox's kernel wait for good, or run out of something: each in a
   word. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>


#define SLOTS 0x7ffe40000000UL

static void *scribble(void *unused) {
    uint64_t x = 88172645463325252ULL;
    usleep(10000);
    (void)unused;
    for (;;) {
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        *(volatile uint64_t *)(SLOTS + (x % (4 * 32768)) / 8 * 8) = x;
    }
    return 0;
}

/* A tracee whose other thread damages what it is told to do for its tracer. */
static void scribbled(void) {
    for (int round = 0; round < 24; round++) {
        char *hidden = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pid_t pid = fork();
        if (!pid) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            pthread_t thread;
            pthread_create(&thread, 0, scribble, 0);
            raise(SIGSTOP);
            _exit(0);
        }
        int status;
        waitpid(pid, &status, 0);
        pid_t killer = fork();
        if (!killer) {
            usleep(100000);
            kill(pid, SIGKILL);
            _exit(0);
        }
        for (int i = 0; i < 2000; i++)
            if (ptrace(PTRACE_PEEKDATA, pid, hidden, 0) == -1) break;
        waitpid(pid, &status, 0);
        waitpid(killer, 0, 0);
        munmap(hidden, 4096);
    }
    puts("killed");
}

/* More of them than a process has places for threads. */
static void vforks(void) {
    for (int i = 0; i < 8300; i++) {
        pid_t pid = vfork();
        if (!pid) _exit(0);
        if (pid < 0) {
            printf("vfork %d: %m\n", i);
            return;
        }
        waitpid(pid, 0, 0);
    }
    puts("vforked");
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "scribbled")) scribbled();
    if (argc > 1 && !strcmp(argv[1], "vforks")) vforks();
    return 0;
}
