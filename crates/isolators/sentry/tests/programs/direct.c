/* O_DIRECT of files. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static char *b;
static void aligned(const char *name) {
    int f = open(name, O_CREAT | O_RDWR | O_DIRECT | O_TRUNC, 0600);
    struct statx s = {0};
    P("open %d flags %lx", f > 0, E(fcntl(f, F_GETFL)) & O_DIRECT);
    P(" statx %ld", E(syscall(SYS_statx, AT_FDCWD, name, 0, 0x2000 | 0x7ff, &s)));
    P(" %d %d %d\n", s.stx_mask & 0x2000, s.stx_dio_mem_align, s.stx_dio_offset_align);
    P("write %ld read %ld\n", E(pwrite(f, b, 8192, 0)), E(pread(f, b, 8192, 0)));
    for (int n = 1; n <= 4096; n *= 2) {
        P("%d: memory %ld %ld", n, E(pwrite(f, b + n, 4096, 0)), E(pread(f, b + n, 4096, 0)));
        P(" offset %ld %ld", E(pwrite(f, b, 4096, n)), E(pread(f, b, 4096, n)));
        P(" length %ld %ld\n", E(pwrite(f, b, n, 0)), E(pread(f, b, n, 0)));
    }
    P("nothing %ld %ld %ld\n", E(pwrite(f, b, 0, 0)), E(pread(f, b, 0, 0)), E(pread(f, b + 1, 0, 1)));
    ftruncate(f, 5000);
    P("end %ld %ld %ld %ld %ld\n", E(pread(f, b, 4096, 4096)), E(pread(f, b, 8192, 0)), E(pread(f, b, 4096, 8192)),
        E(pread(f, b, 4096, 8193)), E(pread(f, b + 1, 100, 8192)));
    struct iovec v[3] = {{b, 512}, {b + 1024, 512}, {b + 1, 0}};
    P("vectors %ld", E(preadv(f, v, 3, 0))), P(" %ld", E(pwritev(f, v, 2, 1024)));
    v[0].iov_len = v[1].iov_len = 256, P(" %ld %ld", E(preadv(f, v, 2, 0)), E(pwritev(f, v, 2, 0)));
    v[0].iov_len = 512, v[1].iov_base = b + 100, P(" %ld\n", E(preadv(f, v, 2, 0)));
    lseek(f, 512, SEEK_SET), P("position %ld %ld", E(read(f, b, 512)), E(read(f, b, 100)));
    P(" %ld %ld\n", E(write(f, b, 512)), E(lseek(f, 0, SEEK_CUR)));
    ftruncate(f, 5000), fcntl(f, F_SETFL, O_DIRECT | O_APPEND), P("append %ld", E(write(f, b, 512)));
    ftruncate(f, 4096), P(" %ld", E(write(f, b, 512))), P(" %ld\n", E(write(f, b, 100)));
    int g = open(name, O_RDWR), r = open(name, O_RDONLY | O_DIRECT), w = open(name, O_WRONLY | O_DIRECT);
    P("set %ld %ld", E(pread(g, b + 1, 100, 1)), E(fcntl(g, F_SETFL, O_DIRECT)));
    P(" %lx %ld", E(fcntl(g, F_GETFL)) & O_DIRECT, E(pread(g, b + 1, 100, 1)));
    P(" unset %ld %ld", E(fcntl(g, F_SETFL, 0)), E(pread(g, b + 1, 100, 1)));
    P(" rights %ld %ld\n", E(pwrite(r, b, 100, 1)), E(pread(w, b, 100, 1)));
    P("unreadable %ld %ld\n", E(pread(f, (void *)4096, 512, 0)), E(pwrite(f, (void *)4096, 512, 0)));
}
int main(void) {
    if (posix_memalign((void **)&b, 4096, 65536)) return 1;
    char memory[] = "/tmp/tXXXXXX";
    P("file\n"), aligned("/bin/direct.file"), unlink("/bin/direct.file");
    mkdtemp(memory), P("tmpfs %ld\n", E(mount("none", memory, "tmpfs", 0, 0))), chdir(memory), aligned("x");
    int n = open("/dev/null", O_RDWR), e = eventfd(0, 0), s = socket(AF_UNIX, SOCK_STREAM, 0), d = open("/tmp", O_RDONLY), p[2];
    pipe(p);
    P("others %ld %ld %ld %ld", E(open("/proc/version", O_DIRECT)), E(open("/tmp", O_DIRECT)), E(open("/proc", O_DIRECT)), E(open("/dev/null", O_DIRECT)));
    P(" name %d\n", open("/proc/version", O_DIRECT | O_PATH) > 0);
    P("set %ld %ld %ld %ld %ld\n", E(fcntl(n, F_SETFL, O_DIRECT)), E(fcntl(e, F_SETFL, O_DIRECT)), E(fcntl(s, F_SETFL, O_DIRECT)),
        E(fcntl(d, F_SETFL, O_DIRECT)), E(fcntl(p[0], F_SETFL, O_DIRECT)));
    P("done\n");
}
