// User namespaces: ids, maps, capabilities; mounts and names of one's own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return -1;
    long r = write(fd, text, strlen(text));
    int e = errno;
    close(fd);
    errno = e;
    return r;
}
static void show(const char *path) {
    char text[512] = {0};
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, 511);
    close(fd);
    printf("%s: %zd %s", path, n, text);
    if (n <= 0) puts("");
}
static void lines(const char *start) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, start, strlen(start))) printf("%s", line);
    if (f) fclose(f);
}
static void ids(void) {
    uid_t r, e, s;
    gid_t a, b, c, list[64];
    getresuid(&r, &e, &s);
    getresgid(&a, &b, &c);
    int n = getgroups(64, list);
    printf("users %d %d %d groups %d %d %d others", r, e, s, a, b, c);
    for (int i = 0; i < n; i++) printf(" %d", list[i]);
    puts("");
}
static void owner(const char *path) {
    struct stat s;
    if (lstat(path, &s)) printf("%s: %s\n", path, name(-1));
    else printf("%s: %d %d %o\n", path, s.st_uid, s.st_gid, s.st_mode);
}
static void child(const char *what, void (*f)(void)) {
    printf("-- %s\n", what);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(100);
        f();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("%s: %x\n", what, status);
}
static void become(int id) {
    setgroups(0, NULL);
    setresgid(id, id, id);
    setresuid(id, id, id);
    prctl(PR_SET_DUMPABLE, 1);
}
static void plain(void) {
    become(1000);
    TRY(unshare(CLONE_NEWNS));
    TRY(unshare(CLONE_NEWUTS));
    TRY(unshare(CLONE_NEWUSER));
    ids();
    lines("Cap");
    show("/proc/self/uid_map");
    show("/proc/self/setgroups");
    owner("/");
    owner("/tmp");
    TRY(setuid(0));
    TRY(setgroups(0, NULL));
    TRY(put("/proc/self/uid_map", "0 0 1\n"));
    TRY(put("/proc/self/uid_map", "0 1000 2\n"));
    TRY(put("/proc/self/uid_map", "0 1000\n"));
    TRY(put("/proc/self/gid_map", "0 1000 1\n"));
    TRY(put("/proc/self/uid_map", "0 1000 1\n"));
    TRY(put("/proc/self/uid_map", "0 1000 1\n"));
    TRY(put("/proc/self/setgroups", "allow"));
    TRY(put("/proc/self/setgroups", "deny"));
    TRY(put("/proc/self/setgroups", "allow"));
    TRY(put("/proc/self/gid_map", "0 1000 1\n"));
    show("/proc/self/uid_map");
    show("/proc/self/setgroups");
    ids();
    TRY(setgroups(0, NULL));
    TRY(setuid(0));
    TRY(setuid(1));
    TRY(seteuid(5));
    owner("/");
    TRY(mkdir("/tmp/own", 0755));
    owner("/tmp/own");
    TRY(chown("/tmp/own", 0, 0));
    TRY(chown("/tmp/own", 1, 0));
    TRY(chown("/bin", 0, 0));
    TRY(chmod("/bin", 0755));
    TRY(mknod("/tmp/own/null", S_IFCHR | 0666, 0x103));
    TRY(rmdir("/tmp/own"));
    TRY(sethostname("x", 1));
    TRY(setdomainname("x", 1));
    TRY(mount("none", "/tmp", "tmpfs", 0, NULL));
    TRY(kill(1, 0));
    TRY(kill(getppid(), 0));
    lines("Uid");
    lines("Gid");
    lines("Groups");
}
static void own_mounts(void) {
    become(1000);
    mkdir("/tmp/m", 0755);
    TRY(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS));
    TRY(put("/proc/self/setgroups", "deny"));
    TRY(put("/proc/self/uid_map", "0 1000 1"));
    TRY(put("/proc/self/gid_map", "0 1000 1"));
    TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    TRY(mount("none", "/tmp/m", "tmpfs", 0, "mode=700"));
    owner("/tmp/m");
    TRY(mount("/tmp/m", "/tmp/m", NULL, MS_MGC_VAL | MS_SILENT | MS_BIND | MS_REC, NULL));
    TRY(umount2("/tmp/m", 0));
    TRY(mkdir("/tmp/m/a", 0755));
    TRY(put("/tmp/m/a", ""));
    owner("/tmp/m/a");
    TRY(mkdir("/tmp/m/root", 0755));
    TRY(mount("/", "/tmp/m/root", NULL, MS_BIND, NULL));
    TRY(mount("/bin", "/tmp/m/root", NULL, MS_BIND, NULL));
    owner("/tmp/m/root/sh");
    TRY(mount(NULL, "/tmp/m/root", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    TRY(mknod("/tmp/m/root/x", S_IFREG | 0600, 0));
    TRY(umount2("/proc", 0));
    TRY(umount2("/proc", MNT_DETACH));
    TRY(umount2("/tmp/m/root", 0));
    TRY(mount("none", "/tmp/m/a", "sysfs", 0, NULL));
    TRY(mount("none", "/tmp/m/a", "nonesuch", 0, NULL));
    TRY(mount("/", "/tmp/m/root", NULL, MS_BIND | MS_REC, NULL));
    TRY(umount2("/tmp/m/root/proc", MNT_DETACH));
    TRY(chroot("/tmp/m/root"));
    TRY(unshare(CLONE_NEWUSER));
    TRY(access("/bin/sh", X_OK));
    TRY(sethostname("inside", 6));
    struct utsname u;
    TRY(setdomainname("example", 7));
    uname(&u);
    printf("%s %s\n", u.nodename, u.domainname);
    char text[64] = "";
    int fd = open("/proc/sys/kernel/domainname", O_RDONLY);
    if (fd >= 0) read(fd, text, sizeof text - 1);
    fputs(text, stdout);
}
static void after(void) {
    owner("/tmp/m");
    TRY(access("/tmp/m/a", F_OK));
    struct utsname u;
    uname(&u);
    printf("inside %d\n", !strcmp(u.nodename, "inside"));
    TRY(rmdir("/tmp/m"));
}
static void pivots(void) {
    mkdir("/tmp/new", 0755);
    TRY(unshare(CLONE_NEWNS));
    TRY(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    TRY(mount("none", "/tmp/new", "tmpfs", 0, NULL));
    TRY(mkdir("/tmp/new/old", 0755));
    TRY(mkdir("/tmp/new/here", 0755));
    TRY(syscall(SYS_pivot_root, "/tmp/new", "/tmp/new/old"));
    TRY(chdir("/"));
    TRY(access("/here", F_OK));
    TRY(access("/old/bin/sh", F_OK));
    TRY(umount2("/old", MNT_DETACH));
    TRY(access("/old/bin", F_OK));
}
static void pivoted(void) {
    TRY(access("/bin/sh", F_OK));
    TRY(access("/tmp/new/here", F_OK));
    TRY(rmdir("/tmp/new"));
}
/* Of a child in its own namespace, seen and mapped by root. */
static int pipes[2][2];
static void mapped(void) {
    char c;
    read(pipes[0][0], &c, 1);
    ids();
    TRY(setresgid(5, 5, 5));
    gid_t more[] = {3, 4};
    TRY(setgroups(2, more));
    gid_t other[] = {70};
    TRY(setgroups(1, other));
    TRY(setresuid(7, 7, 7));
    ids();
    lines("CapEff");
    owner("/tmp");
    TRY(mkdir("/tmp/by", 0700));
    owner("/tmp/by");
    fflush(stdout);
    write(pipes[1][1], "x", 1);
    read(pipes[0][0], &c, 1);
}
static char stack[65536];
static int start(void *f) {
    ((void (*)(void))f)();
    fflush(stdout);
    _exit(3);
}
static void by_root(void) {
    setgroups(0, NULL);
    pipe(pipes[0]);
    pipe(pipes[1]);
    fflush(stdout);
    pid_t pid = clone(start, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, mapped);
    char path[64], c;
    sprintf(path, "/proc/%d/uid_map", pid);
    TRY(put(path, "0 100 10\n5 200 1\n"));
    TRY(put(path, "0 100 10\n20 200 1\n") > 0 ? 0 : -1);
    printf("map %d\n", open(path, O_RDONLY) >= 0);
    FILE *f = fopen(path, "r");
    char line[128];
    while (fgets(line, 128, f)) printf("%s", line);
    fclose(f);
    sprintf(path, "/proc/%d/gid_map", pid);
    TRY(put(path, "0 300 10"));
    fflush(stdout);
    write(pipes[0][1], "x", 1);
    read(pipes[1][0], &c, 1);
    owner("/tmp/by");
    sprintf(path, "/proc/%d/status", pid);
    f = fopen(path, "r");
    while (fgets(line, 128, f))
        if (line[0] == 'U' && line[1] == 'i' || line[0] == 'G') printf("%s", line);
    fclose(f);
    write(pipes[0][1], "x", 1);
    int s;
    waitpid(pid, &s, 0);
    printf("ended %x\n", s);
    TRY(rmdir("/tmp/by"));
}
/* Who is at the other end, seen from inside and from outside. */
static int ends[2];
static void tells(void) {
    struct ucred u;
    socklen_t n = sizeof u;
    getsockopt(ends[1], SOL_SOCKET, SO_PEERCRED, &u, &n);
    printf("peer %d %d\n", u.uid, u.gid);
    int on = 1;
    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    char c, room[64];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    recvmsg(ends[1], &m, 0);
    memcpy(&u, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof u);
    printf("sent by %d %d\n", u.uid, u.gid);
    struct ucred claim = {getpid(), 0, 0};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    m.msg_controllen = CMSG_SPACE(sizeof claim);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_CREDENTIALS, h->cmsg_len = CMSG_LEN(sizeof claim);
    memcpy(CMSG_DATA(h), &claim, sizeof claim);
    TRY(sendmsg(ends[1], &m, 0));
    claim.uid = 3;
    memcpy(CMSG_DATA(h), &claim, sizeof claim);
    TRY(sendmsg(ends[1], &m, 0));
}
static void peers(void) {
    become(1000);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
    int on = 1;
    setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    write(ends[0], "x", 1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        TRY(unshare(CLONE_NEWUSER));
        put("/proc/self/setgroups", "deny");
        TRY(put("/proc/self/uid_map", "0 1000 1"));
        TRY(put("/proc/self/gid_map", "0 1000 1"));
        tells();
        fflush(stdout);
        _exit(0);
    }
    char c, room[64];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    waitpid(pid, NULL, 0);
    TRY(recvmsg(ends[0], &m, MSG_DONTWAIT));
}
static void nested(void) {
    become(1000);
    for (int i = 0; i < 3; i++) {
        TRY(unshare(CLONE_NEWUSER));
        put("/proc/self/setgroups", "deny");
        TRY(put("/proc/self/uid_map", i ? "5 0 1" : "0 1000 1"));
        TRY(put("/proc/self/gid_map", i ? "5 0 1" : "0 1000 1"));
        ids();
    }
    show("/proc/self/uid_map");
}
static void refused(void) {
    TRY(unshare(0x40));
    TRY(unshare(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM));
    TRY(unshare(CLONE_THREAD));
    TRY(clone(start, stack + sizeof stack, CLONE_NEWUSER | CLONE_FS | SIGCHLD, NULL));
    TRY(clone(start, stack + sizeof stack, CLONE_NEWNS | CLONE_FS | SIGCHLD, NULL));
    TRY(chroot("/tmp"));
    TRY(unshare(CLONE_NEWUSER));
}
int main(void) {
    umask(022);
    chmod("/tmp", 01777);
    child("plain", plain);
    child("own mounts", own_mounts);
    child("after", after);
    child("pivots", pivots);
    child("pivoted", pivoted);
    child("by root", by_root);
    child("peers", peers);
    child("nested", nested);
    child("refused", refused);
    puts("done");
}
