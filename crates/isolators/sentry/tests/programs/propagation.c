/* Who sees what is mounted: shared, slave, private and unbindable mounts (mount_namespaces(7)). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define bind(from, to) E(mount(from, to, 0, MS_BIND, 0))
#define rbind(from, to) E(mount(from, to, 0, MS_BIND | MS_REC, 0))
#define type(path, how) E(mount(0, path, 0, how, 0))
#define tmpfs(name, to) E(mount(name, to, "tmpfs", 0, "size=1m"))
static int known[64], count;
/* Groups are called by letters, in the order in which they are told. */
static void number(const char *tags, const char *tag) {
    const char *at = strstr(tags, tag);
    if (!at) return;
    int n = atoi(at + strlen(tag)), i;
    for (i = 0; i < count && known[i] != n; i++);
    if (i == count) known[count++] = n;
    P(" %s%c", tag, 'A' + i);
}
static int by_text(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
static void show(const char *what) {
    char *lines[256], text[1024];
    int n = 0;
    FILE *f = fopen("/proc/self/mountinfo", "r");
    while (f && n < 256 && fgets(text, sizeof text, f)) {
        char root[256], at[256], flags[128], tags[256] = "", kind[64], source[64], *dash = strstr(text, " - ");
        int skip;
        if (!dash || sscanf(text, "%*d %*d %*d:%*d %255s %255s %127s%n", root, at, flags, &skip) != 3) continue;
        if (strncmp(at, "/n", 2)) continue;
        if (text + skip < dash) snprintf(tags, sizeof tags, "%.*s", (int)(dash - text - skip), text + skip);
        sscanf(dash, " - %63s %63s", kind, source);
        asprintf(&lines[n++], "%s %s %s %s%s", at, source, root, strncmp(flags, "ro", 2) ? "rw" : "ro", tags);
    }
    fclose(f);
    qsort(lines, n, sizeof *lines, by_text);
    P("%s:\n", what);
    count = 0;
    for (int i = 0; i < n; i++) {
        char *tags = strchr(lines[i], ' ');
        for (int k = 0; k < 3 && tags; k++) tags = strchr(tags + 1, ' ');
        P("  %.*s", tags ? (int)(tags - lines[i]) : (int)strlen(lines[i]), lines[i]);
        if (tags) number(tags, "shared:"), number(tags, "master:"), number(tags, "propagate_from:");
        P("%s\n", tags && strstr(tags, "unbindable") ? " unbindable" : "");
    }
}
static void dirs(const char *in) {
    char path[64];
    for (char c = 'a'; c < 'g'; c++) sprintf(path, "%s/%c", in, c), mkdir(path, 0755);
}
static void fresh(void) {
    while (!umount2("/n", MNT_DETACH));
    mkdir("/n", 0755);
    tmpfs("top", "/n");
    type("/n", MS_PRIVATE);
    dirs("/n");
}
static void peers(void) {
    fresh();
    P("shared %ld", tmpfs("one", "/n/a"));
    P(" %ld", type("/n/a", MS_SHARED));
    dirs("/n/a");
    P(" bind %ld %ld", bind("/n/a", "/n/b"), bind("/n/a/c", "/n/c"));
    P(" slave %ld", bind("/n/a", "/n/d"));
    P(" %ld private %ld", type("/n/d", MS_SLAVE), bind("/n/a", "/n/e"));
    P(" %ld\n", type("/n/e", MS_PRIVATE));
    P("mount %ld", tmpfs("two", "/n/b/c"));
    mkdir("/n/a/c/x", 0755);
    P(" below %ld other %ld slave %ld\n", tmpfs("three", "/n/c/x"), tmpfs("four", "/n/a/b"), tmpfs("five", "/n/d/d"));
    show("peers");
    P("busy %ld", E(umount("/n/b/c"))), P(" umount %ld", E(umount("/n/a/b"))), P(" of all %ld\n", E(umount("/n/b/c/x")));
    show("umounted");
    /* slaves that share, and slaves of those */
    P("share %ld", type("/n/d", MS_SHARED));
    P(" bind %ld", bind("/n/d", "/n/f"));
    P(" slave %ld", type("/n/f", MS_SLAVE));
    P(" mount %ld", tmpfs("six", "/n/a/e")), P(" %ld\n", tmpfs("seven", "/n/d/f"));
    show("chains");
    P("private %ld", type("/n/d", MS_PRIVATE));
    show("without the middle");
    P("mount %ld\n", tmpfs("eight", "/n/b/a"));
    show("after it");
    P("gone %ld\n", E(umount2("/n/a", MNT_DETACH)));
    P("gone %ld\n", E(umount2("/n/b", MNT_DETACH)));
    show("without the peers");
}
static void refused(void) {
    fresh();
    P("not a mount %ld two %ld more %ld none %ld", type("/n/a", MS_SHARED), type("/n", MS_SHARED | MS_PRIVATE), type("/n", MS_SHARED | MS_NODEV), type("/none", MS_SHARED));
    P(" silent %ld\n", type("/n", MS_PRIVATE | MS_SILENT));
    tmpfs("one", "/n/a"), dirs("/n/a");
    tmpfs("two", "/n/a/a"), tmpfs("three", "/n/a/b"), tmpfs("four", "/n/a/b");
    P("unbindable %ld", type("/n/a/a", MS_UNBINDABLE));
    P(" bind %ld", bind("/n/a/a", "/n/b"));
    P(" recursive %ld\n", rbind("/n/a", "/n/b"));
    show("unbindable");
    P("slave %ld", type("/n/a/a", MS_SLAVE));
    show("slave of nobody");
    P("shared %ld", type("/n/a/a", MS_SHARED));
    P(" slave %ld", type("/n/a/a", MS_SLAVE));
    P(" unbindable %ld\n", type("/n/a/a", MS_UNBINDABLE));
    tmpfs("five", "/n/c"), type("/n/c", MS_SHARED), dirs("/n/c");
    P("move unbindable %ld", E(mount("/n/a", "/n/c/a", 0, MS_MOVE, 0)));
    P(" private %ld", type("/n/a/a", MS_PRIVATE));
    P(" move %ld", E(mount("/n/a", "/n/c/a", 0, MS_MOVE, 0)));
    P(" out of it %ld\n", E(mount("/n/c/a", "/n/a", 0, MS_MOVE, 0)));
    show("moved");
    P("recursive %ld", type("/n", MS_SHARED | MS_REC));
    show("all");
    P("recursive %ld", type("/n/c", MS_SLAVE | MS_REC));
    show("slaves");
    mkdir("/n/d/old", 0755);
    P("pivot %ld\n", E(syscall(SYS_pivot_root, "/n/c", "/n/c/b")));
    struct { unsigned long set, clear, propagation, users; } a = {0, 0, MS_PRIVATE, 0};
    P("setattr %ld", E(syscall(SYS_mount_setattr, AT_FDCWD, "/n/c", 0x8000, &a, sizeof a)));
    a.propagation = MS_PRIVATE | MS_SHARED;
    P(" two %ld", E(syscall(SYS_mount_setattr, AT_FDCWD, "/n/c", 0, &a, sizeof a)));
    a.propagation = MS_SHARED, a.set = 1;
    P(" and read-only %ld\n", E(syscall(SYS_mount_setattr, AT_FDCWD, "/n/c/a", 0, &a, sizeof a)));
    show("set");
}
/* Binds of trees, on and in what is shared. */
static void trees(void) {
    fresh();
    tmpfs("one", "/n/a"), dirs("/n/a"), tmpfs("two", "/n/a/a"), dirs("/n/a/a"), tmpfs("three", "/n/a/a/b");
    tmpfs("four", "/n/b"), dirs("/n/b"), type("/n/b", MS_SHARED), bind("/n/b", "/n/c"), bind("/n/b", "/n/d"), type("/n/d", MS_SLAVE);
    P("tree %ld\n", rbind("/n/a", "/n/b/e"));
    show("tree");
    P("in it %ld\n", tmpfs("five", "/n/b/e/a/c"));
    P("from a slave %ld\n", tmpfs("six", "/n/d/e/a/d"));
    P("on top %ld\n", tmpfs("seven", "/n/d/e"));
    show("grown");
    P("umount %ld", E(umount("/n/b/e"))), P(" lazily %ld\n", E(umount2("/n/c/e", MNT_DETACH)));
    show("lazily");
    P("stay %ld", tmpfs("eight", "/n/d/f"));
    P(" below %ld\n", tmpfs("nine", "/n/c/f"));
    show("below");
    P("umount %ld\n", E(umount("/n/b/f")));
    show("on top stays");
    int fd = syscall(SYS_open_tree, AT_FDCWD, "/n/a", 1 | AT_RECURSIVE);
    P("attach %ld\n", E(syscall(SYS_move_mount, fd, "", AT_FDCWD, "/n/b/a", 4)));
    show("attached");
    close(fd);
    P("itself %ld\n", rbind("/n/b", "/n/b/b"));
    show("itself");
}
/* A mount that was moved into its own copy. */
static void within(void) {
    fresh();
    tmpfs("one", "/n/a"), type("/n/a", MS_SHARED), dirs("/n/a"), bind("/n/a", "/n/b");
    P("move %ld\n", E(mount("/n/a", "/n/b/a", 0, MS_MOVE, 0)));
    show("within");
    P("mount %ld\n", tmpfs("two", "/n/b/a/b"));
    show("within it");
    P("umount %ld", E(umount("/n/b/a"))), P(" %ld\n", E(umount("/n/b/a/a/b")));
    show("without it");
    P("umount %ld", E(umount("/n/b/a/a")));
    P(" %ld\n", E(umount("/n/b")));
    show("without");
}
static void spaces(int flags) {
    fresh();
    int up[2], down[2];
    char c = 0;
    pipe(up), pipe(down);
    tmpfs("one", "/n/a"), type("/n/a", MS_SHARED), dirs("/n/a"), tmpfs("two", "/n/b"), type("/n/b", MS_UNBINDABLE), tmpfs("three", "/n/a/a"), dirs("/n/a/a");
    bind("/n/a", "/n/c"), type("/n/c", MS_SLAVE);
    pid_t p = fork();
    if (!p) {
        close(down[1]);
        P("unshare %ld\n", E(unshare(CLONE_NEWNS | flags)));
        show("there");
        write(up[1], &c, 1), read(down[0], &c, 1);
        show("there, later");
        P("umount %ld", E(umount("/n/a/b"))), P(" %ld", E(umount("/n/a/a/a")));
        P(" locked %ld", E(umount("/n/a/a")));
        P(" mount %ld", tmpfs("six", "/n/a/d"));
        P(" slave %ld", type("/n/a", MS_SLAVE | MS_REC));
        P(" mount %ld\n", tmpfs("seven", "/n/a/e"));
        show("there, at last");
        write(up[1], &c, 1), read(down[0], &c, 1);
        show("there, after umounts");
        _exit(0);
    }
    read(up[0], &c, 1);
    P("mount %ld", tmpfs("four", "/n/a/b")), P(" %ld\n", tmpfs("five", "/n/a/a/a"));
    show("here");
    write(down[1], &c, 1), read(up[0], &c, 1);
    show("here, at last");
    P("umount %ld", E(umount2("/n/a/a", MNT_DETACH))), P(" %ld\n", E(umount("/n/a/d")));
    write(down[1], &c, 1), waitpid(p, 0, 0);
    show("here, after it");
}
int main(int argc, char **argv) {
    /* one's own */
    P("own %ld %ld\n", E(unshare(CLONE_NEWNS)), type("/", MS_PRIVATE | MS_REC));
    peers(), refused(), trees(), within();
    P("spaces\n"), spaces(0);
    P("spaces of other users\n"), spaces(CLONE_NEWUSER);
    umount2("/n", MNT_DETACH);
    P("done\n");
}
