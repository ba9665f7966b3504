/* Files that namespaces are bound to: what ip-netns(8) and unshare(1) with a file do. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define bind(from, to) mount(from, to, 0, MS_BIND, 0)
static int ended(pid_t p) { int s; waitpid(p, &s, 0); return s; }
static unsigned long inode(const char *path) { struct stat s; return stat(path, &s) ? 0 : s.st_ino; }
static void place(const char *path) { close(open(path, O_CREAT | O_RDONLY, 0644)); }
/* The line of a mount, without numbers. */
static void line(const char *path) {
    FILE *f = fopen("/proc/self/mountinfo", "r");
    char text[512], root[128], at[128], flags[128], rest[256];
    int id, above, major, minor, found = 0;
    while (f && fgets(text, sizeof text, f)) {
        if (sscanf(text, "%d %d %d:%d %127s %127s %127s %255[^\n]", &id, &above, &major, &minor, root, at, flags, rest) != 8) continue;
        if (strcmp(at, path)) continue;
        if (strchr(root, '[')) strcpy(strchr(root, '['), "[N]");
        *strrchr(rest, ' ') = 0;
        P("%s: %d:%d %s %s %s\n", path, major, minor, root, flags, strstr(rest, "- ")), found++;
    }
    if (f) fclose(f);
    if (!found) P("%s: not there\n", path);
}
static void file(const char *path) {
    struct stat s;
    struct statfs f;
    char link[128], fd[64];
    int own = open(path, O_RDONLY);
    E(fstat(own, &s));
    P("open %d mode %o links %d size %ld dev %ld", own >= 0, s.st_mode, (int)s.st_nlink, (long)s.st_size, (long)(s.st_dev == 4));
    P(" statfs %ld", E(fstatfs(own, &f)));
    P(" %lx", (long)f.f_type);
    sprintf(fd, "/proc/self/fd/%d", own);
    ssize_t n = readlink(fd, link, 127);
    link[n < 0 ? 0 : n] = 0;
    if (strchr(link, '[')) strcpy(strchr(link, '['), "[N]");
    P(" link %s", link);
    P(" read %ld seek %ld", E(read(own, link, 1)), E(lseek(own, 0, SEEK_SET)));
    P(" map %d type %lx\n", mmap(0, 4096, PROT_READ, MAP_PRIVATE, own, 0) == MAP_FAILED ? errno : 0, E(ioctl(own, NS_GET_NSTYPE)));
    long w = E(open(path, O_WRONLY)), t = E(truncate(path, 0)), m = E(chmod(path, 0600)), o = E(chown(path, 1, 1));
    P("write %ld truncate %ld chmod %ld chown %ld", w, t, m, o);
    P(" rename %ld exec %ld in %ld\n", E(rename(path, "/n/y")), E(execl(path, path, NULL)), E(open("/n/x/y", O_RDONLY)));
    close(own);
}
static const struct { const char *kind; int flag; } KINDS[] = {
    {"net", CLONE_NEWNET}, {"uts", CLONE_NEWUTS}, {"ipc", CLONE_NEWIPC}, {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"cgroup", CLONE_NEWCGROUP},
};
/* Binds the namespace of a child, which ends; then enters it by the file. */
static void keep(int i) {
    char path[64], at[64];
    int up[2], down[2];
    pipe(up), pipe(down);
    pid_t p = fork();
    if (!p) {
        int r = unshare(KINDS[i].flag);
        if (KINDS[i].flag == CLONE_NEWUTS) sethostname("kept", 4);
        if (KINDS[i].flag == CLONE_NEWPID && !fork()) { pause(); _exit(0); }
        write(up[1], &r, 4), read(down[0], &r, 4), _exit(0);
    }
    int r;
    read(up[0], &r, 4);
    sprintf(path, "/proc/%d/ns/%s", p, KINDS[i].flag == CLONE_NEWPID ? "pid_for_children" : KINDS[i].kind);
    sprintf(at, "/n/%s", KINDS[i].kind);
    place(at);
    long b = E(bind(path, at));
    unsigned long before = inode(path);
    P("%s: unshare %d bind %ld same %d own %d\n", KINDS[i].kind, r, b, before == inode(at), inode(at) == inode("/proc/self/ns/mnt"));
    write(down[1], &r, 4), ended(p);
    P(" after its end: same %d\n", before == inode(at));
    line(at);
    if (!(p = fork())) {
        char name[65] = {0};
        int fd = open(at, O_RDONLY);
        P(" wrong flag %ld", E(setns(fd, KINDS[i].flag == CLONE_NEWNET ? CLONE_NEWUTS : CLONE_NEWNET)));
        P(" enter %ld", E(setns(fd, KINDS[i].flag)));
        sprintf(path, "/proc/self/ns/%s", KINDS[i].flag == CLONE_NEWPID ? "pid_for_children" : KINDS[i].kind);
        P(" there %d", inode(path) == before);
        gethostname(name, 64);
        if (KINDS[i].flag == CLONE_NEWUTS) P(" name %s", name);
        P("\n");
        _exit(0);
    }
    ended(p);
}
int main(void) {
    /* Linux 6.18 orders namespaces that one processor makes. */
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    unshare(CLONE_NEWNS);
    mkdir("/n", 0755);
    P("tmpfs %ld\n", E(mount("n", "/n", "tmpfs", 0, 0)));
    place("/n/x"), mkdir("/n/d", 0755);
    P("on a directory %ld of nothing %ld\n", E(bind("/proc/self/ns/net", "/n/d")), E(bind("/proc/self/ns/none", "/n/x")));
    P("bind %ld\n", E(bind("/proc/self/ns/net", "/n/x")));
    line("/n/x"), file("/n/x"), file("/proc/self/ns/net");
    P("again %ld", E(bind("/n/x", "/n/x")));
    place("/n/y");
    P(" there %ld recursively %ld", E(bind("/n/x", "/n/y")), E(mount("/n/x", "/n/y", 0, MS_BIND | MS_REC, 0)));
    P(" read-only %ld\n", E(mount(0, "/n/y", 0, MS_BIND | MS_REMOUNT | MS_RDONLY, 0)));
    line("/n/y");
    P("unlink %ld umount", E(unlink("/n/x")));
    for (int i = 0; i < 5; i++) P(" %ld", E(umount(i & 1 ? "/n/y" : "/n/x")));
    P("\n");
    /* by a descriptor */
    char path[64];
    int fd = open("/proc/self/ns/uts", O_RDONLY), named = open("/proc/self/ns/uts", O_PATH);
    sprintf(path, "/proc/self/fd/%d", fd);
    P("by descriptor %ld", E(bind(path, "/n/x")));
    P(" same %d", inode("/n/x") == inode("/proc/self/ns/uts"));
    P(" umount %ld", E(umount("/n/x")));
    sprintf(path, "/proc/self/fd/%d", named);
    P(" by name %ld", E(bind(path, "/n/x")));
    P(" umount %ld setns %ld %ld\n", E(umount("/n/x")), E(setns(fd, 0)), E(setns(named, 0)));
    int tree = syscall(SYS_open_tree, AT_FDCWD, "/proc/self/ns/uts", 1);
    P("tree %d move %ld", tree >= 0, E(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/n/x", 4)));
    P(" same %d\n", inode("/n/x") == inode("/proc/self/ns/uts"));
    close(tree);
    P("closed %ld\n", E(umount("/n/x")));
    /* the link itself, and what is no namespace */
    P("link %ld other %ld\n", E(syscall(SYS_open_tree, AT_FDCWD, "/proc/self/ns/uts", 1 | AT_SYMLINK_NOFOLLOW)) >= 0, E(bind("/proc/self/fd/0", "/n/d")));
    for (int i = 0; i < 7; i++) keep(i);
    /* no namespace of mounts holds itself, or one that holds it */
    P("itself %ld\n", E(bind("/proc/self/ns/mnt", "/n/x")));
    pid_t p = fork();
    if (!p) {
        int old = open("/proc/self/ns/mnt", O_RDONLY);
        unshare(CLONE_NEWNS);
        sprintf(path, "/proc/self/fd/%d", old);
        P("own %ld", E(bind("/proc/self/ns/mnt", "/n/x")));
        P(" older %ld", E(bind(path, "/n/x")));
        P(" copied %d %d", inode("/n/mnt") > 100, inode("/n/net") == inode("/proc/self/ns/net"));
        line("/n/mnt"), line("/n/uts");
        _exit(0);
    }
    ended(p);
    /* recursive binds have them, trees that come from elsewhere don't lead back */
    mkdir("/o", 0755);
    P("recursive %ld", E(mount("/n", "/o", 0, MS_BIND | MS_REC, 0)));
    P(" same %d\n", inode("/o/mnt") == inode("/n/mnt"));
    P("umount %ld\n", E(umount2("/o", MNT_DETACH)));
    int all = syscall(SYS_open_tree, AT_FDCWD, "/n", 1 | AT_RECURSIVE);
    if (!(p = fork())) {
        int in = open("/n/mnt", O_RDONLY);
        P("enter %ld", E(setns(in, 0)));
        P(" there %d move", inode("/n/mnt") > 100);
        P(" %ld\n", E(syscall(SYS_move_mount, all, "", AT_FDCWD, "/o", 4)));
        _exit(0);
    }
    ended(p);
    close(all);
    /* a network that nobody is in any more has its sockets' names and interfaces */
    if (!(p = fork())) {
        setns(open("/n/net", O_RDONLY), 0);
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        struct { char name[16]; short flags; char rest[22]; } r = {"lo", 1};
        P("up %ld", E(ioctl(s, 0x8914, &r)));
        _exit(0);
    }
    ended(p);
    if (!(p = fork())) {
        setns(open("/n/net", O_RDONLY), 0);
        int s = socket(AF_INET, SOCK_DGRAM, 0);
        struct { char name[16]; short flags; char rest[22]; } r = {"lo"};
        P(" still %ld", E(ioctl(s, 0x8913, &r)));
        P(" %x\n", r.flags);
        _exit(0);
    }
    ended(p);
    for (int i = 0; i < 7; i++) sprintf(path, "/n/%s", KINDS[i].kind), P("umount %ld", E(umount(path))), P(" unlink %ld ", E(unlink(path)));
    P("\ndone\n");
    umount2("/n", MNT_DETACH), rmdir("/n"), rmdir("/o");
}
