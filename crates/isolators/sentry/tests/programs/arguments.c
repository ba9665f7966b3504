// What calls make of arguments that are seldom given, and which error comes first.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <termio.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s %ld %d\n", what, result < 0 ? -1 : result, result < 0 ? errno : 0);
}

static void clocks(void) {
    struct timespec no = {0, 0};
    for (int id = 0; id < 16; id++)
        if (id != 8 && id != 9) {
            say("sleeps by", syscall(SYS_clock_nanosleep, id, 0, id == 3 || id == 4 ? (void *)1 : &no, 0));
            struct timex tell = {0};
            long r = syscall(SYS_clock_adjtime, id, &tell);
            say("adjusts", r < 0 ? r : 0);
        }
    struct timex odd = {.modes = 0x8000};
    say("adjtime", adjtimex(&odd));
}

static void names(void) {
    struct stat st;
    say("fstatat", syscall(SYS_newfstatat, AT_FDCWD, "/", &st, 9999));
    say("fstatat", syscall(SYS_newfstatat, AT_FDCWD, "/", &st, 0x800 | 0x4000));
    say("faccessat2", syscall(439, AT_FDCWD, "/", R_OK, -1));
    say("faccessat2", syscall(439, AT_FDCWD, "/", R_OK, 0x300));
    say("fchownat", fchownat(AT_FDCWD, "/none", 0, 0, 9999));
    mkdir("/tmp/closed", 0700);
    mkdir("/tmp/set", 0777);
    chown("/tmp/set", 1, 1234);
    chmod("/tmp/set", 02777);
    mknod("/tmp/set/fifo", S_IFIFO | 02777, 0);
    stat("/tmp/set/fifo", &st);
    printf("fifo %o %d\n", st.st_mode, st.st_gid);
    unlink("/tmp/set/fifo");
    if (!fork()) {
        setuid(99);
        say("chroot", chroot("/tmp/closed"));
        say("chroot", chroot("/tmp"));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    rmdir("/tmp/closed");
    rmdir("/tmp/set");
}

static int compares(void *kind) {
    int own = getpid();
    printf("same %ld\n", syscall(SYS_kcmp, getppid(), own, *(int *)kind, 0, 0));
    fflush(stdout);
    return 0;
}

static void tasks(void) {
    // KCMP_FILES, KCMP_FS, KCMP_SIGHAND
    static char stack[1 << 16];
    int kinds[] = {2, 3, 4}, with[] = {CLONE_FILES, CLONE_FS, CLONE_SIGHAND | CLONE_VM};
    for (int i = 0; i < 3; i++) {
        fflush(stdout);
        clone(compares, stack + sizeof stack, with[i] | SIGCHLD, &kinds[i]);
        wait(NULL);
    }
    void *bad = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)bad, .exit_signal = SIGCHLD};
    long made = syscall(435, &args, sizeof args);
    if (!made)
        _exit(0);
    say("clone3", made);
    say("children", waitpid(-1, NULL, WNOHANG));
    int next = open("/", O_RDONLY);
    printf("next %d\n", next);
    close(next);
    void *head;
    size_t length;
    say("robust", syscall(SYS_get_robust_list, 30000, &head, &length));
    pid_t other = fork();
    if (!other) {
        pause();
        _exit(0);
    }
    say("robust", syscall(SYS_get_robust_list, other, &head, &length));
    kill(other, SIGKILL);
    wait(NULL);
}

