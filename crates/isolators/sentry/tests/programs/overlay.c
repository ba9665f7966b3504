// Overlays that a program mounts itself: what is written, hidden, renamed and listed.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s: %ld %s\n", what, result < 0 ? -1 : result, result < 0 ? strerror(errno) : "");
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) printf("put %s: %s\n", path, strerror(errno));
    close(fd);
}

static void get(const char *path) {
    char text[100];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    long n = read(fd, text, 99);
    text[n < 0 ? 0 : n] = 0;
    printf("%s: '%s'\n", path, text);
    close(fd);
}

static int order(const void *a, const void *b) {
    return strcmp(*(char **)a, *(char **)b);
}

static void list(const char *path) {
    char *names[100];
    int count = 0;
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d)) && count < 100) {
        struct stat st;
        char full[300];
        snprintf(full, 300, "%s/%s", path, e->d_name);
        int same = strcmp(e->d_name, "..") == 0 || (lstat(full, &st) == 0 && st.st_ino == e->d_ino);
        char *text;
        if (asprintf(&text, "%s/%d%s", e->d_name, e->d_type, same ? "" : "!") < 0) exit(1);
        names[count++] = text;
    }
    qsort(names, count, sizeof *names, order);
    printf("%s:", path);
    for (int i = 0; i < count; i++) printf(" %s", names[i]);
    printf("\n");
    if (d) closedir(d);
}

static ino_t inode(const char *path) {
    struct stat st;
    return lstat(path, &st) ? 0 : st.st_ino;
}

