// Capabilities, securebits, ids and set-id programs.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <netinet/in.h>
#include <unistd.h>
#include "itself.h"

// Not every host has all: what a test does not need is not shown.
#define SHOWN (0x1ffffffffffULL & ~(1ULL << 24) & ~(1ULL << 40) & ~(1ULL << 39) & ~(1ULL << 38))

static const char *name(int e) { return e == 0 ? "ok" : strerrorname_np(e); }
#define TRY(call) printf("%s: %s\n", #call, name((call) < 0 ? errno : 0))

static int get(struct __user_cap_data_struct d[2]) {
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &h, d);
}
static int set(uint64_t e, uint64_t p, uint64_t i) {
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{e, p, i}, {e >> 32, p >> 32, i >> 32}};
    return syscall(SYS_capset, &h, d);
}
static void show(const char *what) {
    struct __user_cap_data_struct d[2];
    get(d);
    uint64_t e = d[0].effective | (uint64_t)d[1].effective << 32;
    uint64_t p = d[0].permitted | (uint64_t)d[1].permitted << 32;
    uint64_t i = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
    unsigned r, u, s, gr, ge, gs;
    getresuid(&r, &u, &s);
    getresgid(&gr, &ge, &gs);
    printf("%s: e %lx p %lx i %lx uid %u %u %u gid %u %u %u secure %lx keep %d nnp %d aux %lu %lu\n", what,
           e & SHOWN, p & SHOWN, i & SHOWN, r, u, s, gr, ge, gs, (long)prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS),
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), getauxval(AT_SECURE), getauxval(AT_EUID));
}
static void child(void (*f)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        f();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("status %x\n", status);
}
static void run(const char *path) {
    fflush(stdout);
    execl(path, path, "show", NULL);
    printf("exec %s: %s\n", path, name(errno));
}

