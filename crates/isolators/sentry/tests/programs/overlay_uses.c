// Who uses a file of an overlay, by which name, before and after it is copied up.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *said(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static void say(const char *what, long result) { printf("%s: %s\n", what, said(result)); }

static void copy(const char *from, const char *to, int mode) {
    static char bytes[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, mode);
    long count;
    while ((count = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, count) != count)
            exit(1);
    close(in);
    close(out);
}

static void text(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, "text", 4) != 4)
        exit(1);
    close(fd);
}

static int to[2], from[2];

// Executes a program that waits until it is told.
static int start(const char *path) {
    char word = 0;
    pipe(to);
    pipe(from);
    int pid = fork();
    if (!pid) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        close(to[1]);
        close(from[0]);
        execl(path, "program", "wait", NULL);
        dprintf(1, "%c", errno == ETXTBSY ? 't' : 'e');
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    read(from[0], &word, 1);
    printf("execute %s: %s\n", strrchr(path, '/') + 1, word == 'r' ? "runs" : word == 't' ? "ETXTBSY" : "fails");
    return pid;
}

static void end(int pid) {
    close(to[1]);
    close(from[0]);
    waitpid(pid, NULL, 0);
}

static void writes(const char *path) {
    int fd = open(path, O_WRONLY);
    printf("write %s: %s\n", strrchr(path, '/') + 1, said(fd));
    if (fd >= 0)
        close(fd);
}

static void programs(void) {
    int pid = start("m/prog");
    writes("m/prog");
    say("cut", truncate("m/prog", 0));
    writes("m/same");
    say("chmod", chmod("m/prog", 0700));
    writes("m/prog");
    say("link", link("m/prog", "m/third"));
    writes("m/third");
    say("rename", rename("m/prog", "m/renamed"));
    writes("m/renamed");
    end(pid);
    writes("m/renamed");
    writes("m/third");

    int fd = open("m/one", O_WRONLY);
    end(start("m/two"));
    end(start("m/one"));
    close(fd);
    end(start("m/one"));

    pid = start("m/single");
    writes("m/single");
    say("chmod", chmod("m/single", 0711));
    writes("m/single");
    say("link", link("m/single", "m/double"));
    writes("m/double");
    end(pid);
    writes("m/double");
    pid = start("m/double");
    writes("m/single");
    end(pid);
}

static void child_locks(const char *path) {
    if (!fork()) {
        int fd = open(path, O_RDWR);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        printf("another locks %s: %s", strrchr(path, '/') + 1, said(fcntl(fd, F_SETLK, &lock)));
        fcntl(fd, F_GETLK, &lock);
        printf(" %s\n", lock.l_type == F_UNLCK ? "free" : lock.l_pid == getppid() ? "the parent's" : "somebody's");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void locks(void) {
    int a = open("m/a", O_RDONLY), again = open("m/a", O_RDONLY), b = open("m/b", O_RDONLY);
    say("flock a", flock(a, LOCK_EX | LOCK_NB));
    say("flock b", flock(b, LOCK_EX | LOCK_NB));
    say("flock a again", flock(again, LOCK_EX | LOCK_NB));
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    say("lock a", fcntl(a, F_SETLK, &lock));
    child_locks("m/b");
    // It is copied up by this.
    child_locks("m/a");
    int late = open("m/a", O_RDWR);
    say("flock a late", flock(late, LOCK_SH | LOCK_NB));
    struct stat one, other;
    fstat(late, &one);
    stat("m/b", &other);
    printf("links %d %d, same %d\n", (int)one.st_nlink, (int)other.st_nlink, one.st_ino == other.st_ino);
    child_locks("m/a");
    say("link", link("m/a", "m/c"));
    child_locks("m/c");
    int c = open("m/c", O_RDONLY);
    say("flock c", flock(c, LOCK_SH | LOCK_NB));
    say("unlock", flock(a, LOCK_UN));
    say("flock c", flock(c, LOCK_SH | LOCK_NB));
    close(late);
    child_locks("m/c");
    say("lease", fcntl(b, F_SETLEASE, F_RDLCK));
    signal(SIGIO, SIG_IGN);
    int fd = open("m/bb", O_WRONLY | O_NONBLOCK);
    say("write the other", fd);
    fd = open("m/b", O_WRONLY | O_NONBLOCK);
    say("write what is leased", fd);
    say("end", fcntl(b, F_SETLEASE, F_UNLCK));
    fd = open("m/b", O_WRONLY | O_NONBLOCK);
    say("write", fd);
}

static void events(int fd) {
    char bytes[4096];
    long count = read(fd, bytes, sizeof bytes);
    printf("events:");
    for (long at = 0; at < count;) {
        struct inotify_event *event = (void *)(bytes + at);
        printf(" %d:%x:%s", event->wd, event->mask, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
    printf("\n");
}

static void watches(void) {
    int watch = inotify_init1(IN_NONBLOCK);
    printf("watch %d", inotify_add_watch(watch, "m/x", IN_ALL_EVENTS));
    printf(" %d\n", inotify_add_watch(watch, "m/y", IN_ALL_EVENTS));
    int fd = open("m/y", O_RDONLY);
    close(fd);
    events(watch);
    fd = open("m/x", O_WRONLY);
    write(fd, "w", 1);
    close(fd);
    events(watch);
    say("link", link("m/x", "m/z"));
    fd = open("m/z", O_RDONLY);
    close(fd);
    events(watch);
    unlink("m/x");
    unlink("m/y");
    events(watch);
}

static void read_only(void) {
    mkdir("r", 0755);
    mkdir("empty", 0755);
    say("mount", mount("overlay", "r", "overlay", 0, "lowerdir=lower:empty"));
    int d = open("r/d", O_RDONLY), e = open("r/e", O_RDONLY);
    say("flock d", flock(d, LOCK_EX | LOCK_NB));
    say("flock e", flock(e, LOCK_EX | LOCK_NB));
    int watch = inotify_init1(IN_NONBLOCK);
    printf("watch %d", inotify_add_watch(watch, "r/d", IN_OPEN));
    printf(" %d\n", inotify_add_watch(watch, "r/e", IN_OPEN));
}

int main(int count, char **words) {
    if (count > 1) {
        char word;
        write(1, "r", 1);
        read(0, &word, 1);
        return 0;
    }
    setvbuf(stdout, 0, _IOLBF, 0);
    alarm(60);
    chdir("/tmp");
    mkdir("t", 0755);
    say("mount", mount("t", "t", "tmpfs", 0, NULL));
    chdir("t");
    const char *folders[] = {"lower", "upper", "work", "m"};
    for (int i = 0; i < 4; i++)
        mkdir(folders[i], 0755);
    copy("/proc/self/exe", "lower/prog", 0755);
    link("lower/prog", "lower/same");
    copy("/proc/self/exe", "lower/one", 0755);
    link("lower/one", "lower/two");
    copy("/proc/self/exe", "lower/single", 0755);
    const char *pairs[] = {"lower/a", "lower/b", "lower/bb", "lower/d", "lower/e", "lower/x", "lower/y"};
    text("lower/a");
    link("lower/a", "lower/b");
    link("lower/a", "lower/bb");
    text("lower/d");
    link("lower/d", "lower/e");
    text("lower/x");
    link("lower/x", "lower/y");
    say("mount", mount("overlay", "m", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work"));
    programs();
    locks();
    watches();
    read_only();
    printf("done\n");
}