static void maps(void) {
    int file = open("/tmp/mapped", O_RDWR | O_CREAT, 0600);
    ftruncate(file, 4096);
    say("empty, closed", (long)mmap(0, 0, PROT_READ, MAP_SHARED, 99, 0));
    say("crooked, closed", (long)mmap(0, 0, PROT_READ, MAP_SHARED, 99, 1));
    say("unknown", (long)mmap(0, 4096, PROT_READ, MAP_SHARED_VALIDATE | 1 << 10, file, 0));
    say("new", (long)mmap((void *)0x10000000, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_FIXED_NOREPLACE, file, 0));
    void *known = mmap(0, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_NORESERVE | MAP_POPULATE, file, 0);
    say("known", known == MAP_FAILED ? -1 : 0);
    say("nothing to check", (long)mmap(0, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
    mlock(known, 4096);
    say("locked", msync(known, 4096, MS_INVALIDATE));
    munlock(known, 4096);
    say("free", msync(known, 4096, MS_INVALIDATE));
    // Devices of zeros.
    int reads = open("/dev/zero", O_RDONLY), both = open("/dev/zero", O_RDWR);
    char *shut = mmap(0, 8192, PROT_READ, MAP_SHARED, reads, 0);
    char *shared = mmap(0, 8192, 3, MAP_SHARED, both, 0), *own = mmap(0, 8192, 3, MAP_PRIVATE, reads, 0);
    say("may be written", mprotect(shut, 8192, 3));
    say("shared, read only", (long)mmap(0, 8192, 3, MAP_SHARED, reads, 0));
    if (!fork()) {
        shared[5000] = own[5000] = 7;
        _exit(0);
    }
    wait(NULL);
    printf("zeros %d %d %d\n", shut[0], shared[5000], own[5000]);
    // At a chosen place, with what is seldom asked for.
    char *at = mmap(0, 64 * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at, 64 * 4096);
    int flags[] = {0, MAP_GROWSDOWN, MAP_POPULATE, MAP_LOCKED, MAP_NORESERVE | MAP_STACK};
    for (int i = 0; i < 5; i++) {
        char *there = mmap(at + 60 * 4096, 4 * 4096, 3, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | flags[i], -1, 0);
        printf("there %d\n", there == at + 60 * 4096 ? there[4096] + 1 : -errno);
    }
    unlink("/tmp/mapped");
}

static void waits(void) {
    int set = epoll_create1(0), ends[2], path = open("/tmp", O_PATH);
    struct epoll_event one = {.events = EPOLLIN}, told;
    say("a name", epoll_ctl(set, EPOLL_CTL_ADD, path, &one));
    char *devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random"};
    for (int i = 0; i < 4; i++)
        say(devices[i], epoll_ctl(set, EPOLL_CTL_ADD, open(devices[i], O_RDWR), &one));
    // Who reads is not told of what he leaves.
    set = epoll_create1(0);
    pipe2(ends, O_NONBLOCK);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    char page[4096] = {0};
    one = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u64 = 1};
    epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &one);
    one = (struct epoll_event){.events = EPOLLOUT | EPOLLET, .data.u64 = 2};
    epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &one);
    write(ends[1], page, 4096);
    int found = epoll_wait(set, &told, 1, 0);
    printf("filled %d %d\n", found, (int)told.data.u64);
    read(ends[0], page, 2048);
    printf("half %d\n", epoll_wait(set, &told, 1, 0));
    read(ends[0], page, 2048);
    found = epoll_wait(set, &told, 1, 0);
    printf("emptied %d %d\n", found, (int)told.data.u64);
    fcntl(ends[1], F_SETPIPE_SZ, 65536);
    epoll_wait(set, &told, 1, 0);
    write(ends[1], page, 10);
    epoll_wait(set, &told, 1, 0);
    read(ends[0], page, 5);
    printf("room all along %d\n", epoll_wait(set, &told, 1, 0));
    // A counter that overflows.
    int counter = eventfd(0, EFD_NONBLOCK), file = open("/tmp/counted", O_RDWR | O_CREAT, 0600);
    uint64_t most = UINT64_MAX - 1;
    write(counter, &most, 8);
    aio_context_t context = 0;
    struct io_event event;
    struct iocb request = {.aio_fildes = file, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_buf = (uintptr_t)page,
        .aio_nbytes = 10, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = counter}, *list = &request;
    syscall(SYS_io_setup, 1, &context);
    syscall(SYS_io_submit, context, 1, &list);
    syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
    struct pollfd polled = {counter, POLLIN | POLLOUT};
    poll(&polled, 1, 0);
    printf("overflow %x\n", polled.revents);
    printf("read %zd", read(counter, &most, 8));
    printf(" %lx\n", most);
    unlink("/tmp/counted");
}

