// What inotify tells of files: the same in any file system.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int set;

static char *buffer_small(void) {
    static char buffer[16];
    return buffer;
}

static void events(const char *after) {
    static unsigned last;
    char buffer[16384];
    long count = read(set, buffer, sizeof buffer);
    printf("after %s: %s\n", after, count < 0 ? strerrorname_np(errno) : "");
    for (char *at = buffer; count > 0 && at < buffer + count;) {
        struct inotify_event *event = (void *)at;
        printf("  %d %x %s%s\n", event->wd, event->mask, event->len ? event->name : "",
               event->cookie && event->cookie == last ? " joined" : "");
        last = event->cookie;
        at += sizeof *event + event->len;
    }
}

static void all(const char *place) {
    chdir(place);
    char name[] = "watch-XXXXXX";
    chdir(mkdtemp(name));
    mkdir("d", 0755);
    set = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    printf("add %d\n", inotify_add_watch(set, "d", IN_ALL_EVENTS));
    events("nothing");
    int fd = open("d/f", O_CREAT | O_RDWR, 0644);
    events("create");
    write(fd, "text", 4);
    write(fd, "text", 4);
    events("two writes");
    pread(fd, (char[2]){0}, 2, 0);
    close(fd);
    events("read, close");
    printf("add %d\n", inotify_add_watch(set, "d/f", IN_ALL_EVENTS));
    chmod("d/f", 0600);
    events("chmod");
    truncate("d/f", 1);
    events("truncate");
    rename("d/f", "d/g");
    events("rename");
    link("d/g", "d/h");
    events("link");
    unlink("d/g");
    events("unlink");
    mkdir("d/sub", 0755);
    rmdir("d/sub");
    symlink("x", "d/l");
    events("directory, link");
    rename("d/h", "out");
    events("move out");
    unlink("out");
    events("last name");
    int named = inotify_init1(IN_NONBLOCK);
    char line[256];
    int told = open("d/told", O_CREAT | O_RDWR, 0644);
    inotify_add_watch(named, "d", IN_MODIFY | IN_EXCL_UNLINK);
    snprintf(line, sizeof line, "/proc/self/fdinfo/%d", named);
    FILE *info = fopen(line, "r");
    unsigned watch = 0, mask = 0;
    unsigned long inode = 0;
    while (fgets(line, sizeof line, info)) sscanf(line, "inotify wd:%x ino:%lx sdev:%*x mask:%x ignored_mask:0 ", &watch, &inode, &mask);
    fclose(info);
    struct stat st;
    stat("d", &st);
    printf("info %u %d %x\n", watch, inode == st.st_ino, mask);
    write(told, "one", 3);
    unlink("d/told");
    write(told, "two", 3);
    printf("while it had a name %zd\n", read(named, line, sizeof line) / 32);
    printf("no more %zd\n", read(named, line, sizeof line));
    close(told);
    close(named);
    events("told");
    printf("mask %d %s\n", inotify_add_watch(set, "d", 0), strerrorname_np(errno));
    printf("once %d\n", inotify_add_watch(set, "d", IN_CREATE | IN_ONESHOT));
    close(open("d/one", O_CREAT | O_WRONLY, 0644));
    close(open("d/two", O_CREAT | O_WRONLY, 0644));
    events("one shot");
    printf("remove %d %s\n", inotify_rm_watch(set, 1), strerrorname_np(errno));
    printf("only %d %s\n", inotify_add_watch(set, "d/one", IN_ONLYDIR | IN_OPEN), strerrorname_np(errno));
    printf("again %d\n", inotify_add_watch(set, "d", IN_DELETE));
    struct pollfd poll_set = {set, POLLIN, 0};
    printf("quiet %d\n", poll(&poll_set, 1, 0));
    fflush(stdout);
    if (fork() == 0) {
        unlink("d/one");
        _exit(0);
    }
    printf("woken %d\n", poll(&poll_set, 1, 30000));
    wait(NULL);
    int waiting = 0;
    ioctl(set, FIONREAD, &waiting);
    printf("bytes %d small %ld\n", waiting, read(set, buffer_small(), 16));
    events("other process");
    unlink("d/two");
    unlink("d/l");
    rmdir("d");
    events("the directory itself");
    close(set);
    chdir("..");
    rmdir(name);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    all("/tmp");
    all("/dev/shm");
    puts("done");
}
