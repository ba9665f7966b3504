// An overlay in a user namespace shows its maker nothing that he does not see without it.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void put(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    write(fd, text, strlen(text));
    close(fd);
}

static void see(const char *path) {
    char text[16] = "";
    int fd = open(path, O_RDONLY);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) read(fd, text, 15), close(fd);
    printf("%s: %s%s\n", path, text, error ? strerror(error) : "");
}

static void list(const char *path) {
    int names = 0;
    errno = 0;
    DIR *folder = opendir(path);
    while (folder && readdir(folder)) names++;
    printf("%s: %d %s\n", path, names, strerror(errno));
}

static void try(const char *lower) {
    char options[100];
    snprintf(options, 100, "lowerdir=%s", lower);
    long made = mount("o", "/tmp/m", "overlay", 0, options);
    printf("%s: %s\n", lower, made ? strerror(errno) : "made");
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(0);
    unshare(CLONE_NEWNS);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount("t", "/tmp", "tmpfs", 0, NULL);
    for (const char *const *path = (const char *const[]){"/tmp/m", "/tmp/e", "/tmp/e/locked", "/tmp/open",
             "/tmp/open/locked", "/tmp/below", "/tmp/below/hidden", NULL}; *path; path++)
        mkdir(*path, 0755);
    put("/tmp/open/f", "open");
    put("/tmp/open/locked/f", "locked");
    put("/tmp/below/hidden/f", "hidden");
    chmod("/tmp/open/locked", 0700);
    mount("t", "/tmp/below/hidden", "tmpfs", 0, "mode=755");
    if (!fork()) {
        setgid(1000);
        setuid(1000);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) perror("unshare");
        put("/proc/self/setgroups", "deny");
        put("/proc/self/uid_map", "0 1000 1");
        put("/proc/self/gid_map", "0 1000 1");
        try("/tmp/e:/tmp/open");
        see("/tmp/m/f");
        see("/tmp/m/locked/f");
        list("/tmp/m/locked");
        umount("/tmp/m");
        try("/tmp/below:/tmp/e");
        see("/tmp/m/hidden/f");
        try("/tmp/open:/tmp/e");
        see("/tmp/m/locked/f");
        _exit(0);
    }
    wait(NULL);
    puts("done");
}
