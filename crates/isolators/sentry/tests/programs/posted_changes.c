// Changes of names and attributes, and locks, that come quickly, from one place: what each
// returns and does, and what it returns if it fails.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 400
static int at;
static long wrong;

static void is(int sound, const char *what) {
    if (!sound && wrong++ < 10) printf("wrong: %s\n", what);
}
static int fails(long result, int error) { return result == -1 && errno == error; }
static struct stat seen(const char *name) {
    struct stat s = {0};
    is(fstatat(at, name, &s, AT_SYMLINK_NOFOLLOW) == 0, name);
    return s;
}

static void modes(int i, int fd) {
    mode_t mode = (i * 7) & 07777;
    is(fchmod(fd, mode) == 0 && (seen("file").st_mode & 07777) == mode, "fchmod");
    mode = (i * 11) & 0777;
    is(fchmodat(at, "file", mode, 0) == 0 && (seen("file").st_mode & 07777) == mode, "fchmodat");
    is(chmod("/tmp/changes/file", 0640) == 0 && seen("file").st_mode == (S_IFREG | 0640), "chmod");
    is(fails(fchmodat(at, "none", 0600, 0), ENOENT), "fchmodat of nothing");
    is(fails(fchmod(-1, 0600), EBADF), "fchmod of nothing");
    is(fails(chmod((char *)8, 0600), EFAULT), "chmod of no path");
    is(fails(chmod("", 0600), ENOENT), "chmod of an empty path");
}

static void owners(int i, int fd) {
    is(fchmod(fd, 06755) == 0 && fchown(fd, i, i + 1) == 0, "fchown");
    struct stat s = seen("file");
    is(s.st_uid == i && s.st_gid == i + 1 && s.st_mode == (S_IFREG | 0755), "owners");
    is(fchownat(at, "file", 0, -1, 0) == 0 && seen("file").st_uid == 0, "fchownat");
    is(chown("/tmp/changes/file", -1, 0) == 0 && seen("file").st_gid == 0, "chown");
    is(lchown("/tmp/changes/link", i, i) == 0 && seen("link").st_uid == i, "lchown");
    is(seen("file").st_uid == 0, "whose file it is");
    is(fails(fchownat(at, "", 1, 1, 0), ENOENT), "fchownat of an empty path");
    is(fchownat(fd, "", 0, 0, AT_EMPTY_PATH) == 0, "fchownat of a descriptor");
}

static void times(int i, int fd) {
    struct timespec both[2] = {{i, 5}, {i * 2, 999999999}};
    is(futimens(fd, both) == 0, "futimens");
    struct stat s = seen("file");
    is(s.st_atim.tv_sec == i && s.st_atim.tv_nsec == 5, "time of access");
    is(s.st_mtim.tv_sec == i * 2 && s.st_mtim.tv_nsec == 999999999, "time of modification");
    both[0].tv_nsec = UTIME_OMIT, both[1].tv_sec = -i;
    is(utimensat(at, "file", both, 0) == 0, "utimensat");
    s = seen("file");
    is(s.st_atim.tv_sec == i && s.st_mtim.tv_sec == -i, "times");
    both[1].tv_nsec = 1000000000;
    is(fails(utimensat(at, "file", both, 0), EINVAL), "utimensat of no time");
    is(fails(syscall(SYS_utimensat, at, "file", 8, 0), EFAULT), "utimensat of no memory");
    is(fails(utimensat(at, "none", 0, 0), ENOENT), "utimensat of nothing");
}

static void names(int i) {
    is(mkdirat(at, "d", 0700) == 0 && seen("d").st_mode == (S_IFDIR | 0700), "mkdirat");
    is(fails(mkdirat(at, "d", 0700), EEXIST), "mkdirat once more");
    is(renameat(at, "file", at, "d/file") == 0, "renameat");
    is(fails(renameat(at, "file", at, "d/file"), ENOENT), "renameat of nothing");
    is(fails(renameat2(at, "link", at, "d", RENAME_NOREPLACE), EEXIST), "renameat2");
    is(fails(renameat2(at, "link", at, "d", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL), "flags");
    is(renameat2(at, "link", at, "d", RENAME_EXCHANGE) == 0 && S_ISLNK(seen("d").st_mode), "exchange");
    is(renameat2(at, "link", at, "d", RENAME_EXCHANGE) == 0 && S_ISDIR(seen("d").st_mode), "back");
    is(fails(unlinkat(at, "d", AT_REMOVEDIR), ENOTEMPTY), "what is not empty");
    is(fails(renameat(at, "d", at, "d/e"), EINVAL), "into itself");
    is(renameat(at, "d/file", at, "file") == 0, "back again");
    is(unlinkat(at, "d", AT_REMOVEDIR) == 0 && fails(unlinkat(at, "d", 0), ENOENT), "unlinkat");
}

static void locks(int i, int fd, pid_t holder) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = i + 100, .l_len = 2};
    is(fcntl(fd, F_SETLK, &lock) == 0, "F_SETLK");
    is(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK, "F_GETLK of an own one");
    lock.l_start = 5, lock.l_len = 1, lock.l_type = F_RDLCK;
    is(fails(fcntl(fd, F_SETLK, &lock), EAGAIN), "F_SETLK of another one's");
    is(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == holder, "F_GETLK");
    lock.l_type = 7;
    is(fails(fcntl(fd, F_SETLK, &lock), EINVAL), "F_SETLK of no type");
    is(fails(fcntl(fd, F_SETLK, 8), EFAULT), "F_SETLK of no memory");
}

int main(void) {
    mkdir("/tmp/changes", 0755);
    at = open("/tmp/changes", O_RDONLY | O_DIRECTORY);
    int ends[2], fd = openat(at, "file", O_RDWR | O_CREAT | O_EXCL, 0644), status;
    symlinkat("file", at, "link");
    pipe(ends);
    pid_t holder = fork();
    if (!holder) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 1};
        fcntl(fd, F_SETLK, &lock);
        write(ends[1], "", 1);
        close(ends[1]);
        for (;;) pause();
    }
    close(ends[1]);
    char byte;
    read(ends[0], &byte, 1);
    for (int i = 1; i < ROUNDS; i++) {
        modes(i, fd), owners(i, fd), times(i, fd), names(i), locks(i, fd, holder);
        int made = openat(at, "made", O_WRONLY | O_CREAT | O_EXCL, 0600);
        is(made >= 0 && write(made, "text", 4) == 4 && close(made) == 0, "make");
        is(unlinkat(at, "made", 0) == 0, "take away");
    }
    // Who waits for a lock is told as it becomes free.
    pid_t waits = fork();
    if (!waits) {
        struct flock lock = {.l_type = F_WRLCK, .l_start = 100, .l_len = 1000};
        alarm(60);
        _exit(fcntl(fd, F_SETLKW, &lock) != 0);
    }
    usleep(20000);
    struct flock lock = {.l_type = F_UNLCK, .l_start = 100};
    for (int i = 0; i < ROUNDS; i++) {
        lock.l_type = i + 1 < ROUNDS ? F_WRLCK : F_UNLCK;
        is(fcntl(fd, F_SETLK, &lock) == 0, "lock and let go");
    }
    waitpid(waits, &status, 0);
    is(status == 0, "who waits for a lock");
    kill(holder, SIGKILL);
    waitpid(holder, &status, 0);
    unlinkat(at, "file", 0), unlinkat(at, "link", 0);
    is(rmdir("/tmp/changes") == 0, "what is left");
    printf("wrong %ld\ndone\n", wrong);
}
