// What copies between files take and leave, what writes of several places are, what is opened
// when there is no room for it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <pthread.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

static char bytes[1 << 20], back[1 << 20];
static int waiting(int fd) { int n = -1; ioctl(fd, FIONREAD, &n); return n; }
static void fill(int fd) { while (write(fd, bytes, 4096) > 0); }
static long all_of(int fd, long want) {
    long done = 0, n;
    while (done < want && (n = read(fd, back + done, want - done)) > 0) done += n;
    return done;
}

static void kept(void) {
    int p[2], q[2], s[2];
    pipe(p), pipe(q), socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    fcntl(s[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < sizeof bytes; i++) bytes[i] = i * 7 + i / 4096;
    fill(s[0]);
    write(p[1], bytes, 4096);
    P("full socket %ld", E(splice(p[0], 0, s[0], 0, 4096, SPLICE_F_NONBLOCK)));
    P(" %ld", E(splice(p[0], 0, s[0], 0, 4096, 0)));
    P(" kept %d", waiting(p[0]));
    fcntl(s[1], F_SETFL, O_NONBLOCK);
    while (read(s[1], back, sizeof back) > 0);
    P(" then %ld", E(splice(p[0], 0, s[0], 0, 4096, SPLICE_F_NONBLOCK)));
    P(" left %d", waiting(p[0]));
    P(" same %ld", all_of(s[1], 4096));
    P(" %d\n", memcmp(back, bytes, 4096));
    // A pipe that is part full takes what fits.
    for (int i = 0; i < 8; i++) write(p[1], bytes + i * 4096, 4096);
    for (int i = 0; i < 14; i++) write(q[1], bytes, 4096);
    P("part full %ld", E(splice(p[0], 0, q[1], 0, 32768, 0)));
    P(" left %d, there %d", waiting(p[0]), waiting(q[0]));
    P(" full %ld", E(splice(p[0], 0, q[1], 0, 32768, SPLICE_F_NONBLOCK)));
    P(" left %d\n", waiting(p[0]));
    int rest = waiting(p[0]);
    P("order %ld", all_of(p[0], rest));
    P(" %d\n", memcmp(back, bytes + 8192, rest));
    P("itself %ld", E(splice(p[0], 0, p[1], 0, 4096, 0)));
    P(" %ld\n", E(tee(p[0], p[1], 4096, 0)));
    // From a socket no more than the pipe has room for.
    all_of(q[0], 65536);
    for (int i = 0; i < 14; i++) write(q[1], bytes, 4096);
    fcntl(s[0], F_SETFL, 0);
    write(s[0], bytes, 32768);
    long moved = E(splice(s[1], 0, q[1], 0, 32768, SPLICE_F_NONBLOCK));
    P("in %d", moved > 0);
    P(" sum %d\n", waiting(s[1]) + waiting(q[0]) - 14 * 4096);
    all_of(s[1], waiting(s[1]));
    // A socket that waits takes all, a file as well.
    int f = open("/tmp/spliced", O_CREAT | O_RDWR | O_TRUNC, 0600);
    for (int i = 0; i < 8; i++) write(p[1], bytes + i * 4096, 4096);
    P("file %ld", E(splice(p[0], 0, f, 0, 1 << 20, 0)));
    P(" at %ld\n", (long)lseek(f, 0, SEEK_CUR));
    unlink("/tmp/spliced");
    signal(SIGPIPE, SIG_IGN);
    write(p[1], "x", 1);
    close(q[0]);
    P("nobody reads %ld", E(splice(p[0], 0, q[1], 0, 10, 0)));
    P(" %ld", E(splice(f, 0, q[1], 0, 10, 0)));
    P(" kept %d\n", waiting(p[0]));
}

static void fifos(void) {
    int q[2];
    mkfifo("/tmp/fifo", 0600);
    pipe(q);
    int f = open("/tmp/fifo", O_RDWR);
    write(f, "named", 5);
    P("tee %ld", E(tee(f, q[1], 10, 0)));
    P(" %d %d", waiting(f), waiting(q[0]));
    P(" splice %ld %d\n", E(splice(f, 0, q[1], 0, 10, 0)), waiting(q[0]));
    unlink("/tmp/fifo");
    close(f), close(q[0]), close(q[1]);
}

static void long_ones(void) {
    int file = open("/tmp/long", O_CREAT | O_RDWR | O_TRUNC, 0600), null = open("/dev/null", O_WRONLY);
    P("long %ld", E(ftruncate(file, 1L << 40)));
    pid_t child = fork();
    if (!child) for (off_t at = 0;; at = 0) sendfile(null, file, &at, -1);
    usleep(100000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    P(" killed %d\n", WTERMSIG(status));
    close(file), close(null);
    unlink("/tmp/long");
}

static void no_room(void) {
    int f = open("/tmp/kept", O_CREAT | O_RDWR | O_TRUNC, 0600);
    write(f, "text", 4);
    struct rlimit old, now;
    getrlimit(RLIMIT_NOFILE, &old);
    now = old;
    now.rlim_cur = f + 1;
    setrlimit(RLIMIT_NOFILE, &now);
    P("none %ld", E(open("/tmp/kept", O_RDWR | O_TRUNC)));
    P(" %ld", E(open("/tmp/new", O_RDWR | O_CREAT, 0600)));
    P(" %ld", E(open("/tmp", O_RDWR | O_TMPFILE, 0600)));
    P(" %ld", E(open("/none", O_RDONLY)));
    setrlimit(RLIMIT_NOFILE, &old);
    struct stat s;
    fstat(f, &s);
    P(" size %ld", (long)s.st_size);
    P(" new %ld\n", E(access("/tmp/new", F_OK)));
    close(f);
    unlink("/tmp/kept");
}

static void whole(void) {
    int p[2];
    pipe2(p, O_NONBLOCK);
    fill(p[1]);
    struct iovec two[2] = {{"a", 1}, {bytes, 4000}};
    P("full %ld", E(writev(p[1], two, 2)));
    read(p[0], back, 4096);
    P(" whole %ld", E(writev(p[1], two, 2)));
    struct iovec bad[3] = {{"abc", 3}, {(void *)8, 5}, {"def", 3}};
    read(p[0], back, 8192);
    int f = open("/tmp/vectors", O_CREAT | O_RDWR | O_TRUNC | O_APPEND, 0600);
    P(" bad %ld", E(writev(f, bad + 1, 2)));
    P(" none %ld", E(writev(f, two, 0)));
    P(" two %ld", E(writev(f, two, 2)));
    P(" at %ld", (long)lseek(f, 0, SEEK_CUR));
    P(" there %ld", E(pwritev(f, two, 1, 5)));
    P(" at %ld", (long)lseek(f, 0, SEEK_CUR));
    struct iovec large[3] = {{bytes, 100000}, {"", 0}, {bytes, 200001}};
    P(" large %ld", E(writev(f, large, 3)));
    P(" size %ld\n", (long)lseek(f, 0, SEEK_END));
    lseek(f, 4002, SEEK_SET);
    P("read %ld", E(readv(f, (struct iovec[]){{back, 150000}, {back + 150000, 400000}}, 2)));
    P(" at %ld", (long)lseek(f, 0, SEEK_CUR));
    P(" same %d %d\n", memcmp(back, bytes, 100000), memcmp(back + 100000, bytes, 200001));
    close(f), close(p[0]), close(p[1]);
    unlink("/tmp/vectors");
}

/* Writers of one open file don't mix what they write. */
static int shared;
static void *writer(void *what) {
    char *own = malloc(200000);
    memset(own, *(char *)what, 200000);
    for (int i = 0; i < 10; i++) write(shared, own, 200000);
    free(own);
    return 0;
}
static void turns(void) {
    shared = open("/tmp/turns", O_CREAT | O_RDWR | O_TRUNC, 0600);
    pthread_t threads[2];
    pthread_create(threads, 0, writer, "a"), pthread_create(threads + 1, 0, writer, "b");
    pthread_join(threads[0], 0), pthread_join(threads[1], 0);
    lseek(shared, 0, SEEK_SET);
    int mixed = 0;
    for (int i = 0; i < 20; i++) {
        read(shared, back, 200000);
        for (int j = 1; j < 200000; j++) mixed += back[j] != back[0];
    }
    P("mixed %d size %ld\n", mixed, (long)lseek(shared, 0, SEEK_END));
    close(shared);
    unlink("/tmp/turns");
}

static void links(void) {
    char path[64];
    mkdir("/tmp/place", 0755), mkdir("/tmp/place/in", 0755);
    int fd = open("/tmp/place", O_RDONLY | O_DIRECTORY), pfd = open("/tmp/place/in", O_PATH);
    sprintf(path, "/proc/self/fd/%d", fd);
    P("enter %ld", E(chdir(path)));
    P(" in %ld", E(access("in", F_OK)));
    P(" %s", getcwd(back, 100));
    chdir("/");
    int watch = inotify_init1(IN_NONBLOCK);
    P(" watch %ld", E(inotify_add_watch(watch, path, IN_CREATE)));
    close(open("/tmp/place/made", O_CREAT | O_WRONLY, 0600));
    P(" told %d", read(watch, back, 4096) > 0);
    struct statfs s = {0}, t = {0};
    P(" statfs %ld", E(statfs(path, &s)));
    statfs("/tmp/place", &t);
    P(" %d", s.f_type == t.f_type);
    int p[2];
    pipe(p);
    sprintf(path, "/proc/self/fd/%d", p[0]);
    P(" pipe %ld", E(chdir(path)));
    int file = open("/tmp/place/made", O_RDONLY);
    sprintf(path, "/proc/self/fd/%d", file);
    P(" file %ld\n", E(chdir(path)));
    sprintf(path, "/proc/self/fd/%d", pfd);
    P("mount %ld", E(mount("place", path, "tmpfs", 0, 0)));
    P(" %ld", E(mkdir("/tmp/place/in/x", 0755)));
    P(" seen %ld", E(access("/tmp/place/in/x", F_OK)));
    P(" gone %ld", E(umount("/tmp/place/in")));
    P(" not %ld\n", E(access("/tmp/place/in/x", F_OK)));
    if (!fork()) {
        P("root %ld", E(chroot(path)));
        P(" %ld\n", E(access("/tmp", F_OK)));
        _exit(0);
    }
    wait(0);
    close(fd), close(pfd), close(file), close(watch);
    unlink("/tmp/place/made"), rmdir("/tmp/place/in"), rmdir("/tmp/place");
}

static void adjusted(void) {
    int f = open("/proc/self/oom_score_adj", O_RDWR);
    P("adjust %ld", E(write(f, "300\n", 4)));
    P(" %ld", E(write(f, "1001", 4)));
    P(" %ld", E(write(f, "x", 1)));
    memset(back, 0, 10);
    P(" says %ld %s", E(pread(f, back, 9, 0)), back);
    if (!fork()) {
        int g = open("/proc/self/oom_score_adj", O_RDONLY);
        memset(back, 0, 10);
        P("child %ld %s", E(read(g, back, 9)), back);
        _exit(0);
    }
    wait(0);
    close(f);
}

/* A text that is read again from its beginning says what is so by then. */
static void anew(void) {
    char name[16];
    int f = open("/proc/self/status", O_RDONLY), g = open("/proc/self/oom_score_adj", O_RDONLY);
    int fd = open("/proc/self/environ", O_RDONLY);
    int h = open("/proc/self/oom_score_adj", O_WRONLY);
    write(h, "77", 2);
    memset(back, 0, 10);
    P("anew %ld %s", E(read(g, back, 9)), back);
    write(h, "88", 2);
    memset(back, 0, 10);
    P(" %ld", E(read(g, back, 9)));
    P(" %ld %s", E(pread(g, back, 9, 0)), back);
    close(h);
    pid_t child = fork();
    if (!child) pause();
    sprintf(back, "/proc/%d/stat", child);
    int gone = open(back, O_RDONLY);
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
    P(" gone %ld\n", E(read(gone, back, 100)));
    close(f), close(g), close(fd), close(gone);
}

static void hard_links(void) {
    struct stat s, t;
    symlink("nowhere", "/tmp/soft");
    P("hard %ld", E(link("/tmp/soft", "/tmp/soft2")));
    P(" %ld", E(lstat("/tmp/soft2", &s)));
    lstat("/tmp/soft", &t);
    P(" %d %ld %d", S_ISLNK(s.st_mode), (long)s.st_nlink, s.st_ino == t.st_ino);
    memset(back, 0, 20);
    P(" %ld %s\n", E(readlink("/tmp/soft2", back, 20)), back);
    unlink("/tmp/soft"), unlink("/tmp/soft2");
    struct statfs f;
    P("sizes %ld", E(statfs("/", &f)));
    P(" %ld %ld %ld %ld\n", (long)f.f_bsize, (long)f.f_frsize, (long)f.f_namelen, (long)f.f_blocks);
}

static void smaller(void) {
    int f = open("/tmp/lock", O_CREAT | O_RDWR, 0600), g = open("/tmp/lock", O_RDWR);
    P("lock %ld", E(flock(f, LOCK_EX)));
    pid_t child = fork();
    if (!child) { flock(g, LOCK_EX); _exit(0); }
    usleep(50000);
    for (int i = 0; i < 100; i++) flock(f, LOCK_EX), flock(f, LOCK_EX | LOCK_NB);
    int status;
    P(" kept %d", waitpid(child, &status, WNOHANG));
    flock(f, LOCK_UN);
    P(" free %d\n", waitpid(child, &status, 0) == child);
    close(g);
    mkdir("/tmp/leaves", 0755);
    int fd = open("/tmp/leaves", O_RDONLY), path = open("/tmp/leaves", O_PATH);
    chdir("/tmp/leaves");
    P("there %s", getcwd(back, 100));
    P(" path %ld", E(fchmod(path, 0700)));
    P(" %ld", E(fchown(path, 0, 0)));
    P(" %ld", E(futimens(path, 0)));
    P(" %ld", E(fchownat(path, "", 0, 0, AT_EMPTY_PATH)));
    rmdir("/tmp/leaves");
    P(" gone %s", getcwd(back, 100) ? back : strerrorname_np(errno));
    memset(back, 0, 100);
    readlink("/proc/self/cwd", back, 99);
    P(" %s", back);
    memset(back, 0, 100);
    char link[32];
    sprintf(link, "/proc/self/fd/%d", fd);
    readlink(link, back, 99);
    P(" %s", back);
    chdir("/");
    unlink("/tmp/lock");
    memset(back, 0, 100);
    sprintf(link, "/proc/self/fd/%d", f);
    readlink(link, back, 99);
    P(" %s\n", back);
    close(fd), close(path), close(f);
    // Files grow no more than they may.
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, now;
    getrlimit(RLIMIT_FSIZE, &old);
    now = old;
    now.rlim_cur = 1000;
    f = open("/tmp/grows", O_CREAT | O_RDWR | O_TRUNC, 0600);
    ftruncate(f, 3000);
    setrlimit(RLIMIT_FSIZE, &now);
    P("grow %ld", E(ftruncate(f, 4000)));
    P(" %ld", E(ftruncate(f, 2000)));
    P(" %ld", E(truncate("/tmp/grows", 2001)));
    P(" %ld", E(truncate("/tmp/grows", 1000)));
    P(" %ld", E(truncate("/tmp/grows", 1001)));
    P(" %ld", E(fallocate(f, 0, 500, 501)));
    P(" %ld\n", E(fallocate(f, 0, 500, 500)));
    setrlimit(RLIMIT_FSIZE, &old);
    close(f);
    unlink("/tmp/grows");
}

int main(void) {
    kept();
    fifos();
    long_ones();
    no_room();
    whole();
    turns();
    links();
    adjusted();
    anew();
    hard_links();
    smaller();
    P("done\n");
}
