/* Children that tell somebody else's parent of their end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int asked, told;
static void on_asked(int number) { (void)number; asked++; }
static void on_told(int number) { (void)number; told++; }

int main(void) {
    signal(SIGUSR1, on_asked);
    signal(SIGCHLD, on_told);
    pid_t pid = fork();
    if (!pid) {
        if (!syscall(SYS_clone, CLONE_PARENT | SIGUSR1, 0, 0, 0, 0)) _exit(3);
        _exit(4);
    }
    int sum = 0, status;
    for (int i = 0; i < 2; i++)
        if (wait(&status) > 0) sum += WEXITSTATUS(status);
        else i -= errno == EINTR;
    printf("ends %d asked %d told %d\n", sum, asked, told > 0);

    struct clone_args args = {.flags = CLONE_PARENT, .exit_signal = SIGUSR1};
    pid = fork();
    if (!pid) {
        long made = syscall(SYS_clone3, &args, sizeof args);
        _exit(made == -1 && errno == EINVAL ? 5 : 6);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
    printf("sibling with a signal %d\n", WEXITSTATUS(status));

    /* What was agreed on is not kept for another program. */
    int executed[2];
    char none;
    pipe2(executed, O_CLOEXEC);
    pid = syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (!pid) {
        execl("/bin/true", "true", (char *)0);
        execl("/usr/bin/true", "true", (char *)0);
        _exit(7);
    }
    close(executed[1]);
    while (read(executed[0], &none, 1) < 0 && errno == EINTR);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR);
    printf("program %d\n", WEXITSTATUS(status));
    puts("done");
    return 0;
}
