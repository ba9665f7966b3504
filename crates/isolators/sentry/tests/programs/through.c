// Descriptors and directories of processes, as links of procfs: they lead to what is open,
// whatever its path stands for by now.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))

static void put(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    printf("put %s: %s %zd\n", path, name(fd), fd < 0 ? 0 : write(fd, text, strlen(text)));
    close(fd);
}
static void text(const char *form, int number) {
    char path[128], buffer[64] = "";
    sprintf(path, form, number);
    int fd = open(path, O_RDONLY);
    printf("%s: %s %s\n", form, name(fd), fd >= 0 && read(fd, buffer, 63) > 0 ? buffer : "");
    if (fd >= 0) close(fd);
}
static void stat_of(const char *form, int number) {
    char path[128];
    struct stat s = {0};
    sprintf(path, form, number);
    printf("%s:", form);
    printf(" stat %s", name(stat(path, &s)));
    printf(" %o %ld;", s.st_mode, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size);
    printf(" lstat %s", name(lstat(path, &s)));
    printf(" %o\n", s.st_mode & S_IFMT);
}
static long within(const char *path, unsigned long resolve) {
    struct open_how how = {.flags = O_PATH, .resolve = resolve};
    long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd >= 0) close(fd);
    return fd;
}
/* At descriptors that both have alike. */
static int at(int fd, int number) { dup2(fd, number), close(fd); return number; }

static void moved(void) {
    mkdir("/tmp/t/a", 0755);
    put("/tmp/t/a/x", "first");
    at(open("/tmp/t/a", O_RDONLY | O_DIRECTORY), 50);
    text("/proc/self/fd/%d/x", 50);
    text("/dev/fd/%d/x", 50);
    text("/proc/thread-self/fd/%d/./../a/x", 50);
    rename("/tmp/t/a", "/tmp/t/b");
    mkdir("/tmp/t/a", 0755);
    put("/tmp/t/a/x", "second");
    text("/proc/self/fd/%d/x", 50);
    put("/proc/self/fd/50/new", "made");
    text("/tmp/t/b/new", 0);
    TRY(rename("/proc/self/fd/50/new", "/proc/self/fd/50/newer"));
    TRY(symlink("x", "/proc/self/fd/50/link"));
    text("/proc/self/fd/%d/link", 50);
    TRY(mkdir("/proc/self/fd/50/d", 0755));
    TRY(rmdir("/tmp/t/b/d"));
    TRY(unlink("/proc/self/fd/50/newer"));
    TRY(unlink("/proc/self/fd/50/link"));
    stat_of("/proc/self/fd/%d", 50);
    stat_of("/proc/self/fd/%d/", 50);
    stat_of("/proc/self/fd/%d/.", 50);
    stat_of("/proc/self/fd/%d/x", 50);
    TRY(mount("t", "/tmp/t/b", "tmpfs", 0, 0));
    put("/tmp/t/b/x", "third");
    text("/proc/self/fd/%d/x", 50);
    text("/tmp/t/b/x", 0);
    TRY(umount("/tmp/t/b"));
    unlink("/tmp/t/b/x");
    rmdir("/tmp/t/b");
    text("/proc/self/fd/%d/x", 50);
    stat_of("/proc/self/fd/%d/", 50);
    TRY(mkdir("/proc/self/fd/50/d", 0755));
    TRY(access("/proc/self/fd/50/..", F_OK));
    text("/tmp/t/a/x", 0);
}
static void others(void) {
    int p[2];
    pipe(p);
    at(p[0], 51), at(p[1], 52);
    at(open("/tmp/t/a/x", O_RDONLY), 53);
    at(open("/proc/self/fd/50", O_PATH | O_NOFOLLOW), 54);
    for (int fd = 51; fd < 55; fd++) {
        text("/proc/self/fd/%d/x", fd);
        text("/proc/self/fd/%d/", fd);
    }
    text("/proc/self/fd/%d/x", 99);
    TRY(access("/proc/self/exe/x", F_OK));
    TRY(access("/proc/self/exe/", F_OK));
    for (int i = 0; i < 3; i++) {
        static const unsigned long limits[] = {RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV};
        TRY(within("/proc/self/fd/53", limits[i]));
        TRY(within("/proc/self/cwd", limits[i]));
        TRY(within("/proc/self/root", limits[i]));
        TRY(within("/proc/self/exe", limits[i]));
    }
    chdir("/");
    TRY(within("proc/self/cwd", RESOLVE_BENEATH));
    TRY(within("proc/self/root", RESOLVE_IN_ROOT));
}
static void places(void) {
    char path[64];
    int ready[2], go[2], status;
    pipe(ready), pipe(go);
    mkdir("/tmp/t/jail", 0755), mkdir("/tmp/t/jail/in", 0755);
    put("/tmp/t/jail/in/x", "in the jail");
    put("/tmp/t/above", "above");
    pid_t pid = fork();
    if (pid == 0) {
        close(ready[0]), close(go[1]);
        if (chdir("/tmp/t/jail/in") || chroot("/tmp/t/jail") || write(ready[1], "", 1) != 1) _exit(1);
        char c;
        read(go[0], &c, 1);
        _exit(0);
    }
    char c;
    read(ready[0], &c, 1);
    text("/proc/%d/root/in/x", pid);
    text("/proc/%d/cwd/x", pid);
    text("/proc/%d/cwd/../../above", pid);
    text("/proc/%d/root/../above", pid);
    rename("/tmp/t/jail", "/tmp/t/prison");
    text("/proc/%d/root/in/x", pid);
    unlink("/tmp/t/prison/in/x");
    rmdir("/tmp/t/prison/in");
    stat_of("/proc/%d/cwd", pid);
    text("/proc/%d/cwd/x", pid);
    fflush(stdout);
    // Another user's are not to be followed.
    pid_t user = fork();
    if (user == 0) {
        setresuid(1000, 1000, 1000);
        text("/proc/%d/root/in/x", pid);
        text("/proc/%d/cwd/x", pid);
        text("/proc/%d/root/", pid);
        fflush(stdout);
        _exit(0);
    }
    waitpid(user, &status, 0);
    write(go[1], "", 1);
    waitpid(pid, &status, 0);
    printf("ended %x\n", status);
    // Into another mount namespace.
    put("/tmp/t/above", "outside");
    mkdir("/tmp/t/m", 0755);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) || mount("t", "/tmp/t/m", "tmpfs", 0, 0)) _exit(2);
        put("/tmp/t/m/x", "mounted there");
        fflush(stdout);
        write(ready[1], "", 1);
        close(go[1]);
        read(go[0], &c, 1);
        _exit(0);
    }
    read(ready[0], &c, 1);
    text("/proc/%d/root/tmp/t/m/x", pid);
    text("/tmp/t/m/x", 0);
    close(go[1]);
    waitpid(pid, &status, 0);
    printf("ended %x\n", status);
}
int main(void) {
    umask(022);
    mkdir("/tmp/t", 0755);
    mount("t", "/tmp/t", "tmpfs", 0, 0);
    moved();
    others();
    places();
    chdir("/");
    for (int fd = 50; fd < 55; fd++) close(fd);
    TRY(umount("/tmp/t"));
    rmdir("/tmp/t");
    // The same on a file system of the host's.
    mkdir("/tmp/t", 0755);
    puts("on the root's");
    moved();
    unlink("/tmp/t/a/x"), rmdir("/tmp/t/a"), close(50);
    TRY(rmdir("/tmp/t"));
    puts("done");
}
