/* A devpts that is mounted in a user namespace has the terminals that are made in it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* How many terminals there are, and the last one's path. */
static int count(const char *place, char *path) {
    DIR *d = opendir(place);
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d)))
        if (e->d_name[0] >= '0' && e->d_name[0] <= '9') n++, sprintf(path, "%s/%s", place, e->d_name);
    if (d) closedir(d);
    return n;
}

static int put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY), r = fd < 0 ? -1 : write(fd, text, strlen(text));
    close(fd);
    return r < 0 ? -errno : 0;
}

int main(void) {
    char path[300] = "", text[64];
    mkdir("/tmp/p", 0755);
    int first = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    printf("first %d\n", first >= 0 && !grantpt(first) && !unlockpt(first));
    printf("unshare %d\n", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    put("/proc/self/setgroups", "deny");
    printf("users %d\n", put("/proc/self/uid_map", "0 0 1"));
    printf("groups %d\n", put("/proc/self/gid_map", "0 0 1"));
    printf("group %d\n", mount("d", "/tmp/p", "devpts", 0, "newinstance,gid=5") ? -errno : 0);
    printf("mount %d\n", mount("d", "/tmp/p", "devpts", 0, "newinstance,mode=620,ptmxmode=666"));
    printf("others %d\n", count("/tmp/p", path));
    int master = open("/tmp/p/ptmx", O_RDWR | O_NOCTTY), zero = 0;
    printf("master %d\n", master >= 0 && !ioctl(master, TIOCSPTLCK, &zero));
    printf("own %d\n", count("/tmp/p", path));
    struct stat s;
    printf("stat %d %o %d\n", stat(path, &s), s.st_mode, s.st_uid);
    int slave = open(path, O_RDWR | O_NOCTTY);
    printf("slave %d %d\n", slave >= 0, isatty(slave));
    write(slave, "said\n", 5);
    int n = read(master, text, sizeof text);
    printf("read %d %.4s\n", n, text);
    close(slave), close(master);
    printf("gone %d\n", count("/tmp/p", path));
    puts("done");
}
