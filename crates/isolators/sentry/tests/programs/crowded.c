/* A container with as many processes as it may have: a program can't be executed, and hears so;
 * and with room for a few, as many as one likes can follow each other. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t all[1000];

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    /* Takes a while to be taken away. */
    size_t much = 30 << 20;
    memset(malloc(much), 1, much);
    int go[2], status, made = 0, bad = 0;
    if (pipe(go)) return 1;
    pid_t waits = fork();
    if (!waits) {
        char byte;
        read(go[0], &byte, 1);
        execl("/bin/true", "true", (char *)0);
        _exit(errno == EAGAIN ? 11 : 1);
    }
    while (made < 1000 && (all[made] = fork()) >= 0)
        if (!all[made++]) for (;;) pause();
    printf("full %d\n", errno == EAGAIN && made > 10);
    write(go[1], "x", 1);
    waitpid(waits, &status, 0);
    printf("execute %d\n", WEXITSTATUS(status));
    for (int i = 0; i < made; i++) kill(all[i], SIGKILL);
    for (int i = 0; i < made; i++) waitpid(all[i], 0, 0);
    for (int i = 0; i < 400; i++) {
        if (i >= 8) wait(0);
        pid_t pid = fork();
        if (!pid && i % 4 == 0) execl("/bin/true", "true", (char *)0);
        if (!pid) _exit(0);
        bad += pid < 0;
    }
    while (wait(&status) > 0) bad += status != 0;
    printf("bad %d\n", bad);
    puts("done");
}
