/* Networks of a program's own: clone(2), unshare(2), setns(2) with CLONE_NEWNET. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    long r = fd < 0 ? -1 : write(fd, text, strlen(text));
    int e = errno;
    close(fd);
    errno = e;
    return r;
}
static void lines(const char *path, const char *with) {
    char text[8192] = "", *line, *rest = text;
    int fd = open(path, O_RDONLY);
    if (read(fd, text, sizeof text - 1) < 0) P("%s: %d\n", path, errno);
    close(fd);
    int n = 0;
    while ((line = strsep(&rest, "\n"))) n += *line && strstr(line, with);
    P("%s: %d lines\n", strncmp(path, "/proc/n", 7) ? "of another" : path, n);
}
static struct sockaddr_in at(const char *ip, int port) {
    struct sockaddr_in a = {AF_INET, htons(port)};
    inet_aton(ip, &a.sin_addr);
    return a;
}
static long try_bind(const char *ip, int port, int type) {
    struct sockaddr_in a = at(ip, port);
    int s = socket(AF_INET, type, 0);
    long r = E(bind(s, (void *)&a, sizeof a));
    close(s);
    return r;
}
static long try_connect(const char *ip, int port, int type) {
    struct sockaddr_in a = at(ip, port);
    int s = socket(AF_INET, type, 0);
    long r = E(connect(s, (void *)&a, sizeof a));
    close(s);
    return r;
}
static int listener(int port) {
    struct sockaddr_in a = at("0.0.0.0", port);
    int s = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    P("bind %ld", E(bind(s, (void *)&a, sizeof a)));
    P(" listen %ld\n", E(listen(s, 9)));
    return s;
}
static int named(const char *path, int *fd) {
    struct sockaddr_un u = {AF_UNIX};
    strcpy(u.sun_path, path);
    if (*path == '@') u.sun_path[0] = 0;
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) ? E(bind(*fd, (void *)&u, offsetof(struct sockaddr_un, sun_path) + strlen(path))) : 0;
}
static long reach(const char *path) {
    struct sockaddr_un u = {AF_UNIX};
    strcpy(u.sun_path, path);
    if (*path == '@') u.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    long r = E(connect(fd, (void *)&u, offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
    return r;
}
static unsigned long number(const char *path) {
    char text[64] = "";
    struct stat s;
    if (readlink(path, text, 63) < 0 || stat(path, &s)) return errno;
    unsigned long n = strtoul(strchr(text, '[') + 1, NULL, 10);
    return n == s.st_ino ? n : 1;
}
static void interfaces(void) {
    struct ifaddrs *all, *a;
    getifaddrs(&all);
    for (a = all; a; a = a->ifa_next) {
        char t[64] = "";
        int f = a->ifa_addr ? a->ifa_addr->sa_family : 0;
        if (f == AF_INET) inet_ntop(f, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, t, 64);
        if (f == AF_INET6) inet_ntop(f, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, t, 64);
        P("  %s flags %x family %d %s\n", a->ifa_name, a->ifa_flags, f, t);
    }
    freeifaddrs(all);
}
static long flags(int s, int set, int up) {
    struct ifreq r = {"lo"};
    long e = E(ioctl(s, SIOCGIFFLAGS, &r));
    if (!set) return e ? e : r.ifr_flags;
    r.ifr_flags = up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP;
    return E(ioctl(s, SIOCSIFFLAGS, &r));
}
static void own(int outside, const char *where) {
    P("-- %s\n", where);
    interfaces();
    int u = socket(AF_INET, SOCK_DGRAM, 0), fd;
    P("flags %lx\n", flags(u, 0, 0));
    P("bind %ld %ld %ld connect %ld %ld far %ld\n", try_bind("127.0.0.1", 0, SOCK_STREAM), try_bind("0.0.0.0", 0, SOCK_STREAM),
      try_bind("127.0.0.1", 0, SOCK_DGRAM), try_connect("127.0.0.1", 7777, SOCK_STREAM), try_connect("127.0.0.1", 7777, SOCK_DGRAM), try_connect("192.0.2.1", 7, SOCK_DGRAM));
    lines("/proc/net/tcp", ""), lines("/proc/self/net/unix", ""), lines("/proc/net/dev", ""), lines("/proc/net/if_inet6", "");
    P("abstract %ld file %ld\n", reach("@networks"), reach("/tmp/networks"));
    P("outside's flags %lx\n", flags(outside, 0, 0));
    P("up %ld\n", flags(u, 1, 1));
    interfaces();
    P("flags %lx\n", flags(u, 0, 0));
    P("connect %ld %ld six %ld\n", try_connect("127.0.0.1", 7777, SOCK_STREAM), try_connect("127.0.0.1", 7777, SOCK_DGRAM), try_bind("127.0.0.2", 80, SOCK_STREAM));
    int l = listener(7777);
    P("now %ld %ld\n", try_connect("127.0.0.1", 7777, SOCK_STREAM), try_connect("127.9.0.1", 7777, SOCK_STREAM));
    P("name %d", named("@networks", &fd));
    P(" %ld", E(listen(fd, 3)));
    P(" reach %ld\n", reach("@networks"));
    lines("/proc/net/tcp", "00000000:1E61 00000000:0000 0A"), lines("/proc/net/unix", "00010000 0001 01"), lines("/proc/net/if_inet6", "");
    P("raw %ld\n", E(close(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))));
    P("down %ld flags %lx\n", flags(u, 1, 0), flags(u, 0, 0));
    interfaces();
    P("bind %ld %ld\n", try_bind("127.0.0.1", 0, SOCK_STREAM), try_bind("192.0.2.1", 0, SOCK_STREAM));
    P("up %ld\n", flags(u, 1, 1));
    P("again %ld\n", try_connect("127.0.0.1", 7777, SOCK_STREAM));
    struct sockaddr_in a = at("127.0.0.1", 7778);
    P("outside's bind %ld\n", E(bind(outside, (void *)&a, sizeof a)));
    P("free here %ld\n", try_bind("127.0.0.1", 7778, SOCK_DGRAM));
    close(l), close(fd), close(u);
}
static int wait_for(pid_t p) {
    int s;
    waitpid(p, &s, 0);
    return s;
}
int main(void) {
    int outside = socket(AF_INET, SOCK_DGRAM, 0), fd, file;
    unsigned long first = number("/proc/self/ns/net");
    P("first %d\n", first > 1000);
    P("listen: ");
    int l = listener(7777);
    P("abstract %d", named("@networks", &fd));
    P(" %ld\n", E(listen(fd, 3)));
    unlink("/tmp/networks");
    P("file %d", named("/tmp/networks", &file));
    P(" %ld\n", E(listen(file, 3)));
    pid_t p = fork();
    if (!p) {
        int old = open("/proc/self/ns/net", O_RDONLY);
        P("unshare %ld\n", E(unshare(CLONE_NEWNET)));
        P("another %d\n", number("/proc/self/ns/net") != first && number("/proc/self/ns/net") > 1000);
        own(outside, "unshare");
        // A socket of before is where it was.
        P("its listener ");
        int s = accept(l, NULL, NULL);
        P("%d\n", s >= 0);
        P("back %ld", E(setns(old, CLONE_NEWNET)));
        P(" same %d\n", number("/proc/self/ns/net") == first);
        P("connect %ld wrong kind %ld\n", try_connect("127.0.0.1", 7777, SOCK_STREAM), E(setns(old, CLONE_NEWUTS)));
        _exit(3);
    }
    usleep(100000);
    P("");
    sleep(1);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = at("127.0.0.1", 7777);
    E(connect(c, (void *)&a, sizeof a));
    P("ended %x\n", wait_for(p));
    // As somebody else, with a user namespace.
    p = fork();
    if (!p) {
        setgid(1000), setuid(1000);
        P("not root %ld\n", E(unshare(CLONE_NEWNET)));
        P("with users %ld\n", E(unshare(CLONE_NEWUSER | CLONE_NEWNET)));
        own(outside, "users");
        int n = open("/proc/self/ns/net", O_RDONLY);
        P("privileged port %ld\n", try_bind("127.0.0.1", 80, SOCK_STREAM));
        char path[64];
        sprintf(path, "/proc/%d/ns/net", getppid());
        P("into the first %ld\n", E(setns(open(path, O_RDONLY), CLONE_NEWNET)));
        // Users below can't change it.
        P("below %ld\n", E(unshare(CLONE_NEWUSER)));
        int u = socket(AF_INET, SOCK_DGRAM, 0);
        P("down %ld flags %lx join %ld\n", flags(u, 1, 0), flags(u, 0, 0), E(setns(n, CLONE_NEWNET)));
        P("own %ld\n", E(unshare(CLONE_NEWNET)));
        close(u), u = socket(AF_INET, SOCK_DGRAM, 0);
        P("up %ld\n", flags(u, 1, 1));
        _exit(4);
    }
    P("ended %x\n", wait_for(p));
    // clone(2), and who joins.
    int go[2], stay[2];
    pipe(go), pipe(stay);
    struct { unsigned long long flags, pidfd, child, parent, signal, stack, size, tls; } args = {CLONE_NEWNET | CLONE_NEWPID, 0, 0, 0, SIGCHLD};
    p = syscall(SYS_clone3, &args, sizeof args);
    if (!p) {
        int u = socket(AF_INET, SOCK_DGRAM, 0);
        P("clone3: up %ld\n", flags(u, 1, 1));
        listener(9999);
        write(go[1], "x", 1);
        char b;
        close(stay[1]);
        read(stay[0], &b, 1);
        _exit(5);
    }
    char b, path[64];
    read(go[0], &b, 1);
    P("not ours %ld\n", try_connect("127.0.0.1", 9999, SOCK_STREAM));
    sprintf(path, "/proc/%d/net/tcp", p);
    lines(path, ":270F 0"), lines("/proc/net/tcp", ":270F 0"), lines("/proc/net/tcp", ":1E61 00000000:0000 0A");
    sprintf(path, "/proc/%d/ns/net", p);
    int n = open(path, O_RDONLY);
    P("join %ld", E(setns(n, 0)));
    P(" connect %ld first %ld\n", try_connect("127.0.0.1", 9999, SOCK_STREAM), try_connect("127.0.0.1", 7777, SOCK_STREAM));
    lines("/proc/net/tcp", "00000000:270F 00000000:0000 0A"), lines("/proc/net/tcp", ":1E61");
    close(stay[1]);
    P("ended %x\n", wait_for(p));
    // It is there as long as somebody is in it.
    P("still up %d refused %ld\n", (int)flags(socket(AF_INET, SOCK_DGRAM, 0), 0, 0) & IFF_UP, try_connect("127.0.0.1", 9999, SOCK_STREAM));
    P("threads %ld\n", E(syscall(SYS_clone, CLONE_NEWNET | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0)));
    char target[64] = "";
    P("link %ld %s\n", E(readlink("/proc/net", target, 63)), target);
    unlink("/tmp/networks");
    P("done\n");
}