static void mode(const char *path) {
    struct stat st;
    if (lstat(path, &st)) printf("%s: %s\n", path, strerror(errno));
    else printf("%s: %o %u:%u links %lu size %ld\n", path, st.st_mode, st.st_uid, st.st_gid,
                (long)st.st_nlink, S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
}

static int overlay(const char *at, const char *options) {
    return mount("overlay", at, "overlay", 0, options);
}

static void lower(void) {
    mkdir("/tmp/o/low", 0755);
    mkdir("/tmp/o/low2", 0755);
    mkdir("/tmp/o/low/dir", 0750);
    mkdir("/tmp/o/low/both", 0755);
    mkdir("/tmp/o/low2/both", 0700);
    mkdir("/tmp/o/low/full", 0755);
    mkdir("/tmp/o/low/full/deep", 0755);
    put("/tmp/o/low/full/deep/f", "deep");
    put("/tmp/o/low/dir/a", "lower a");
    put("/tmp/o/low/dir/b", "lower b");
    put("/tmp/o/low/both/one", "1");
    put("/tmp/o/low2/both/two", "2");
    put("/tmp/o/low2/both/one", "hidden");
    put("/tmp/o/low2/only", "below");
    put("/tmp/o/low/file", "lower file");
    put("/tmp/o/low/x", "x");
    link("/tmp/o/low/x", "/tmp/o/low/y");
    symlink("file", "/tmp/o/low/link");
    mkfifo("/tmp/o/low/fifo", 0600);
    chmod("/tmp/o/low/file", 04751);
    chown("/tmp/o/low/file", 7, 8);
    chmod("/tmp/o/low/file", 04751);
    setxattr("/tmp/o/low/file", "user.kept", "value", 5, 0);
    struct timespec times[2] = {{1000, 0}, {2000, 0}};
    utimensat(AT_FDCWD, "/tmp/o/low/file", times, 0);
    // What was removed in a layer, and a directory of it that hides what is below.
    mkdir("/tmp/o/mid", 0755);
    mkdir("/tmp/o/mid/both", 0711);
    setxattr("/tmp/o/mid/both", "trusted.overlay.opaque", "y", 1, 0);
    mknod("/tmp/o/mid/x", S_IFCHR, 0);
    put("/tmp/o/mid/file", "middle");
}

static void reads(void) {
    say("two layers", overlay("/tmp/o/m", "lowerdir=/tmp/o/low:/tmp/o/low2"));
    list("/tmp/o/m");
    list("/tmp/o/m/both");
    get("/tmp/o/m/both/one");
    get("/tmp/o/m/only");
    say("write", open("/tmp/o/m/only", O_WRONLY));
    say("make", mkdir("/tmp/o/m/new", 0755));
    mode("/tmp/o/m/both");
    mode("/tmp/o/m/dir");
    say("end", umount("/tmp/o/m"));
    say("three layers", overlay("/tmp/o/m", "lowerdir=/tmp/o/mid:/tmp/o/low:/tmp/o/low2"));
    list("/tmp/o/m");
    list("/tmp/o/m/both");
    get("/tmp/o/m/x");
    get("/tmp/o/m/y");
    get("/tmp/o/m/file");
    say("end", umount("/tmp/o/m"));
}

static void mistakes(void) {
    const char *bad[] = {"", "lowerdir=/tmp/o/low", "lowerdir=/tmp/o/none:/tmp/o/low",
                         "lowerdir=/tmp/o/low,upperdir=/tmp/o/up",
                         "lowerdir=/tmp/o/low,upperdir=/tmp/o/up,workdir=/tmp/o/up/w",
                         "lowerdir=/tmp/o/low,upperdir=/tmp/o/up,workdir=/proc",
                         "lowerdir=/tmp/o/low,upperdir=/tmp/o/up,workdir=/tmp/o/w,whatever=1"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) say(bad[i], overlay("/tmp/o/m", bad[i]));
}

static void copies(void) {
    ino_t before = inode("/tmp/o/m/file"), folder = inode("/tmp/o/m/dir");
    int held = open("/tmp/o/m/file", O_RDONLY);
    char *mapped = mmap(0, 4096, PROT_READ, MAP_SHARED, held, 0);
    mode("/tmp/o/m/file");
    int fd = open("/tmp/o/m/file", O_RDWR);
    say("write", pwrite(fd, "UPPER", 5, 0));
    char text[20] = "";
    say("read by the one before", pread(held, text, 10, 0));
    printf("%s, mapped %.10s\n", text, mapped);
    char *both = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    both[0] = 'u';
    get("/tmp/o/m/file");
    struct stat st;
    fstat(held, &st);
    printf("inode %d, held %d\n", inode("/tmp/o/m/file") == before, st.st_ino == before);
    mode("/tmp/o/m/file");
    say("attribute", getxattr("/tmp/o/m/file", "user.kept", text, 20));
    say("its own", getxattr("/tmp/o/m/file", "trusted.overlay.origin", text, 20));
    char all[100];
    say("all", listxattr("/tmp/o/m/file", all, 100));
    get("/tmp/o/low/file");
    put("/tmp/o/m/dir/c", "new");
    chmod("/tmp/o/m/dir/a", 0600);
    printf("folder %d\n", inode("/tmp/o/m/dir") == folder);
    struct timespec times[2] = {{5, 0}, {6, 0}};
    say("times", utimensat(AT_FDCWD, "/tmp/o/m/link", times, AT_SYMLINK_NOFOLLOW));
    lstat("/tmp/o/m/link", &st);
    printf("%ld %ld\n", (long)st.st_atime, (long)st.st_mtime);
    list("/tmp/o/m/dir");
    list("/tmp/o/up/dir");
    mode("/tmp/o/m/dir");
    mode("/tmp/o/m/dir/a");
    say("xattr", setxattr("/tmp/o/m/dir/b", "user.new", "v", 1, 0));
    get("/tmp/o/up/dir/b");
    say("truncate", truncate("/tmp/o/m/dir/b", 3));
    get("/tmp/o/m/dir/b");
    put("/tmp/o/m/dir/a", "cut");
    get("/tmp/o/m/dir/a");
    get("/tmp/o/low/dir/a");
    close(fd);
    close(held);
    munmap(mapped, 4096);
    munmap(both, 4096);
    int names = open("/tmp/o/m/y", O_WRONLY | O_APPEND);
    say("append", write(names, "+y", 2));
    close(names);
    get("/tmp/o/m/x");
    get("/tmp/o/m/y");
    mode("/tmp/o/m/x");
    mode("/tmp/o/m/y");
}

static void removals(void) {
    say("unlink", unlink("/tmp/o/m/only"));
    get("/tmp/o/m/only");
    struct stat st;
    say("its mark", lstat("/tmp/o/up/only", &st));
    printf("%o %lx\n", st.st_mode, (long)st.st_rdev);
    say("again", unlink("/tmp/o/m/only"));
    say("open with EXCL", close(open("/tmp/o/m/only", O_CREAT | O_EXCL | O_WRONLY, 0600)));
    mode("/tmp/o/m/only");
    say("full", rmdir("/tmp/o/m/full"));
    say("f", unlink("/tmp/o/m/full/deep/f"));
    say("deep", rmdir("/tmp/o/m/full/deep"));
    list("/tmp/o/m/full");
    say("rmdir", rmdir("/tmp/o/m/full"));
    say("mkdir", mkdir("/tmp/o/m/full", 0755));
    list("/tmp/o/m/full");
    char text[10];
    say("opaque", getxattr("/tmp/o/up/full", "trusted.overlay.opaque", text, 10));
    say("mark", mknod("/tmp/o/m/mark", S_IFCHR, 0));
    say("mark removed", mknod("/tmp/o/m/fifo", S_IFCHR, 0));
    say("unlink a directory", unlink("/tmp/o/m/dir"));
    say("rmdir a file", rmdir("/tmp/o/m/x"));
    int held = open("/tmp/o/m/both/two", O_RDONLY);
    say("two", unlink("/tmp/o/m/both/two"));
    say("held", read(held, text, 10));
    close(held);
    list("/tmp/o/m/both");
    list("/tmp/o/m");
}

static void renames(void) {
    say("lower directory", rename("/tmp/o/m/both", "/tmp/o/m/other"));
    say("lower file", rename("/tmp/o/m/x", "/tmp/o/m/z"));
    get("/tmp/o/m/x");
    get("/tmp/o/m/z");
    say("new directory", mkdir("/tmp/o/m/n", 0755));
    put("/tmp/o/m/n/f", "n");
    say("renamed", rename("/tmp/o/m/n", "/tmp/o/m/n2"));
    list("/tmp/o/m/n2");
    say("over what is below", rename("/tmp/o/m/n2", "/tmp/o/m/full"));
    list("/tmp/o/m/full");
    say("over a full one", rename("/tmp/o/m/full", "/tmp/o/m/dir"));
    say("file over directory", rename("/tmp/o/m/z", "/tmp/o/m/dir"));
    say("directory over file", rename("/tmp/o/m/full", "/tmp/o/m/z"));
    say("exchange", syscall(SYS_renameat2, AT_FDCWD, "/tmp/o/m/z", AT_FDCWD, "/tmp/o/m/full", 2));
    mode("/tmp/o/m/z");
    get("/tmp/o/m/full");
    say("no replace", syscall(SYS_renameat2, AT_FDCWD, "/tmp/o/m/y", AT_FDCWD, "/tmp/o/m/z", 1));
    say("into", rename("/tmp/o/m/y", "/tmp/o/m/dir/y"));
    list("/tmp/o/m/dir");
    say("link", link("/tmp/o/m/dir/y", "/tmp/o/m/y2"));
    mode("/tmp/o/m/y2");
    printf("same %d\n", inode("/tmp/o/m/y2") == inode("/tmp/o/m/dir/y"));
    say("link of a link", linkat(AT_FDCWD, "/tmp/o/m/link", AT_FDCWD, "/tmp/o/m/link2", 0));
    mode("/tmp/o/m/link2");
    say("across", rename("/tmp/o/m/y2", "/tmp/o/y2"));
    list("/tmp/o/m");
}

static void others(void) {
    int fd = open("/tmp/o/m/dir", O_TMPFILE | O_RDWR, 0600);
    say("unnamed", write(fd, "tmp", 3));
    char path[50];
    snprintf(path, 50, "/proc/self/fd/%d", fd);
    say("named", linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/o/m/dir/named", AT_SYMLINK_FOLLOW));
    get("/tmp/o/m/dir/named");
    close(fd);
    struct statfs fs;
    statfs("/tmp/o/m", &fs);
    printf("magic %lx\n", (long)fs.f_type);
    say("second mount", mount("/tmp/o/m/dir", "/tmp/o/m2", 0, MS_BIND, 0));
    put("/tmp/o/m2/through", "bind");
    get("/tmp/o/m/dir/through");
    say("away", unlink("/tmp/o/m/dir/through"));
    get("/tmp/o/m2/through");
    umount("/tmp/o/m2");
    int watch = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(watch, "/tmp/o/m/dir", IN_CREATE | IN_DELETE | IN_MODIFY);
    put("/tmp/o/m/dir/w", "w");
    unlink("/tmp/o/m/dir/w");
    char events[4096];
    long n = read(watch, events, sizeof events), count = 0;
    for (long at = 0; at < n; count++) {
        struct inotify_event *e = (void *)(events + at);
        printf("event %x %s\n", e->mask, e->name);
        at += sizeof *e + e->len;
    }
    close(watch);
    int child = fork();
    if (child == 0) {
        int in = open("/proc/self/exe", O_RDONLY), out = open("/tmp/o/m/prog", O_CREAT | O_WRONLY, 0755);
        static char piece[1 << 16];
        long got;
        while ((got = read(in, piece, sizeof piece)) > 0) write(out, piece, got);
        close(out);
        execl("/tmp/o/m/prog", "prog", "again", NULL);
        _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    say("executed", WEXITSTATUS(status));
    say("end", umount("/tmp/o/m"));
    list("/tmp/o/up");
    say("once more", overlay("/tmp/o/m", "lowerdir=/tmp/o/low:/tmp/o/low2,upperdir=/tmp/o/up,workdir=/tmp/o/w"));
    list("/tmp/o/m");
    get("/tmp/o/m/dir/a");
    list("/tmp/o/m/z");
    say("end", umount("/tmp/o/m"));
}

/* Less room than an attribute takes, beside whole files. */
static void fill(void) {
    char name[100];
    static int made;
    for (int fd; (fd = open((sprintf(name, "/tmp/o2/fill/%d", made), name), O_CREAT | O_WRONLY, 0600)) >= 0; made++) close(fd);
    static char text[1000];
    for (int size = 900; size >= 0; size--, made++) {
        sprintf(name, "user.%d", made);
        while (setxattr("/tmp/o2/fill", name, text, size, XATTR_CREATE) == 0) sprintf(name, "user.%d", ++made);
    }
}

static void unfill(int number) {
    char name[100];
    sprintf(name, "/tmp/o2/fill/%d", number);
    if (unlink(name)) printf("no %s\n", name);
}

static void names(const char *path) {
    struct dirent **all;
    int count = scandir(path, &all, 0, alphasort);
    printf("%s:", path);
    for (int n = 0; n < count; n++) printf(" %s", all[n]->d_name);
    printf("\n");
}

/* Where there is no room for the mark that a directory needs, nothing is changed. */
static void room(void) {
    mkdir("/tmp/o2", 0755), mkdir("/tmp/o3", 0755);
    say("tmpfs", mount("tmpfs", "/tmp/o2", "tmpfs", 0, "nr_inodes=60"));
    say("tmpfs", mount("tmpfs", "/tmp/o3", "tmpfs", 0, ""));
    for (int i = 0; i < 4; i++) mkdir((char *[]){"/tmp/o2/up", "/tmp/o2/w", "/tmp/o2/fill", "/tmp/o3/d"}[i], 0755);
    put("/tmp/o3/d/old", "old");
    say("overlay", overlay("/tmp/o/m", "lowerdir=/tmp/o3,upperdir=/tmp/o2/up,workdir=/tmp/o2/w"));
    mkdir("/tmp/o/m/p", 0755), mkdir("/tmp/o/m/p/sub", 0755), mkdir("/tmp/o/m/p/other", 0755), mkdir("/tmp/o/m/q", 0755);
    unlink("/tmp/o/m/d/old");
    say("removed", rmdir("/tmp/o/m/d"));
    fill();
    say("rename", rename("/tmp/o/m/p/sub", "/tmp/o/m/sub"));
    say("exchange", renameat2(AT_FDCWD, "/tmp/o/m/p/sub", AT_FDCWD, "/tmp/o/m/q", RENAME_EXCHANGE));
    names("/tmp/o/m/p");
    names("/tmp/o/m");
    unfill(0);
    say("make", mkdir("/tmp/o/m/d", 0755));
    names("/tmp/o/m");
    unfill(1);
    say("make", mkdir("/tmp/o/m/d", 0755));
    names("/tmp/o/m/d");
    say("rename", rename("/tmp/o/m/p/sub", "/tmp/o/m/sub"));
    fill();
    say("back", rename("/tmp/o/m/sub", "/tmp/o/m/p/sub"));
    say("again", rename("/tmp/o/m/p/sub", "/tmp/o/m/sub"));
    names("/tmp/o/m");
    say("end", umount("/tmp/o/m"));
    umount("/tmp/o2"), umount("/tmp/o3");
    rmdir("/tmp/o2"), rmdir("/tmp/o3");
}

int main(int argc, char **argv) {
    if (argc > 1) return 42;
    setvbuf(stdout, 0, _IOLBF, 0);
    mkdir("/tmp/o", 0755);
    say("tmpfs", mount("tmpfs", "/tmp/o", "tmpfs", 0, ""));
    mkdir("/tmp/o/m", 0755);
    mkdir("/tmp/o/m2", 0755);
    mkdir("/tmp/o/up", 0755);
    mkdir("/tmp/o/w", 0755);
    lower();
    reads();
    mistakes();
    say("overlay", overlay("/tmp/o/m", "lowerdir=/tmp/o/low:/tmp/o/low2,upperdir=/tmp/o/up,workdir=/tmp/o/w"));
    list("/tmp/o/m");
    copies();
    removals();
    renames();
    others();
    room();
    printf("done\n");
    return 0;
}
