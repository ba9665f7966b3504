// Mounts step by step, by descriptors.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPEN_TREE_ = 428, MOVE_MOUNT_, FSOPEN_, FSCONFIG_, FSMOUNT_, FSPICK_, SETATTR_ = 442 };
enum { FLAG, STRING, BINARY, PATH, PATH_EMPTY, FD, CREATE, RECONFIGURE };

#define CALL(...)                                    \
    ({                                               \
        long r_ = syscall(__VA_ARGS__);              \
        r_ < 0 ? -errno : r_;                        \
    })
// Descriptors differ; errors do not.
#define SIGN(x)                \
    ({                         \
        long v_ = (x);         \
        v_ < 0 ? v_ : 1;       \
    })

static long config(int fd, int what, const char *key, const void *value, int extra) {
    return CALL(FSCONFIG_, fd, what, key, value, extra);
}

static long move(int from, const char *path, int to, const char *target, int flags) {
    return CALL(MOVE_MOUNT_, from, path, to, target, flags);
}

struct attr {
    uint64_t set, clear, propagation, user;
};

static long setattr(int fd, const char *path, int flags, uint64_t set, uint64_t clear) {
    struct attr attr = {set, clear, 0, 0};
    return CALL(SETATTR_, fd, path, flags, &attr, sizeof attr);
}

static const char *line(const char *place) {
    static char text[1024];
    FILE *mounts = fopen("/proc/self/mounts", "r");
    char found[1024] = "none";
    while (fgets(text, sizeof text, mounts)) {
        char source[512], path[512], kind[64], options[256];
        sscanf(text, "%511s %511s %63s %255s", source, path, kind, options);
        if (strcmp(path, place) == 0) {
            // Of the options, those of the mount.
            char kept[256] = "";
            const char *names[] = {"ro", "rw", "nosuid", "nodev", "noexec", "noatime",
                                   "nodiratime", "relatime"};
            for (char *one = strtok(options, ","); one; one = strtok(NULL, ","))
                for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
                    if (strcmp(one, names[i]) == 0) {
                        if (*kept) strcat(kept, ",");
                        strcat(kept, one);
                    }
            snprintf(found, sizeof found, "%s %s %s", source, kind, kept);
        }
    }
    fclose(mounts);
    strcpy(text, found);
    return text;
}

static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return -errno;
    long result = write(fd, text, strlen(text));
    close(fd);
    return result;
}

static const char *get(const char *path) {
    static char text[256];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        sprintf(text, "error %d", errno);
        return text;
    }
    int count = read(fd, text, sizeof text - 1);
    text[count < 0 ? 0 : count] = 0;
    close(fd);
    return text;
}

static long there(int fd, const char *name) {
    struct stat status;
    return fstatat(fd, name, &status, 0) < 0 ? -errno : 0;
}

static int new_tmpfs(const char *source) {
    int fd = CALL(FSOPEN_, "tmpfs", 1);
    config(fd, STRING, "source", source, 0);
    config(fd, CREATE, NULL, NULL, 0);
    int mount = CALL(FSMOUNT_, fd, 1, 0);
    close(fd);
    return mount;
}

