// Who sees whose locks in /proc/locks, and by which number.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Kinds and owners of a file's locks.
static void show(const char *who, const char *table, const char *path, int own) {
    struct stat is;
    stat(path, &is);
    char line[256], end[32];
    snprintf(end, sizeof end, ":%lu", (unsigned long)is.st_ino);
    FILE *file = fopen(table, "r");
    printf("%s, %s:", who, strrchr(path, '/') + 1);
    while (fgets(line, sizeof line, file)) {
        char kind[16], how[16], access[16], id[64];
        int pid;
        if (sscanf(line, "%*d: %15s %15s %15s %d %63s", kind, how, access, &pid, id) != 5)
            printf(" ?%s", line);
        else if (strlen(id) > strlen(end) && !strcmp(id + strlen(id) - strlen(end), end))
            printf(" %s %s %s", kind, access, pid == own ? "own" : pid == -1 ? "nobody" : pid == 1 ? "first" : "other");
    }
    printf("\n");
    fclose(file);
}

static int file(const char *path) { return open(path, O_RDWR | O_CREAT, 0644); }

static void range(int fd, int command, const char *what) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    int done = fcntl(fd, command, &lock);
    if (what)
        printf("%s: %d %d\n", what, done, lock.l_type == F_UNLCK ? -2 : lock.l_pid == getpid() ? 9999 : (int)lock.l_pid);
}

// With an argument it locks that until its input ends.
int main(int count, char **words) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (count > 1) {
        char byte;
        int held = file(words[1]);
        flock(held, LOCK_EX);
        show("own", "/proc/locks", words[1], getpid());
        return read(0, &byte, 1);
    }
    alarm(30);
    int own = getpid();
    int a = file("/tmp/a"), b = file("/tmp/b"), c = file("/tmp/c");
    flock(a, LOCK_EX);
    range(b, F_SETLK, NULL);
    range(c, F_OFD_SETLK, NULL);
    for (const char **path = (const char *[]){"/tmp/a", "/tmp/b", "/tmp/c", NULL}; *path; path++)
        show("own", "/proc/locks", *path, own);
    // It has ended, and its lock is another one's, too.
    int in[2], out[2];
    char word;
    pipe(in);
    pipe(out);
    if (!fork()) {
        int d = file("/tmp/d");
        flock(d, LOCK_SH);
        if (!fork()) {
            close(in[1]);
            read(in[0], &word, 1);
            _exit(0);
        }
        _exit(0);
    }
    wait(NULL);
    show("of one that ended", "/proc/locks", "/tmp/d", own);
    close(in[1]);
    // In a numbering of their own.
    mkdir("/tmp/p", 0755);
    unshare(CLONE_NEWPID);
    int go[2];
    pipe(go);
    int inner = fork();
    if (!inner) {
        if (unshare(CLONE_NEWNS) || mount("p", "/tmp/p", "proc", 0, NULL))
            printf("mount: %s\n", strerrorname_np(errno));
        close(go[1]);
        int e = file("/tmp/e"), f = file("/tmp/f");
        flock(e, LOCK_EX);
        range(f, F_SETLK, NULL);
        show("inner", "/tmp/p/locks", "/tmp/a", 0);
        show("inner", "/tmp/p/locks", "/tmp/b", 0);
        show("inner", "/tmp/p/locks", "/tmp/c", 0);
        show("inner", "/tmp/p/locks", "/tmp/e", 0);
        show("inner", "/tmp/p/locks", "/tmp/f", 0);
        show("inner by the outer", "/proc/locks", "/tmp/b", own);
        b = open("/tmp/b", O_RDWR);
        range(b, F_GETLK, "whose is b");
        c = open("/tmp/c", O_RDWR);
        range(c, F_GETLK, "whose is c");
        write(out[1], "x", 1);
        read(go[0], &word, 1);
        _exit(0);
    }
    close(out[1]);
    read(out[0], &word, 1);
    show("outer", "/proc/locks", "/tmp/e", inner);
    show("outer", "/proc/locks", "/tmp/f", inner);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
    fcntl(open("/tmp/f", O_RDWR), F_GETLK, &lock);
    printf("whose is f: %d\n", lock.l_pid == inner);
    close(go[1]);
    wait(NULL);
    printf("done\n");
}
