/* Names that several processes make at once: who is told that one is there finds it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int make(const char *base, const char *below) {
    if (mkdir(below, 0700) == 0 || errno == EEXIST) return 0;
    if (mkdir(base, 0700) < 0 && errno != EEXIST) return 1;
    if (mkdir(below, 0700) < 0 && errno != EEXIST) return 2;
    return 0;
}

static int file(const char *name) {
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 && errno != EEXIST) return 4;
    return fd < 0 && access(name, F_OK) < 0 ? 8 : 0;
}

static int append(const char *name) {
    int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return fd < 0 || write(fd, "x", 1) != 1 ? 16 : 0;
}

int main(void) {
    int bad = 0;
    for (int i = 0; i < 300; i++) {
        char base[64], below[64], name[64], log[64];
        sprintf(base, "/tmp/race-%d", i);
        sprintf(below, "/tmp/race-%d/below", i);
        sprintf(name, "/tmp/race-%d.file", i);
        sprintf(log, "/tmp/race-%d.log", i);
        access(name, F_OK), access(log, F_OK);
        for (int k = 0; k < 3; k++)
            if (!fork()) _exit(append(log) | make(base, below) | file(name));
        int status;
        while (wait(&status) > 0) bad |= WEXITSTATUS(status);
        rmdir(below), rmdir(base), unlink(name), unlink(log);
    }
    printf("bad %d\ndone\n", bad);
}