static void locks(void) {
    int file = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
    struct flock first = {F_WRLCK, SEEK_SET, 10, 5}, second = {F_RDLCK, SEEK_SET, 1, 5};
    fcntl(file, F_SETLK, &first);
    fcntl(file, F_SETLK, &second);
    struct flock cut = {F_UNLCK, SEEK_SET, 3, 1};
    fcntl(file, F_SETLK, &cut);
    fflush(stdout);
    if (!fork()) {
        for (int start = 0; start < 15; start += 2) {
            struct flock in_the_way = {F_WRLCK, SEEK_SET, start, 0};
            fcntl(file, F_GETLK, &in_the_way);
            printf("lock %d %ld %ld\n", in_the_way.l_type, (long)in_the_way.l_start, (long)in_the_way.l_len);
        }
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    unlink("/tmp/locked");
}

static void datagrams(void) {
    for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
        int to = socket(family, SOCK_DGRAM, 136), from = socket(family, SOCK_DGRAM, 136);
        int other = socket(family, SOCK_DGRAM, 17);
        struct sockaddr_storage at = {.ss_family = family};
        socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (family == AF_INET)
            ((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
            ((struct sockaddr_in6 *)&at)->sin6_addr = in6addr_loopback;
        say("bind", bind(to, (void *)&at, length));
        getsockname(to, (void *)&at, &length);
        bind(other, (void *)&at, length);
        connect(from, (void *)&at, length);
        char bytes[8] = "lite";
        say("sent", write(from, bytes, 5));
        say("came", recv(to, bytes, 8, MSG_DONTWAIT));
        say("not there", recv(other, bytes, 8, MSG_DONTWAIT));
    }
}

static void devices(void) {
    int master, slave, bits = 0;
    openpty(&master, &slave, NULL, NULL, NULL);
    struct termio old;
    struct termios modes;
    say("short modes", ioctl(slave, TCGETA, &old));
    say("nowhere", ioctl(slave, TCGETA, NULL));
    printf("modes %x %x %x %x %d %d\n", old.c_iflag, old.c_oflag, old.c_cflag, old.c_lflag, old.c_cc[0], old.c_cc[4]);
    old.c_lflag &= ~ECHO;
    old.c_cc[VINTR] = 9;
    say("changed", ioctl(slave, TCSETAW, &old));
    tcgetattr(slave, &modes);
    printf("modes %x %x %d %d\n", modes.c_lflag, modes.c_iflag, modes.c_cc[VINTR], modes.c_cc[VSUSP]);
    say("no terminal", ioctl(open("/dev/null", O_RDWR), TCGETA, &old));
    int random = open("/dev/urandom", O_RDONLY);
    say("entropy", ioctl(random, RNDGETENTCNT, &bits));
    printf("bits %d\n", bits);
    say("cpuid", syscall(SYS_arch_prctl, 0x1011, 0));
    say("cpuid", syscall(SYS_arch_prctl, 0x1012, 0));
}

static void watches(void) {
    int set = inotify_init1(IN_NONBLOCK);
    mkdir("/tmp/watched", 0700);
    inotify_add_watch(set, "/tmp/watched", IN_ALL_EVENTS & ~IN_OPEN);
    close(creat("/tmp/watched/new", 0600));
    close(creat("/tmp/watched/new", 0600));
    char buffer[4096];
    ssize_t length = read(set, buffer, sizeof buffer);
    for (char *at = buffer; at < buffer + length;) {
        struct inotify_event *event = (void *)at;
        printf("event %x %s\n", event->mask, event->len ? event->name : "");
        at += sizeof *event + event->len;
    }
    unlink("/tmp/watched/new");
    rmdir("/tmp/watched");
}

static void run(const char *path) {
    fflush(stdout);
    if (!fork()) {
        execl(path, path, "run", NULL);
        say(path, -1);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

// What somebody may still write is not executed.
static void programs(void) {
    int from = open("/proc/self/exe", O_RDONLY), to = open("/tmp/program", O_WRONLY | O_CREAT, 0700);
    static char buffer[1 << 16];
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        write(to, buffer, n);
    run("/tmp/program");
    int second = open("/tmp/program", O_WRONLY);
    close(to);
    run("/tmp/program");
    int memory = memfd_create("program", 0);
    close(second);
    run("/tmp/program");
    int script = open("/tmp/script", O_RDWR | O_CREAT, 0700);
    write(script, "#!/tmp/program\n", 15);
    run("/tmp/script");
    close(script);
    run("/tmp/script");
    second = open("/tmp/program", O_RDWR);
    run("/tmp/script");
    close(second);
    // Who has ended executes nothing.
    int busy = 0;
    for (int i = 0; i < 300; i++) {
        if (!vfork()) {
            execl("/tmp/program", "program", "is", "quiet", "", NULL);
            _exit(1);
        }
        wait(NULL);
        second = open("/tmp/program", O_RDWR);
        busy += second < 0;
        close(second);
    }
    printf("busy %d\n", busy);
    lseek(from, 0, SEEK_SET);
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        write(memory, buffer, n);
    snprintf(buffer, 64, "/proc/self/fd/%d", memory);
    run(buffer);
    unlink("/tmp/program");
    unlink("/tmp/script");
}

int main(int argc, char **argv) {
    if (argc > 3)
        return 0;
    if (argc > 1) {
        printf("executed %d\n", argc);
        return 0;
    }
    programs();
    clocks();
    names();
    tasks();
    maps();
    waits();
    locks();
    datagrams();
    devices();
    watches();
    puts("done");
    return 0;
}
