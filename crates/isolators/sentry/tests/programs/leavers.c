/* Threads that make processes, threads and mappings while their process ends, or executes a
 * program: nobody hears of an interruption, which Linux never tells of there. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int *told;

static void *forks(void *a) {
    for (;;) {
        pid_t pid = syscall(SYS_clone, 17, 0, 0, 0, 0);
        if (!pid) syscall(SYS_exit_group, 0);
        if (pid < 0 && errno == EINTR) ++*told;
        if (pid > 0) waitpid(pid, 0, 0);
    }
    return a;
}

static void *maps(void *a) {
    for (;;) {
        void *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) { if (errno == EINTR) ++*told; }
        else munmap(p, 65536);
    }
    return a;
}

int main(int argc, char **argv) {
    if (argc > 1) return 0;
    told = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int bad = 0;
    for (int i = 0; i < 300; i++) {
        pid_t pid = fork();
        if (!pid) {
            pthread_t t;
            for (int j = 0; j < 2; j++) pthread_create(&t, 0, forks, 0);
            pthread_create(&t, 0, maps, 0);
            usleep(200 + i * 37 % 3000);
            if (i % 4 == 0) execl("/proc/self/exe", argv[0], "end", (char *)0);
            syscall(SYS_exit_group, 0);
        }
        int status;
        waitpid(pid, &status, 0);
        bad += status != 0;
    }
    printf("bad %d, told %d\n", bad, *told);
    puts("done");
}