static void contexts(void) {
    printf("unknown type %ld\n", CALL(FSOPEN_, "nosuchfs", 0));
    printf("flags %ld\n", CALL(FSOPEN_, "tmpfs", 2));
    printf("nowhere %ld\n", CALL(FSOPEN_, (char *)1, 0));
    int fd = CALL(FSOPEN_, "tmpfs", 1);
    printf("fsopen %ld\n", SIGN(fd));
    printf("flag kept %d\n", fcntl(fd, F_GETFD));
    char text[256];
    long count = CALL(SYS_read, fd, text, sizeof text);
    printf("nothing to say %ld\n", count);
    printf("source %ld\n", config(fd, STRING, "source", "here", 0));
    printf("another %ld\n", config(fd, STRING, "source", "there", 0));
    while (CALL(SYS_read, fd, text, sizeof text) > 0) {}
    printf("size %ld\n", config(fd, STRING, "size", "1m", 0));
    printf("mode %ld\n", config(fd, STRING, "mode", "0750", 0));
    printf("bad mode %ld\n", config(fd, STRING, "mode", "9", 0));
    while (CALL(SYS_read, fd, text, sizeof text) > 0) {}
    printf("of mounts %ld\n", config(fd, FLAG, "nosuid", NULL, 0));
    count = CALL(SYS_read, fd, text, sizeof text);
    printf("it says %.*s|\n", (int)(count < 0 ? 0 : count), text);
    printf("unknown %ld\n", config(fd, STRING, "nosuch", "1", 0));
    while (CALL(SYS_read, fd, text, sizeof text) > 0) {}
    printf("shapes %ld %ld %ld %ld %ld %ld\n", config(fd, FLAG, "ro", "x", 0),
           config(fd, STRING, "size", NULL, 0), config(fd, STRING, "size", "1", 1),
           config(fd, CREATE, "x", NULL, 0), config(fd, FD, "x", NULL, -1),
           config(fd, BINARY, "x", "y", 0));
    printf("command %ld\n", config(fd, 77, NULL, NULL, 0));
    printf("other files %ld %ld\n", config(0, CREATE, NULL, NULL, 0),
           config(900, CREATE, NULL, NULL, 0));
    printf("negative %ld\n", config(-1, CREATE, NULL, NULL, 0));
    printf("too early %ld\n", CALL(FSMOUNT_, fd, 0, 0));
    printf("change too early %ld\n", config(fd, RECONFIGURE, NULL, NULL, 0));
    printf("create %ld\n", config(fd, CREATE, NULL, NULL, 0));
    printf("again %ld\n", config(fd, CREATE, NULL, NULL, 0));
    printf("too late %ld\n", config(fd, STRING, "size", "2m", 0));
    printf("attributes %ld %ld %ld\n", CALL(FSMOUNT_, fd, 0, 0x30), CALL(FSMOUNT_, fd, 0, 0x100000),
           CALL(FSMOUNT_, fd, 2, 0));
    int mount = CALL(FSMOUNT_, fd, 1, 2 | 4);
    printf("fsmount %ld\n", SIGN(mount));
    printf("flag kept %d\n", fcntl(mount, F_GETFD));
    printf("only a name %d\n", (fcntl(mount, F_GETFL) & O_PATH) != 0);
    printf("once more %ld\n", CALL(FSMOUNT_, fd, 1, 0));
    // Used before it is anywhere.
    int file = openat(mount, "early", O_CREAT | O_WRONLY, 0600);
    printf("a file in it %d\n", file >= 0);
    close(file);
    mkdir("/tmp/at", 0755);
    printf("not there %s\n", line("/tmp/at"));
    printf("move %ld\n", move(mount, "", AT_FDCWD, "/tmp/at", 4));
    printf("there %s\n", line("/tmp/at"));
    struct stat status;
    stat("/tmp/at", &status);
    printf("mode %o\n", status.st_mode & 07777);
    printf("the file %ld\n", there(AT_FDCWD, "/tmp/at/early"));
    // What is mounted is changed by the same descriptor.
    printf("read only %ld\n", config(fd, FLAG, "ro", NULL, 0));
    printf("change %ld\n", config(fd, RECONFIGURE, NULL, NULL, 0));
    close(fd);
    umount2("/tmp/at", MNT_DETACH);
    // From a mount that has moved, once more.
    mkdir("/tmp/other", 0755);
    mount = new_tmpfs("twice");
    printf("move %ld\n", move(mount, "", AT_FDCWD, "/tmp/at", 4));
    printf("move again %ld\n", move(mount, "", AT_FDCWD, "/tmp/other", 4));
    printf("gone %s, there %s\n", "", line("/tmp/at"));
    printf("there %s\n", line("/tmp/other"));
    close(mount);
    printf("stays %s\n", line("/tmp/other"));
    umount("/tmp/other");
    // Read only from the start.
    fd = CALL(FSOPEN_, "tmpfs", 1);
    printf("ro %ld\n", config(fd, FLAG, "ro", NULL, 0));
    config(fd, CREATE, NULL, NULL, 0);
    mount = CALL(FSMOUNT_, fd, 1, 8 | 0x10 | 0x80);
    move(mount, "", AT_FDCWD, "/tmp/at", 4);
    printf("there %s\n", line("/tmp/at"));
    printf("write %ld\n", put("/tmp/at/x", "x"));
    close(mount);
    close(fd);
    printf("umount %d\n", umount("/tmp/at"));
    // Let go of without being attached.
    mount = new_tmpfs("lost");
    close(mount);
    for (const char **kind = (const char *[]){"proc", "sysfs", "mqueue", "devpts", "ramfs", NULL};
         *kind; kind++) {
        fd = CALL(FSOPEN_, *kind, 1);
        long created = config(fd, CREATE, NULL, NULL, 0);
        mount = CALL(FSMOUNT_, fd, 1, 0);
        printf("%s %ld", *kind, created);
        printf(" %ld", move(mount, "", AT_FDCWD, "/tmp/at", 4));
        printf(" %s\n", line("/tmp/at"));
        close(mount);
        close(fd);
        umount("/tmp/at");
    }
}

