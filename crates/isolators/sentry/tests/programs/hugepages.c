/* MAP_HUGETLB and MFD_HUGETLB, where no huge page is reserved. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define HUGE_SIZE(n) ((n) << 26)
static long map(int flags, int fd, long at) {
    long r = E(mmap(0, 2 << 20, PROT_READ | PROT_WRITE, flags, fd, at));
    return r > 0 ? 1 : r;
}
int main(void) {
    const int any = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
    P("memory %ld %ld %ld %ld %ld %ld", map(any, -1, 0), map(MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0), map(any | HUGE_SIZE(21), -1, 0),
        map(any | HUGE_SIZE(30), -1, 0), map(any | HUGE_SIZE(16), -1, 0), map(MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
    P(" fixed %ld", E(mmap((void *)0x10001000, 2 << 20, PROT_READ, any | MAP_FIXED, -1, 0)));
    P(" nothing %ld\n", E(mmap(0, 0, PROT_READ, any, -1, 0)));
    int r = open("/bin/hugepages", O_RDONLY);
    P("file %ld\n", map(MAP_PRIVATE | MAP_HUGETLB, r, 0));
    for (unsigned n = 0; n < 64; n++) {
        long f = E(memfd_create("x", MFD_HUGETLB | HUGE_SIZE(n)));
        if (f != -ENODEV) P("size %u %d ", n, f > 0);
        if (f > 0) close(f);
    }
    P("flags %ld %ld\n", E(memfd_create("x", HUGE_SIZE(21))), E(memfd_create("x", MFD_HUGETLB | 0x100)));
    int f = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
    struct stat t;
    char link[99] = {0}, path[99], b[9] = {1, 2};
    fstat(f, &t), sprintf(path, "/proc/self/fd/%d", f), readlink(path, link, 98);
    P("mode %o size %ld pages %ld blocks %ld name %s\n", t.st_mode, t.st_size, t.st_blksize, t.st_blocks, link);
    P("write %ld", E(write(f, b, 9))), P(" askew %ld", E(ftruncate(f, 4096))), P(" size %ld", E(ftruncate(f, 4 << 20)));
    P(" read %ld %d", E(read(f, b, 9)), b[0]), P(" end %ld %ld\n", E(pread(f, b, 9, 4 << 20)), E(lseek(f, 0, SEEK_END)));
    P("map %ld %ld %ld %ld\n", map(MAP_SHARED, f, 0), map(MAP_PRIVATE, f, 0), map(MAP_SHARED, f, 4096), map(MAP_SHARED | MAP_HUGETLB, f, 0));
    P("room %ld %ld punched %ld\n", E(fallocate(f, 0, 0, 2 << 20)), E(fallocate(f, 0, 0, 100)), E(fallocate(f, 3, 0, 2 << 20)));
    int again = open(path, O_RDWR);
    P("again %d write %ld map %ld askew %ld\n", again > 0, E(write(again, b, 9)), map(MAP_SHARED, again, 0), E(ftruncate(again, 100)));
    P("seals %ld", E(fcntl(f, F_GET_SEALS))), P(" %ld", E(fcntl(f, F_ADD_SEALS, F_SEAL_SHRINK))), P(" %ld\n", E(ftruncate(f, 2 << 20)));
    P("done\n");
}
