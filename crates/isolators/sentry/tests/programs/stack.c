/* How deep the stack goes, and how long arguments may be: RLIMIT_STACK. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Uses so many bytes of the stack. */
static int deep(long bytes) {
    volatile char frame[4096];
    frame[0] = frame[4095] = 1;
    if (bytes <= 4096) return frame[0];
    return deep(bytes - 4096) + frame[4095] - 1;
}

/* What becomes of a program, executed with that limit, that uses so much. */
static void try(const char *limit, const char *bytes, long fill) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        rlim_t soft = !strcmp(limit, "unlimited") ? RLIM_INFINITY : (rlim_t)atol(limit);
        struct rlimit r;
        getrlimit(RLIMIT_STACK, &r);
        r.rlim_cur = soft;
        if (setrlimit(RLIMIT_STACK, &r)) _exit(99);
        /* Arguments of 100,000 bytes each. */
        char *v[128] = {"stack", (char *)bytes}, *text = malloc(100001);
        memset(text, 'x', 100000), text[100000] = 0;
        for (int i = 0; i < fill; i++) v[2 + i] = text;
        execv("/proc/self/exe", v);
        _exit(errno == E2BIG ? 97 : 98);
    }
    int status;
    waitpid(child, &status, 0);
    printf("%s %s %ld: exit %d signal %d\n", limit, bytes, fill,
           WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(int n, char **v) {
    if (n > 1) return deep(atol(v[1])) == 1 ? 7 : 8;
    try("8388608", "7000000", 0);
    try("8388608", "9000000", 0);
    try("67108864", "60000000", 0);
    try("67108864", "70000000", 0);
    try("unlimited", "300000000", 0);
    try("1048576", "900000", 0);
    try("1048576", "2000000", 0);
    try("8388608", "1000", 19);
    try("8388608", "1000", 22);
    try("67108864", "1000", 50);
    try("67108864", "1000", 64);
    try("1048576", "1000", 2);
    try("1048576", "1000", 4);
    puts("done");
}