static void trees(void) {
    mkdir("/tmp/t", 0755);
    mount("tree", "/tmp/t", "tmpfs", 0, NULL);
    mkdir("/tmp/t/d", 0755);
    mkdir("/tmp/t/d/sub", 0755);
    put("/tmp/t/d/f", "file");
    mount("inner", "/tmp/t/d/sub", "tmpfs", 0, NULL);
    put("/tmp/t/d/sub/g", "inner");
    int name = CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d", 0x80000);
    printf("a name %ld, %d\n", SIGN(name), (fcntl(name, F_GETFL) & O_PATH) != 0);
    printf("a file by it %ld\n", there(name, "f"));
    int one = CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d", 1);
    int all = CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d", 1 | 0x8000);
    printf("copies %ld %ld\n", SIGN(one), SIGN(all));
    printf("inside %ld %ld %ld\n", there(one, "f"), there(one, "sub/g"), there(all, "sub/g"));
    printf("recursive without a copy %ld\n", CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d", 0x8000));
    printf("flags %ld\n", CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d", 2));
    printf("none %ld\n", CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/none", 1));
    printf("by descriptor %ld\n", SIGN(CALL(OPEN_TREE_, name, "", 1 | 0x1000)));
    printf("empty %ld\n", CALL(OPEN_TREE_, name, "", 1));
    int own = CALL(OPEN_TREE_, AT_FDCWD, "/tmp/t/d/f", 1);
    printf("of a file %ld\n", SIGN(own));
    mkdir("/tmp/at", 0755);
    printf("file on a folder %ld\n", move(own, "", AT_FDCWD, "/tmp/at", 4));
    put("/tmp/plain", "plain");
    printf("file on a file %ld\n", move(own, "", AT_FDCWD, "/tmp/plain", 4));
    printf("reads %s\n", get("/tmp/plain"));
    umount("/tmp/plain");
    printf("attach %ld\n", move(all, "", AT_FDCWD, "/tmp/at", 4));
    printf("there %s\n", line("/tmp/at"));
    printf("and in it %s\n", line("/tmp/at/sub"));
    printf("reads %s\n", get("/tmp/at/sub/g"));
    // Into itself; from what is no mount; to what is nowhere.
    printf("into itself %ld\n", move(AT_FDCWD, "/tmp/at", AT_FDCWD, "/tmp/at/sub", 0));
    printf("no mount %ld\n", move(AT_FDCWD, "/tmp/t/d", AT_FDCWD, "/tmp/at", 0));
    printf("nowhere %ld\n", move(AT_FDCWD, "/tmp/at", AT_FDCWD, "/tmp/none", 0));
    printf("empty without the flag %ld\n", move(one, "", AT_FDCWD, "/tmp/at", 0));
    printf("flags %ld\n", move(one, "", AT_FDCWD, "/tmp/at", 0x400));
    printf("on a detached one %ld\n", move(AT_FDCWD, "/tmp/at", one, "", 0x40));
    // By a descriptor of the target.
    int target = open("/tmp/other", O_PATH | O_DIRECTORY);
    printf("to a descriptor %ld\n", move(AT_FDCWD, "/tmp/at", target, "", 0x40));
    printf("there %s\n", line("/tmp/other"));
    printf("not here %s\n", line("/tmp/at"));
    umount2("/tmp/other", MNT_DETACH);
    // A copy lives on without what it was copied from.
    umount2("/tmp/t", MNT_DETACH);
    printf("still %ld\n", there(one, "f"));
    printf("attach %ld\n", move(one, "", AT_FDCWD, "/tmp/at", 4));
    printf("reads %s\n", get("/tmp/at/f"));
    umount2("/tmp/at", MNT_DETACH);
    printf("detached again %ld\n", move(one, "", AT_FDCWD, "/tmp/at", 4));
    close(one);
    close(all);
    close(own);
}

static void attributes(void) {
    mkdir("/tmp/t", 0755);
    mount("tree", "/tmp/t", "tmpfs", 0, NULL);
    mkdir("/tmp/t/sub", 0755);
    mount("inner", "/tmp/t/sub", "tmpfs", MS_NOSUID, NULL);
    printf("at first %s\n", line("/tmp/t"));
    printf("set %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 1 | 2 | 8, 0));
    printf("now %s\n", line("/tmp/t"));
    printf("write %ld\n", put("/tmp/t/x", "x"));
    printf("below %s\n", line("/tmp/t/sub"));
    printf("clear %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 4, 1 | 8));
    printf("now %s\n", line("/tmp/t"));
    printf("all %ld\n", setattr(AT_FDCWD, "/tmp/t", 0x8000, 1, 2));
    printf("now %s\n", line("/tmp/t"));
    printf("below %s\n", line("/tmp/t/sub"));
    printf("times %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 0x10, 0x70));
    printf("now %s\n", line("/tmp/t"));
    printf("strict %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 0x20, 0x70));
    printf("now %s\n", line("/tmp/t"));
    printf("relative %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 0, 0x70));
    printf("now %s\n", line("/tmp/t"));
    printf("times without clearing %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 0x10, 0));
    printf("half %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 0, 0x10));
    printf("unknown %ld\n", setattr(AT_FDCWD, "/tmp/t", 0, 1UL << 40, 0));
    printf("flags %ld\n", setattr(AT_FDCWD, "/tmp/t", 1, 1, 0));
    mkdir("/tmp/t2", 0755);
    printf("no mount %ld\n", setattr(AT_FDCWD, "/tmp/t2", 0, 1, 0));
    printf("nothing %ld\n", setattr(AT_FDCWD, "/tmp/none", 0, 0, 0));
    printf("none %ld\n", setattr(AT_FDCWD, "/tmp/none", 0, 1, 0));
    struct attr attr = {1, 0, 0, 0}, two = {0, 0, MS_PRIVATE | MS_SHARED, 0},
                private = {0, 0, MS_PRIVATE, 0};
    char large[64] = {1}, dirty[64] = {1};
    dirty[40] = 1;
    printf("sizes %ld %ld %ld %ld\n", CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, &attr, 8L),
           CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, &attr, 8192L),
           CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, large, 64L),
           CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, dirty, 64L));
    printf("propagation %ld %ld\n", CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, &two, 32L),
           CALL(SETATTR_, AT_FDCWD, "/tmp/t", 0, &private, 32L));
    // Of one that is not attached.
    int fd = new_tmpfs("detached");
    printf("detached %ld\n", setattr(fd, "", 0x1000, 1 | 8, 0));
    move(fd, "", AT_FDCWD, "/tmp/t2", 4);
    printf("now %s\n", line("/tmp/t2"));
    printf("by descriptor %ld\n", setattr(fd, "", 0x1000, 0, 1));
    printf("now %s\n", line("/tmp/t2"));
    close(fd);
    // Picked by its path.
    int pick = CALL(FSPICK_, AT_FDCWD, "/tmp/t2", 1);
    printf("fspick %ld\n", SIGN(pick));
    printf("flag kept %d\n", fcntl(pick, F_GETFD));
    printf("create %ld\n", config(pick, CREATE, NULL, NULL, 0));
    printf("mount %ld\n", CALL(FSMOUNT_, pick, 1, 0));
    printf("ro %ld\n", config(pick, FLAG, "ro", NULL, 0));
    printf("change %ld\n", config(pick, RECONFIGURE, NULL, NULL, 0));
    printf("write %ld\n", put("/tmp/t2/x", "x"));
    printf("rw %ld\n", config(pick, FLAG, "rw", NULL, 0));
    printf("change %ld\n", config(pick, RECONFIGURE, NULL, NULL, 0));
    printf("write %ld\n", put("/tmp/t2/x", "x"));
    close(pick);
    printf("no mount %ld\n", CALL(FSPICK_, AT_FDCWD, "/bin", 1));
    printf("flags %ld\n", CALL(FSPICK_, AT_FDCWD, "/tmp/t2", 0x100));
    umount("/tmp/t2");
    umount2("/tmp/t", MNT_DETACH);
}

static void layers(void) {
    mkdir("/tmp/o", 0755);
    mount("o", "/tmp/o", "tmpfs", 0, NULL);
    const char *names[] = {"/tmp/o/l", "/tmp/o/u", "/tmp/o/w", "/tmp/o/m"};
    for (int i = 0; i < 4; i++) mkdir(names[i], 0755);
    put("/tmp/o/l/f", "lower");
    int fd = CALL(FSOPEN_, "overlay", 1);
    config(fd, STRING, "source", "layers", 0);
    printf("lower %ld\n", config(fd, STRING, "lowerdir", "/tmp/o/l", 0));
    printf("upper %ld\n", config(fd, STRING, "upperdir", "/tmp/o/u", 0));
    printf("work %ld\n", config(fd, STRING, "workdir", "/tmp/o/w", 0));
    printf("create %ld\n", config(fd, CREATE, NULL, NULL, 0));
    int mount = CALL(FSMOUNT_, fd, 1, 0);
    printf("move %ld\n", move(mount, "", AT_FDCWD, "/tmp/o/m", 4));
    printf("there %s\n", line("/tmp/o/m"));
    printf("reads %s\n", get("/tmp/o/m/f"));
    printf("write %ld\n", put("/tmp/o/m/f", "upper"));
    printf("lower %s\n", get("/tmp/o/l/f"));
    printf("upper %s\n", get("/tmp/o/u/f"));
    umount("/tmp/o/m");
    close(mount);
    close(fd);
    umount2("/tmp/o", MNT_DETACH);
}

static void old_move(void) {
    mkdir("/tmp/d", 0755);
    mkdir("/tmp/e", 0755);
    int tree = CALL(OPEN_TREE_, AT_FDCWD, "/tmp", 1);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", tree);
    printf("old move %ld\n", SIGN(mount(path, "/tmp/d", NULL, MS_MOVE, NULL) ? -errno : 1));
    printf("there %s\n", line("/tmp/d"));
    printf("once more %d\n", mount(path, "/tmp/e", NULL, MS_MOVE, NULL) ? errno : 0);
    close(tree);
    umount2("/tmp/d", MNT_DETACH);
    umount2("/tmp/e", MNT_DETACH);
}

static void others(void) {
    pid_t child = fork();
    if (child == 0) {
        int fd = CALL(FSOPEN_, "tmpfs", 1);
        setresgid(4001, 4001, 4001);
        setresuid(4001, 4001, 4001);
        struct attr attr = {1};
        printf("another user %ld %ld %ld %ld\n", CALL(FSOPEN_, "tmpfs", 0),
               CALL(FSMOUNT_, fd, 0, 0), CALL(OPEN_TREE_, AT_FDCWD, "/tmp", 1),
               move(AT_FDCWD, "/tmp", AT_FDCWD, "/tmp", 0));
        printf("%ld %ld %ld\n", CALL(SETATTR_, AT_FDCWD, "/tmp", 0, &attr, 32L),
               CALL(FSPICK_, AT_FDCWD, "/proc", 0), SIGN(CALL(OPEN_TREE_, AT_FDCWD, "/tmp", 0)));
        printf("create %ld\n", config(fd, CREATE, NULL, NULL, 0));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir("/tmp", 0777);
    mount("base", "/tmp", "tmpfs", 0, NULL);
    contexts();
    trees();
    attributes();
    layers();
    old_move();
    others();
    umount2("/tmp", MNT_DETACH);
    puts("done");
}
