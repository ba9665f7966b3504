// Calls on files: what they return, and what is in the files afterwards.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

static void say(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

static void text(const char *path) {
    char buffer[256] = "";
    int fd = open(path, O_RDONLY);
    long count = read(fd, buffer, sizeof buffer - 1);
    printf("%s: %ld [%s]\n", path, count, buffer);
    close(fd);
}

static struct flock range(int type, long start, long length) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
}

static void locks(void) {
    int fd = open("lock", O_RDWR | O_CREAT, 0644), other = open("lock", O_RDWR);
    say("flock", flock(fd, LOCK_EX));
    say("flock held", flock(other, LOCK_SH | LOCK_NB));
    say("flock shared", flock(fd, LOCK_SH));
    say("flock both", flock(other, LOCK_SH | LOCK_NB));
    close(fd);
    say("flock after close", flock(other, LOCK_EX | LOCK_NB));
    fd = open("lock", O_RDWR);
    struct flock whole = range(F_WRLCK, 0, 0), part = range(F_WRLCK, 10, 5);
    say("setlk", fcntl(fd, F_SETLK, &part));
    int ready[2];
    pipe(ready);
    pid_t child = fork();
    if (child == 0) {
        struct flock seen = range(F_RDLCK, 12, 1);
        fcntl(fd, F_GETLK, &seen);
        printf("child sees %d %ld+%ld, holder %s\n", seen.l_type, (long)seen.l_start,
               (long)seen.l_len, seen.l_pid == getppid() ? "parent" : "?");
        say("child setlk", fcntl(fd, F_SETLK, &whole));
        struct flock mine = range(F_WRLCK, 100, 1);
        say("child own", fcntl(fd, F_SETLK, &mine));
        fflush(stdout);
        write(ready[1], "x", 1);
        struct flock wait = range(F_WRLCK, 10, 1);
        _exit(fcntl(fd, F_SETLKW, &wait) < 0 && errno == EDEADLK);
    }
    char byte;
    read(ready[0], &byte, 1);
    // Whoever waits last is told of the circle.
    struct flock circle = range(F_WRLCK, 100, 1);
    int told = fcntl(fd, F_SETLKW, &circle) < 0 && errno == EDEADLK, status;
    part.l_type = F_UNLCK;
    fcntl(fd, F_SETLK, &part);
    waitpid(child, &status, 0);
    printf("told of the circle: %d\n", told + WEXITSTATUS(status));
    struct flock ofd = range(F_WRLCK, 0, 10);
    say("ofd", fcntl(fd, F_OFD_SETLK, &ofd));
    say("ofd other", fcntl(other, F_OFD_SETLK, &ofd));
    struct flock mine = range(F_WRLCK, 50, 1);
    say("posix", fcntl(fd, F_SETLK, &mine));
    // Closing any descriptor of the file gives the process's locks up.
    close(open("lock", O_RDONLY));
    child = fork();
    if (child == 0) {
        struct flock seen = range(F_WRLCK, 50, 1);
        fcntl(other, F_GETLK, &seen);
        printf("free %d\n", seen.l_type == F_UNLCK);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(fd);
    say("ofd after close", fcntl(other, F_OFD_SETLK, &ofd));
    close(other);
}

static void attributes(void) {
    char value[64] = "", names[256] = "";
    close(open("x", O_CREAT | O_RDWR, 0644));
    symlink("x", "xl");
    say("setxattr", setxattr("x", "user.one", "value", 5, 0));
    say("again", setxattr("xl", "user.one", "v", 1, XATTR_CREATE));
    say("replace", setxattr("x", "user.two", "v", 1, XATTR_REPLACE));
    long count = getxattr("x", "user.one", value, sizeof value);
    printf("value %ld %s\n", count, value);
    say("size", getxattr("xl", "user.one", NULL, 0));
    say("short", getxattr("x", "user.one", value, 2));
    say("none", getxattr("x", "user.none", value, sizeof value));
    say("unknown", getxattr("x", "what.ever", value, sizeof value));
    say("link", lsetxattr("xl", "user.one", "v", 1, 0));
    count = listxattr("x", names, sizeof names);
    printf("names %ld %s\n", count, names);
    say("remove", removexattr("x", "user.one"));
    say("gone", removexattr("x", "user.one"));
}

static void transfers(void) {
    int fd = open("t", O_RDWR | O_CREAT | O_TRUNC, 0644);
    struct iovec two[2] = {{"hello ", 6}, {"world\n", 6}};
    say("pwritev2", pwritev2(fd, two, 2, -1, RWF_SYNC));
    say("at", lseek(fd, 0, SEEK_CUR));
    say("append", pwritev2(fd, two, 1, 0, RWF_APPEND));
    say("at", lseek(fd, 0, SEEK_CUR));
    text("t");
    int out = open("t2", O_RDWR | O_CREAT | O_TRUNC, 0644), pipes[2], second[2];
    off_t from = 6;
    say("sendfile", sendfile(out, fd, &from, 100));
    printf("from %ld\n", (long)from);
    loff_t source = 0, target = 20;
    say("copy_file_range", copy_file_range(fd, &source, out, &target, 5, 0));
    say("overlap", copy_file_range(fd, &(loff_t){0}, fd, &(loff_t){2}, 5, 0));
    printf("%ld %ld\n", (long)source, (long)target);
    pipe(pipes);
    pipe(second);
    source = 0;
    say("splice in", splice(fd, &source, pipes[1], NULL, 5, 0));
    say("tee", tee(pipes[0], second[1], 3, 0));
    target = 40;
    say("splice out", splice(pipes[0], NULL, out, &target, 100, 0));
    char buffer[8] = "";
    say("teed", read(second[0], buffer, 8));
    puts(buffer);
    say("vmsplice", vmsplice(pipes[1], two, 2, 0));
    say("files", splice(fd, NULL, out, NULL, 5, 0));
    say("empty", splice(second[0], NULL, out, NULL, 5, SPLICE_F_NONBLOCK));
    struct stat stat;
    fstat(out, &stat);
    printf("size %ld\n", (long)stat.st_size);
    say("truncate", ftruncate(out, 1 << 20));
    say("hole", lseek(out, 0, SEEK_HOLE) <= 1 << 20);
    say("behind", lseek(out, 2 << 20, SEEK_DATA));
    say("allocate", fallocate(out, 0, 0, 4096));
    say("keep", fallocate(out, FALLOC_FL_KEEP_SIZE, 1 << 20, 8192));
    say("punch", fallocate(out, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    fstat(out, &stat);
    printf("size %ld\n", (long)stat.st_size);
    say("read only", posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    say("readahead", readahead(fd, 0, 10));
    say("range", sync_file_range(fd, 0, 10, SYNC_FILE_RANGE_WRITE));
    say("syncfs", syncfs(fd));
    int appending = open("t", O_WRONLY | O_APPEND);
    write(appending, "+", 1);
    say("at", lseek(appending, 0, SEEK_CUR));
}

static void memory(void) {
    int fd = memfd_create("name", MFD_ALLOW_SEALING), plain = memfd_create("plain", 0);
    say("plain seal", fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE));
    say("write", write(fd, "memory", 6));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    map[0] = 'M';
    char buffer[8] = "";
    pread(fd, buffer, 7, 0);
    puts(buffer);
    pwrite(fd, "xy", 2, 4);
    printf("%.6s\n", map);
    say("busy", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    munmap(map, 4096);
    say("seal", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
    say("seals", fcntl(fd, F_GET_SEALS));
    say("sealed", write(fd, "no", 2));
    say("shrink", ftruncate(fd, 1));
    char link[64] = "", path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readlink(path, link, sizeof link - 1);
    puts(link);
    // A file in memory that is mapped and written by its name.
    int shm = open("/dev/shm/caisson-test", O_RDWR | O_CREAT, 0600);
    ftruncate(shm, 8192);
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
    pwrite(shm, "by call", 7, 4096);
    printf("%.7s\n", map + 4096);
    memcpy(map, "by map", 6);
    pread(shm, buffer, 6, 0);
    printf("%.6s\n", buffer);
    int readonly = open("/dev/shm/caisson-test", O_RDONLY);
    void *fixed = mmap(NULL, 4096, PROT_READ, MAP_SHARED, readonly, 0);
    say("more rights", mprotect(fixed, 4096, PROT_READ | PROT_WRITE));
    say("write map", mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, readonly, 0) == MAP_FAILED ? -1 : 0);
    unlink("/dev/shm/caisson-test");
}

static void names(void) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    say("unnamed", fd >= 0 ? write(fd, "late", 4) : fd);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    say("link", linkat(AT_FDCWD, path, AT_FDCWD, "late", AT_SYMLINK_FOLLOW));
    text("late");
    say("exchange", renameat2(AT_FDCWD, "late", AT_FDCWD, "t", RENAME_EXCHANGE));
    text("t");
    say("noreplace", renameat2(AT_FDCWD, "late", AT_FDCWD, "t", RENAME_NOREPLACE));
    mkdir("dir", 0755);
    mkdir("dir/sub", 0755);
    say("into itself", rename("dir", "dir/sub/dir"));
    say("not empty", rename("dir/sub", "dir"));
    say("same", rename("t", "t"));
    say("fifo", mkfifo("fifo", 0600));
    say("no reader", open("fifo", O_WRONLY | O_NONBLOCK));
    int both = open("fifo", O_RDWR);
    write(both, "abc", 3);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    char buffer[8] = "";
    say("fifo read", read(reader, buffer, 8));
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int here = open("dir", O_PATH | O_DIRECTORY);
    symlink("/etc", "dir/out");
    symlink("sub", "dir/in");
    say("beneath", syscall(SYS_openat2, here, "..", &how, sizeof how));
    say("beneath link", syscall(SYS_openat2, here, "out", &how, sizeof how));
    say("beneath in", syscall(SYS_openat2, here, "in", &how, sizeof how) > 0);
    how.resolve = RESOLVE_NO_SYMLINKS;
    say("no links", syscall(SYS_openat2, here, "in", &how, sizeof how));
    how.resolve = RESOLVE_IN_ROOT;
    say("in root", syscall(SYS_openat2, here, "/../../sub", &how, sizeof how) > 0);
    how.flags = 1ul << 60;
    say("flags", syscall(SYS_openat2, here, "in", &how, sizeof how));
    say("path read", read(here, buffer, 1));
    struct stat stat;
    fstatat(AT_FDCWD, "t", &stat, 0);
    printf("mode %o links %ld\n", stat.st_mode, (long)stat.st_nlink);
    struct timeval times[2] = {{1000, 500}, {2000, 999999}};
    utimes("t", times);
    fstatat(AT_FDCWD, "t", &stat, 0);
    printf("%ld.%09ld %ld.%09ld\n", stat.st_atim.tv_sec, stat.st_atim.tv_nsec,
           stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
    say("chmod link", fchmodat(AT_FDCWD, "xl", 0600, AT_SYMLINK_NOFOLLOW));
    struct statx more;
    say("statx", statx(AT_FDCWD, "dir", 0, STATX_BASIC_STATS, &more));
    printf("%o %d\n", more.stx_mode, (more.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    say("statx bad", statx(AT_FDCWD, "dir", 1 << 30, STATX_BASIC_STATS, &more));
}

static void by_descriptor(void) {
    char *arguments[] = {"echo", "by descriptor", NULL};
    int fd = open("/bin/echo", O_RDONLY), status;
    fflush(stdout);
    if (fork() == 0) {
        fexecve(fd, arguments, environ);
        _exit(9);
    }
    wait(&status);
    say("fexecve", WEXITSTATUS(status));
    say("none", syscall(SYS_execveat, 99, "", arguments, environ, AT_EMPTY_PATH));
}

static void listing(void) {
    mkdir("many", 0755);
    for (int i = 0; i < 3000; i++) {
        char path[64];
        snprintf(path, sizeof path, "many/a-rather-long-name-%d", i);
        close(open(path, O_CREAT | O_WRONLY, 0644));
    }
    DIR *dir = opendir("many");
    int seen = 0, removed = 0;
    long middle = 0;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            seen++;
            if (seen == 1500) middle = telldir(dir);
            char path[300];
            snprintf(path, sizeof path, "many/%s", entry->d_name);
            if (seen % 2) removed += unlink(path) == 0;
        }
    }
    printf("seen %d removed %d\n", seen, removed);
    seekdir(dir, middle);
    int rest = 0;
    while ((entry = readdir(dir))) rest += entry->d_name[0] != '.';
    printf("rest %d\n", rest);
    rewinddir(dir);
    seen = 0;
    while ((entry = readdir(dir))) seen += entry->d_name[0] != '.';
    printf("left %d\n", seen);
    closedir(dir);
}

int main(int argc, char **argv) {
    char place[] = "/tmp/files-XXXXXX";
    if (argc > 1) chdir(argv[1]);
    mkdtemp(strcpy(place, argc > 1 ? "files-XXXXXX" : "/tmp/files-XXXXXX"));
    chdir(place);
    umask(022);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    locks();
    attributes();
    transfers();
    memory();
    names();
    by_descriptor();
    listing();
    puts("done");
}
