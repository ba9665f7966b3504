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

/* One changes a name in two ways, the other takes it as soon as it is free: what is there in the
 * end is what was put there last. Whoever takes it finds it at once. */
static int free_names(void) {
    int bad = 0;
    mkdir("/tmp/race", 0700), chdir("/tmp/race");
    for (int i = 0; i < 150; i++) {
        const char *path = i % 3 == 2 ? "d/x" : "x";
        if (i % 3 < 2) close(open("x", O_WRONLY | O_CREAT | O_EXCL, 0600)), truncate("x", 7);
        access("y", F_OK), access("d", F_OK);
        pid_t other = fork();
        if (!other) {
            int fd, tries = 0;
            while ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) < 0)
                if (tries++ > 1000000) _exit(32);
            _exit(access(path, F_OK) < 0 ? 64 : 0);
        }
        if (i % 3 == 0) bad |= unlink("x") ? 128 : 0;
        if (i % 3 == 1) bad |= rename("x", "y") ? 128 : 0;
        if (i % 3 == 2) bad |= mkdir("d", 0700) ? 128 : 0;
        int status;
        struct stat taken = {.st_size = 1}, moved = {0};
        wait(&status), bad |= WEXITSTATUS(status);
        if (stat(path, &taken) < 0 || taken.st_size) bad |= 256;
        if (i % 3 == 1 && (stat("y", &moved) < 0 || moved.st_size != 7)) bad |= 512;
        if (unlink(path)) bad |= 1024;
        if (open(path, O_RDONLY) >= 0) bad |= 2048;
        unlink("y"), rmdir("d");
    }
    chdir("/"), bad |= rmdir("/tmp/race") ? 4096 : 0;
    return bad;
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
    bad |= free_names();
    printf("bad %d\ndone\n", bad);
}
