// What is told of processes that have not ended.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long spent(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void burn(long millis) {
    for (long end = spent() + millis; spent() < end;)
        for (volatile int i = 0; i < 100000; i++)
            ;
}

static long millis(struct rusage *use) {
    return (use->ru_utime.tv_sec + use->ru_stime.tv_sec) * 1000 +
           (use->ru_utime.tv_usec + use->ru_stime.tv_usec) / 1000;
}

static int about(long value, long wanted) {
    return value >= wanted - 60 && value <= wanted + 150;
}

static siginfo_t heard;

static void hear(int number, siginfo_t *info, void *context) {
    heard = *info;
}

static void look(const char *what, pid_t pid, int options, long wanted) {
    struct rusage use;
    memset(&use, 0, sizeof use);
    int status = 0;
    pid_t found;
    while ((found = wait4(pid, &status, options, &use)) < 0 && errno == EINTR)
        ;
    int right = about(millis(&use), wanted);
    printf("%s: %d status %x times %d memory %d\n", what, found == pid, status, right, use.ru_maxrss > 0);
    if (!right)
        printf("%ld ms, not %ld\n", millis(&use), wanted);
}

static void of_stat(const char *what, pid_t pid, long own, long children) {
    char path[64], line[1024];
    sprintf(path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    fgets(line, sizeof line, file);
    fclose(file);
    long user, system, users, systems;
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld", &user,
           &system, &users, &systems);
    printf("%s: own %d children %d\n", what, about((user + system) * 10, own),
           about((users + systems) * 10, children));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    struct sigaction act = {.sa_sigaction = hear, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &act, 0);
    pid_t pid = fork();
    if (!pid) {
        signal(SIGCHLD, SIG_DFL);
        if (!fork()) {
            burn(200);
            _exit(0);
        }
        wait(0);
        burn(300);
        raise(SIGSTOP);
        burn(300);
        raise(SIGSTOP);
        _exit(3);
    }
    look("stopped", pid, WUNTRACED, 500);
    /* Linux counts here by its ticks, which miss much on a busy machine. */
    long told = (heard.si_utime + heard.si_stime) * 10;
    printf("signal code %d times %d\n", heard.si_code, told >= 100 && told <= 600);
    of_stat("stopped", pid, 300, 200);
    kill(pid, SIGCONT);
    look("continued", pid, WCONTINUED, 500);
    siginfo_t info;
    struct rusage use;
    memset(&use, 0, sizeof use);
    waitpid(pid, 0, WUNTRACED);
    kill(pid, SIGCONT);
    look("ended", pid, 0, 800);
    getrusage(RUSAGE_CHILDREN, &use);
    printf("children %d\n", about(millis(&use), 800));
    of_stat("self", getpid(), 0, 800);

    pid = fork();
    if (!pid) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        burn(200);
        raise(SIGUSR1);
        _exit(4);
    }
    look("traced", pid, 0, 200);
    ptrace(PTRACE_CONT, pid, 0, 0);
    look("traced, ended", pid, 0, 200);
    getrusage(RUSAGE_CHILDREN, &use);
    printf("children %d\n", about(millis(&use), 1000));
    burn(100);
    getrusage(RUSAGE_SELF, &use);
    printf("self %d\n", about(millis(&use), 100));
    getrusage(RUSAGE_THREAD, &use);
    printf("thread %d\n", about(millis(&use), 100));
    printf("done\n");
}
