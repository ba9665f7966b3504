// Threads that are still at something while another one executes a set-id program.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "itself.h"

static char *longs;
static volatile int going;
static const char *path, *word;

static void *runs(void *by) {
    while (!going) sched_yield();
    for (volatile int i = 0; i < (intptr_t)by; i++);
    execl(path, path, word, NULL);
    _exit(9);
}
static void *runs_other(void *by) {
    while (!going) sched_yield();
    for (volatile int i = 0; i < (intptr_t)by; i++);
    execl("/tmp/plain", "/tmp/plain", "plain", NULL);
    _exit(9);
}
// Another thread: makes calls that only root may make, with whatever the process has.
static void *tries(void *by) {
    going = 1;
    for (;;) {
        if ((intptr_t)by == 0) mkdir(longs, 0755);
        if ((intptr_t)by == 1) syscall(SYS_setresuid, 0, 0, 0);
        if ((intptr_t)by == 2) dup2(0, 5), close(6);
        if ((intptr_t)by == 3) {
            pthread_t t;
            if (!pthread_create(&t, NULL, tries, (void *)2)) pthread_detach(t);
            usleep(50);
        }
    }
}
static int ended(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200 + WTERMSIG(status);
}
// The set-id program: says whether it is what it is to be, with the files that it was given.
static int whole(void) {
    uid_t r, e, s;
    getresuid(&r, &e, &s);
    if (r != 1000 || e != 0 || s != 0) return 2;
    int five = fcntl(5, F_GETFD), six = fcntl(6, F_GETFD);
    for (int i = 0; i < 300; i++)
        if (fcntl(5, F_GETFD) != five || fcntl(6, F_GETFD) != six) return 3;
    return 0;
}
static void race(const char *name, int way, int rounds) {
    int bad = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(100);
            pthread_t t;
            dup2(1, 6), close(5);
            going = 0;
            pthread_create(&t, NULL, runs, (void *)(intptr_t)(i * 37 % 3000));
            tries((void *)(intptr_t)way);
        }
        int code = ended(pid);
        if (code != 0) bad++, printf("%s: %d\n", name, code);
    }
    struct stat made;
    printf("%s: bad %d made %d\n", name, bad, !stat(longs, &made));
    fflush(stdout);
}
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "root")) return whole();
    if (argc > 1 && !strcmp(argv[1], "plain")) return geteuid() == 1000 ? 10 : 11;
    mount("none", "/tmp", "tmpfs", 0, "mode=755");
    copy_itself("/tmp/plain", O_TRUNC, 0755);
    copy_itself("/tmp/setuid", O_TRUNC, 04755);
    longs = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(longs, '/', 4000);
    strcpy(longs + 4000, "tmp/made");
    path = "/tmp/setuid", word = "root";
    setgroups(0, NULL);
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    prctl(PR_SET_DUMPABLE, 1);
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    race("names", 0, rounds);
    race("ids", 1, rounds);
    race("files", 2, rounds);
    race("threads", 3, rounds);
    // Two programs at once: one of them runs, as who it is to be.
    int other = 0;
    for (int i = 0; i < rounds; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(100);
            pthread_t t, o;
            dup2(1, 6), close(5);
            going = 0;
            pthread_create(&t, NULL, runs, (void *)(intptr_t)(i * 37 % 3000));
            pthread_create(&o, NULL, runs_other, (void *)(intptr_t)(i * 53 % 3000));
            going = 1;
            for (;;) pause();
        }
        int code = ended(pid);
        if (code != 0 && code != 10) other++, printf("two: %d\n", code);
    }
    printf("two: bad %d\n", other);
    puts("done");
}
