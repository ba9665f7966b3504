// Directories that are moved while others are: none comes into itself, none is lost, and ways up
// lead where ways down came from.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))

static void where(const char *what) {
    char at[256] = "";
    printf("%s %s", what, getcwd(at, sizeof at) ? at : "?");
    struct stat up, down;
    stat("..", &up);
    at[strlen(at) - strlen(strrchr(at, '/'))] = 0;
    printf(" %d\n", stat(at, &down) == 0 && up.st_ino == down.st_ino);
}

static void exchanged(void) {
    mkdir("x", 0755), mkdir("y", 0755), mkdir("x/a", 0755), mkdir("y/b", 0755), mkdir("y/b/in", 0755);
    int base = open(".", O_RDONLY), a = open("x/a", O_RDONLY), b = open("y/b/in", O_RDONLY);
    TRY(renameat2(AT_FDCWD, "x/a", AT_FDCWD, "y/b", RENAME_EXCHANGE));
    TRY(renameat(AT_FDCWD, "y", a, "y"));
    TRY(renameat(AT_FDCWD, "x", b, "x"));
    TRY(renameat2(AT_FDCWD, "y", a, ".", RENAME_EXCHANGE));
    fchdir(a), where("a");
    mkdir("new", 0755);
    fchdir(b), where("b");
    fchdir(base);
    TRY(access("y/b/new", F_OK));
    TRY(access("x/a/in", F_OK));
    TRY(renameat2(AT_FDCWD, "x", AT_FDCWD, "y/b/new", RENAME_EXCHANGE));
    fchdir(a), where("a");
    fchdir(b), where("b");
    fchdir(base);
    TRY(rmdir("x"));
    TRY(rmdir("y/b/new/a/in"));
    TRY(rmdir("y/b/new/a"));
    TRY(rmdir("y/b/new"));
    TRY(rmdir("y/b"));
    TRY(rmdir("y"));
    close(base), close(a), close(b);
}

/* Two that would each bring one into the other. */
static void crossed(void) {
    int lost = 0, loops = 0, both = 0;
    for (int i = 0; i < 80; i++) {
        mkdir("a", 0755), mkdir("b", 0755);
        int ready[2];
        pipe(ready);
        pid_t children[2];
        for (int k = 0; k < 2; k++)
            if (!(children[k] = fork())) {
                char c;
                close(ready[1]), read(ready[0], &c, 1);
                _exit(k ? rename("a", "b/a") : rename("b", "a/b"));
            }
        close(ready[0]), close(ready[1]);
        int done = 0;
        for (int k = 0, status; k < 2; k++) waitpid(children[k], &status, 0), done += status == 0;
        both += done != 1;
        if (access("a", F_OK) == 0) loops += access("a/b/a", F_OK) == 0, lost += rmdir("a/b") != 0;
        else loops += access("b/a/b", F_OK) == 0, lost += rmdir("b/a") != 0;
        rmdir("a"), rmdir("b");
    }
    printf("lost %d loops %d both %d\n", lost, loops, both);
}

/* What is moved into a directory that is taken away. */
static void taken(void) {
    int bad = 0;
    for (int i = 0; i < 80; i++) {
        close(open("f", O_CREAT | O_WRONLY, 0600));
        mkdir("d", 0755);
        pid_t child = fork();
        if (!child) _exit(rmdir("d") ? errno != ENOTEMPTY : 0);
        long moved = rename("f", "d/f");
        bad += moved < 0 && errno != ENOENT;
        int status;
        waitpid(child, &status, 0), bad += status != 0;
        /* It is in one place. */
        bad += (access("f", F_OK) == 0) + (access("d/f", F_OK) == 0) != 1;
        unlink("f"), unlink("d/f"), rmdir("d");
    }
    printf("taken %d\n", bad);
}

/* Who comes into a directory while it is moved stays in it. */
static void followed(void) {
    enum { ROUNDS = 300 };
    volatile int *turn = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    mkdir("d", 0755), mkdir("e", 0755), mkdir("f", 0755), mkdir("d/x", 0755);
    pid_t child = fork();
    if (child < 0) return perror("fork");
    if (!child) {
        int base = open(".", O_RDONLY), wrong = 0;
        for (int i = 0; i < ROUNDS; i++) {
            char at[256];
            while (turn[0] != 3 * i + 1) sched_yield();
            while (chdir("e/x"));
            turn[0]++;
            while (turn[0] != 3 * i + 3) sched_yield();
            wrong += !getcwd(at, sizeof at) || !strstr(at, "/f/x");
            fchdir(base), turn[1]++;
        }
        printf("followed: wrong %d\n", wrong), fflush(stdout), _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        turn[0] = 3 * i + 1;
        rename("d/x", "e/x");
        while (turn[0] != 3 * i + 2) sched_yield();
        rename("e/x", "f/x"), turn[0]++;
        while (turn[1] != i + 1) sched_yield();
        rename("f/x", "d/x");
    }
    waitpid(child, 0, 0);
    rmdir("d/x"), rmdir("d"), rmdir("e"), rmdir("f");
}

int main(void) {
    mkdir("/tmp/loops", 0755), mkdir("/tmp/loops/memory", 0755);
    TRY(mount("none", "/tmp/loops/memory", "tmpfs", 0, 0));
    for (int memory = 0; memory < 2; memory++) {
        chdir(memory ? "/tmp/loops/memory" : "/tmp/loops");
        exchanged();
        crossed();
        taken();
        fflush(stdout);
        followed();
    }
    chdir("/");
    TRY(umount("/tmp/loops/memory"));
    TRY(rmdir("/tmp/loops/memory"));
    TRY(rmdir("/tmp/loops"));
    puts("done");
}