static void drops(void) {
    show("root");
    TRY(prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0));
    printf("bounding %d %d\n", prctl(PR_CAPBSET_READ, CAP_NET_RAW), prctl(PR_CAPBSET_READ, CAP_CHOWN));
    TRY(prctl(PR_CAPBSET_READ, 64));
    TRY(seteuid(1000));
    show("euid 1000");
    TRY(seteuid(0));
    show("euid 0");
    TRY(setresuid(1000, 1000, 1000));
    show("user");
    TRY(setuid(0));
    TRY(setgid(0));
    TRY(setgid(7));
    TRY(prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0));
    TRY(set(1, 1, 0));
    TRY(set(0, 0, 0));
}
static void keeps(void) {
    TRY(prctl(PR_SET_KEEPCAPS, 1));
    TRY(setresgid(1000, 1000, 1000));
    TRY(setresuid(1000, 1000, 1000));
    show("kept");
    uint64_t some = 1ULL << CAP_NET_BIND_SERVICE | 1ULL << CAP_SETGID;
    TRY(set(some, some, some));
    show("some");
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, 9, CAP_CHOWN, 0, 0));
    printf("ambient %d\n", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0));
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {AF_INET, htons(80)};
    TRY(bind(s, (void *)&a, sizeof a));
    run("/tmp/plain");
}
static void secures(void) {
    TRY(prctl(PR_SET_SECUREBITS, 0x2f));
    TRY(prctl(PR_SET_SECUREBITS, 0));
    TRY(prctl(PR_SET_KEEPCAPS, 1));
    show("secure");
    TRY(seteuid(1000));
    show("no fixup");
    TRY(seteuid(0));
    run("/tmp/plain");
}
static void as_user(void) {
    personality(0x0240000);
    TRY(setgroups(0, NULL));
    TRY(setresgid(1000, 1000, 1000));
    TRY(setresuid(1000, 1000, 1000));
}
static void set_id(void) {
    as_user();
    run("/tmp/setuid");
}
static void set_group(void) {
    as_user();
    run("/tmp/setgid");
}
static void not_set_id(void) {
    as_user();
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    run("/tmp/setuid");
}
static void file_caps(void) {
    as_user();
    run("/tmp/caps");
}
static void file_caps_bound(void) {
    TRY(prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0));
    as_user();
    run("/tmp/caps");
}
static void checks(void) {
    int fd = open("/tmp/own", O_CREAT | O_RDWR, 0600);
    close(fd);
    mkdir("/tmp/locked", 0700);
    as_user();
    TRY(chown("/tmp/own", 1000, 1000));
    TRY(chmod("/tmp/own", 0777));
    TRY(open("/tmp/own", O_RDONLY));
    TRY(open("/tmp/locked/x", O_RDONLY));
    TRY(open("/tmp/locked/x", O_RDONLY | O_CREAT, 0600));
    TRY(kill(1, 0));
    TRY(kill(getppid(), 0));
    TRY(chroot("/"));
    TRY(mount("none", "/tmp", "tmpfs", 0, ""));
    TRY(sethostname("x", 1));
    TRY(mknod("/tmp/dev", S_IFCHR | 0600, 0x103));
    TRY(socket(AF_INET, SOCK_RAW, 1));
    TRY(setpriority(0, getppid(), 1) < 0 ? -1 : 0);
    TRY(syscall(SYS_keyctl, 0, 0, 0, 0, 0) < -1);
}
static void file_user(void) {
    printf("fsuid %d %d\n", setfsuid(1000), setfsuid(-1));
    show("fsuid");
    TRY(open("/tmp/own", O_RDONLY));
    printf("fsuid %d\n", setfsuid(0));
    TRY(open("/tmp/own", O_RDONLY));
    printf("fsgid %d %d\n", setfsgid(5), setfsgid(-1));
    TRY(prctl(PR_SET_DUMPABLE, 0));
    printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 1));
    setresuid(-1, 1000, -1);
    printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
}
static void some_caps(void) {
    uint64_t some = 1ULL << CAP_DAC_READ_SEARCH | 1ULL << CAP_CHOWN;
    TRY(prctl(PR_SET_KEEPCAPS, 1));
    TRY(setresuid(1000, 1000, 1000));
    TRY(set(some, some, 0));
    TRY(open("/tmp/own", O_RDONLY));
    TRY(open("/tmp/own", O_WRONLY));
    TRY(access("/tmp/own", R_OK));
    TRY(chmod("/tmp/own", 0600));
    TRY(chown("/tmp/own", 0, 0));
    TRY(kill(1, 0));
}
static void *thread(void *p) {
    syscall(SYS_setresuid, 1000, 1000, 1000);
    show("thread");
    return NULL;
}
static void threads(void) {
    pthread_t t;
    pthread_create(&t, NULL, thread, NULL);
    pthread_join(t, NULL);
    show("the other");
}
static void versions(void) {
    struct __user_cap_header_struct h = {1, 0};
    struct __user_cap_data_struct d[2];
    TRY(syscall(SYS_capget, &h, NULL));
    printf("version %x\n", h.version);
    h.version = 1;
    TRY(syscall(SYS_capget, &h, d));
    h.version = _LINUX_CAPABILITY_VERSION_3;
    h.pid = 99999;
    TRY(syscall(SYS_capget, &h, d));
    h.pid = -1;
    TRY(syscall(SYS_capget, &h, d));
    h.pid = 1;
    TRY(syscall(SYS_capget, &h, d));
    TRY(syscall(SYS_capset, &h, d));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        show(argv[0]);
        printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
        printf("personality %x\n", personality(-1));
        return 0;
    }
    mount("none", "/tmp", "tmpfs", 0, "mode=1777");
    copy_itself("/tmp/plain", O_TRUNC, 0755);
    copy_itself("/tmp/setuid", O_TRUNC, 04755);
    copy_itself("/tmp/setgid", O_TRUNC, 02755);
    copy_itself("/tmp/caps", O_TRUNC, 0755);
    struct vfs_cap_data data = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1 << CAP_NET_RAW, 0}, {0, 0}}};
    TRY(setxattr("/tmp/caps", "security.capability", &data, sizeof data, 0));
    child(drops);
    child(keeps);
    child(secures);
    child(set_id);
    child(set_group);
    child(not_set_id);
    child(file_caps);
    child(file_caps_bound);
    child(checks);
    child(file_user);
    child(some_caps);
    child(threads);
    child(versions);
    umount2("/tmp", MNT_DETACH);
    puts("done");
}
