// Signals that tell of changes in directories (F_NOTIFY).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int number;

// What came by now.
static void heard(const char *what) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO), sigaddset(&set, number);
    struct timespec none = {0, 0};
    siginfo_t info;
    int count = 0, found;
    memset(&info, 0, sizeof info);
    printf("%s:", what);
    while ((found = sigtimedwait(&set, &info, &none)) > 0) {
        printf(" %s", found == SIGIO ? "SIGIO" : "SIGRTMIN");
        if (found == number)
            printf("(code %d band %lx fd %d)", info.si_code, info.si_band, info.si_fd);
    }
    printf("\n");
}

static void touch(const char *path) {
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void say(const char *what, long result) {
    printf("%s: %ld errno %d\n", what, result, result < 0 ? errno : 0);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    number = SIGRTMIN;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO), sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, 0);
    mount("none", "/tmp", "tmpfs", 0, 0);
    mkdir("/tmp/notify", 0700), mkdir("/tmp/notify/d", 0700);
    int fd = open("/tmp/notify", O_RDONLY | O_DIRECTORY);
    int file = open("/tmp/notify/f", O_CREAT | O_RDWR, 0600);
    say("of a file", fcntl(file, F_NOTIFY, DN_CREATE));
    say("nothing of a file", fcntl(file, F_NOTIFY, 0));
    say("create", fcntl(fd, F_NOTIFY, DN_CREATE));
    printf("owner %d\n", fcntl(fd, F_GETOWN) == getpid());
    write(file, "x", 1);
    heard("written");
    touch("/tmp/notify/a");
    heard("created");
    touch("/tmp/notify/b");
    heard("created once more");
    fcntl(fd, F_SETSIG, number);
    say("all", fcntl(fd, F_NOTIFY, DN_CREATE | DN_DELETE | DN_RENAME | DN_MODIFY | DN_ATTRIB | DN_MULTISHOT));
    touch("/tmp/notify/c");
    heard("created");
    unlink("/tmp/notify/c");
    heard("deleted");
    write(file, "x", 1);
    heard("written");
    fchmod(file, 0640);
    heard("changed");
    chmod("/tmp/notify", 0750);
    heard("changed itself");
    rename("/tmp/notify/a", "/tmp/notify/e");
    heard("renamed");
    rename("/tmp/notify/e", "/tmp/notify/d/e");
    heard("moved away");
    rename("/tmp/notify/d/e", "/tmp/notify/e");
    heard("moved here");
    mkdir("/tmp/notify/g", 0700);
    heard("made a directory");
    touch("/tmp/notify/d/h");
    heard("below");
    read(file, &number + 1, 0);
    if (!fork()) {
        touch("/tmp/notify/i");
        _exit(0);
    }
    wait(0);
    heard("by a child");
    say("nothing", fcntl(fd, F_NOTIFY, 0));
    touch("/tmp/notify/j");
    heard("created");
    say("rename", fcntl(fd, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
    rename("/tmp/notify/e", "/tmp/notify/k");
    heard("renamed");
    rename("/tmp/notify/k", "/tmp/notify/d/k");
    heard("moved away");
    rename("/tmp/notify/d/k", "/tmp/notify/k");
    heard("moved here");
    say("again", fcntl(fd, F_NOTIFY, 0));
    say("delete once", fcntl(fd, F_NOTIFY, DN_DELETE));
    int other = dup(fd);
    close(other);
    unlink("/tmp/notify/k");
    heard("closed");
    say("read", fcntl(fd, F_NOTIFY, DN_ACCESS));
    char byte;
    pread(file, &byte, 1, 0);
    heard("read");
    printf("done\n");
}
