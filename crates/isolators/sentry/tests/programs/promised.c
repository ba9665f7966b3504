/* A clone that fails shows nobody its CLONE_PIDFD; one that is made shows it to who shares. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile int over, seen, looks;
static long next;
static void *look(void *n) {
    while (!over) looks++, seen += fcntl((long)n, F_GETFD) >= 0;
    return 0;
}
static long make(void *to, unsigned long flags) {
    struct clone_args a = {.flags = CLONE_PIDFD | flags, .pidfd = (unsigned long)to, .exit_signal = SIGCHLD};
    long p = syscall(SYS_clone3, &a, sizeof a);
    if (!p) _exit(fcntl(next, F_GETFD) == FD_CLOEXEC);
    return p;
}
int main(void) {
    long failed = 0;
    next = dup(0);
    close(next);
    pthread_t t;
    pthread_create(&t, 0, look, (void *)next);
    while (!looks);
    for (int i = 0; i < 3000; i++) failed += make((void *)8, 0) == -1 && errno == EFAULT;
    over = 1, pthread_join(t, 0);
    printf("failed %ld seen %d free %d\n", failed, seen, dup(0) == next), close(next);
    for (int i = 0; i < 2; i++) {
        int fd = -1, st;
        long p = make(&fd, i ? CLONE_FILES : 0);
        waitpid(p, &st, 0);
        printf("child has it %d, parent %d\n", WEXITSTATUS(st), fd == next && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        close(fd);
    }
    puts("done");
}
