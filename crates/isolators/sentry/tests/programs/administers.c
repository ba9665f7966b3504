/* Who administers a network of his own, and how: netlink(7), settings, addresses. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
struct message { struct nlmsghdr h; union { struct ifinfomsg link; struct { struct ifaddrmsg a; char rest[24]; } address; }; };
static const struct sockaddr_nl kernel = {AF_NETLINK};
/* What has come: kinds, flags and errors, sorted, as a list may come before or behind. */
static int by_kind(const void *a, const void *b) { return *(int *)a - *(int *)b; }
static void answers(int s) {
    static char answer[600000];
    int all[64], count = 0;
    for (long n; (n = recv(s, answer, sizeof answer, MSG_DONTWAIT)) > 0;)
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            int e = h->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
            if (count < 64) all[count++] = h->nlmsg_type << 24 | (h->nlmsg_flags & 0xfff) << 12 | e;
        }
    qsort(all, count, sizeof *all, by_kind);
    for (int i = 0; i < count; i++) P(" %d/%x/%d", all[i] >> 24, all[i] >> 12 & 0xfff, all[i] & 0xfff);
}
static struct message up(int flags) {
    struct message m = {{NLMSG_LENGTH(sizeof m.link), RTM_NEWLINK, flags, 1}};
    m.link.ifi_index = 1, m.link.ifi_flags = m.link.ifi_change = IFF_UP;
    return m;
}
static int is_up(void) {
    struct ifreq r = {"lo"};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    ioctl(s, SIOCGIFFLAGS, &r);
    close(s);
    return r.ifr_flags & IFF_UP;
}
static void netlink(void) {
    struct message m = up(NLM_F_ACK);
    seteuid(1000);
    int theirs = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct sockaddr_nl other = {AF_NETLINK, 0, 12345}, wrong = {AF_INET};
    P("to another, as nobody %ld", E(sendto(theirs, &m, m.h.nlmsg_len, 0, (void *)&other, sizeof other)));
    seteuid(0);
    int own = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    P(" as root %ld wrong %ld short %ld", E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&other, sizeof other)),
      E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&wrong, sizeof wrong)), E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&kernel, 4)));
    P(" empty %ld\n", E(send(own, &m, 0, 0)));
    P("no request %ld", E(send(own, &m, m.h.nlmsg_len, 0)));
    answers(own), P(" up %d\n", is_up());
    m = up(NLM_F_REQUEST | NLM_F_ACK);
    P("another's socket: write %ld", E(write(theirs, &m, m.h.nlmsg_len)));
    answers(theirs), P(" up %d sendmsg", is_up());
    struct iovec v = {&m, m.h.nlmsg_len};
    struct msghdr h = {0, 0, &v, 1};
    P(" %ld", E(sendmsg(theirs, &h, 0)));
    answers(theirs), P(" up %d sendto %ld", is_up(), E(sendto(theirs, &m, m.h.nlmsg_len, 0, (void *)&kernel, sizeof kernel)));
    answers(theirs), P(" up %d\n", is_up());
    seteuid(1000);
    P("as nobody: %ld", E(write(own, &m, m.h.nlmsg_len))), answers(own);
    P(" named %ld", E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&kernel, sizeof kernel))), answers(own);
    seteuid(0);
    P("\n");
    static char large[16 << 20];
    int sizes[] = {212960, 212961, 1 << 20, 16 << 20};
    for (int i = 0; i < 4; i++) P("%d bytes: %ld\n", sizes[i], E(send(own, large, sizes[i], 0)));
    int size = 10000;
    setsockopt(own, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    P("less room: %ld %ld\n", E(send(own, large, 19968, 0)), E(send(own, large, 19969, 0)));
    /* Two lists at once. */
    struct message *list = (void *)large;
    for (int i = 0; i < 2; i++) list[i] = up(NLM_F_REQUEST | NLM_F_DUMP), list[i].h.nlmsg_type = RTM_GETLINK, list[i].h.nlmsg_len = sizeof *list;
    P("lists %ld", E(send(own, large, 2 * sizeof *list, 0))), answers(own);
    P("\nagain %ld", E(send(own, large, sizeof *list, 0))), answers(own);
    /* An error tells all of the request. */
    m = up(NLM_F_REQUEST), m.link.ifi_index = 77;
    P("\nnone %ld", E(send(own, &m, m.h.nlmsg_len, 0)));
    P(" of %ld\n", E(recv(own, large, sizeof large, 0)));
    close(own), close(theirs);
}
static void ended(void) {
    const char *names[] = {"ns/net", "ns/mnt", "ns/uts", "ns/ipc", "ns/cgroup", "ns/pid", "ns/user"};
    pid_t p = fork();
    if (!p) _exit(unshare(CLONE_NEWNET | CLONE_NEWUTS));
    siginfo_t i;
    P("ended %ld\n", E(waitid(P_PID, p, &i, WEXITED | WNOWAIT)));
    char path[64], text[64];
    for (int n = 0; n < 7; n++) {
        sprintf(path, "/proc/%d/%s", p, names[n]);
        long there = E(readlink(path, text, sizeof text)) > 0 ? 1 : -errno;
        P("%s %ld %d\n", names[n], there, open(path, O_RDONLY) < 0 ? errno : 0);
    }
    sprintf(path, "/proc/%d/net/tcp", p);
    P("tcp %ld\n", E(open(path, O_RDONLY)));
    int fd = syscall(SYS_pidfd_open, p, 0);
    P("setns %ld %ld %ld\n", E(setns(fd, CLONE_NEWNET)), E(setns(fd, CLONE_NEWUTS)), E(setns(fd, CLONE_NEWNET | CLONE_NEWUTS)));
    waitpid(p, NULL, 0);
}
static long change(int type, int flags, int family, const char *ip, int prefix) {
    struct message m = {{NLMSG_LENGTH(sizeof m.address.a), type, NLM_F_REQUEST | NLM_F_ACK | flags, 1}};
    m.address.a.ifa_family = family, m.address.a.ifa_prefixlen = prefix, m.address.a.ifa_index = 1;
    struct rtattr *a = (void *)m.address.rest;
    int size = family == AF_INET ? 4 : 16;
    a->rta_len = RTA_LENGTH(size), a->rta_type = IFA_LOCAL;
    inet_pton(family, ip, RTA_DATA(a));
    m.h.nlmsg_len += RTA_ALIGN(a->rta_len);
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    char answer[256];
    send(s, &m, m.h.nlmsg_len, 0), recv(s, answer, sizeof answer, 0), close(s);
    return ((struct nlmsgerr *)NLMSG_DATA(answer))->error;
}
static void reach(const char *ip) {
    struct sockaddr_in6 six = {AF_INET6, htons(9)};
    struct sockaddr_in four = {AF_INET, htons(9)}, own = {AF_INET};
    int is_six = !!strchr(ip, ':'), s = socket(is_six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), b = socket(is_six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    inet_pton(is_six ? AF_INET6 : AF_INET, ip, is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr);
    void *a = is_six ? (void *)&six : (void *)&four;
    socklen_t n = is_six ? sizeof six : sizeof four;
    P("%s bind %ld", ip, E(bind(b, a, n)));
    long r = E(connect(s, a, n));
    P(" connect %ld", r);
    struct sockaddr_in6 name;
    char text[64] = "";
    if (!r) getsockname(s, (void *)&name, &n), inet_ntop(is_six ? AF_INET6 : AF_INET, is_six ? (void *)&name.sin6_addr : (void *)&((struct sockaddr_in *)&name)->sin_addr, text, 64);
    P(" from %s\n", text);
    close(s), close(b);
}
static void addresses(void) {
    P("add %ld", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "10.0.0.1", 24));
    P(" %ld", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "10.0.0.9", 24));
    P(" six %ld\n", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET6, "fd00::1", 64));
    /* Linux puts one of IPv6 to use a little later. */
    struct sockaddr_in6 six = {AF_INET6, htons(9)};
    inet_pton(AF_INET6, "fd00::1", &six.sin6_addr);
    for (int i = 0; i < 3000; i++) {
        int b = socket(AF_INET6, SOCK_STREAM, 0);
        long r = E(bind(b, (void *)&six, sizeof six));
        close(b);
        if (!r) break;
        usleep(10000);
    }
    reach("10.0.0.1"), reach("10.0.0.9"), reach("10.0.0.77"), reach("10.0.1.1"), reach("127.0.0.1"), reach("127.1.2.3"), reach("fd00::1"), reach("::1");
    inet_pton(AF_INET6, "fd00::2", &six.sin6_addr);
    P("another of six: %ld\n", E(bind(socket(AF_INET6, SOCK_STREAM, 0), (void *)&six, sizeof six)));
    P("none %ld", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "11.0.0.1", 0));
    P(" all %ld", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "12.0.0.1", 32));
    P(" zero %ld\n", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "0.1.0.1", 16));
    reach("11.0.0.1"), reach("11.0.0.2"), reach("12.0.0.1"), reach("12.0.0.2"), reach("0.1.0.1"), reach("0.1.0.2"), P("of nothing %ld\n", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "0.0.0.5", 24)), reach("0.0.0.5"), reach("0.0.0.6"), reach("9.9.9.9");
    P("of 127 %ld\n", change(RTM_NEWADDR, NLM_F_CREATE, AF_INET, "127.5.0.1", 16));
    reach("127.5.0.1"), reach("127.5.0.3"), reach("127.6.0.1");
}
static void mtu(long value) {
    struct message m = up(NLM_F_REQUEST | NLM_F_ACK);
    struct rtattr *a = (void *)((char *)&m + NLMSG_SPACE(sizeof m.link));
    a->rta_len = RTA_LENGTH(4), a->rta_type = IFLA_MTU;
    *(unsigned *)RTA_DATA(a) = value;
    m.h.nlmsg_len += RTA_ALIGN(a->rta_len);
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), u = socket(AF_INET, SOCK_DGRAM, 0);
    char answer[256];
    send(s, &m, m.h.nlmsg_len, 0), recv(s, answer, sizeof answer, 0);
    struct ifreq r = {"lo"};
    ioctl(u, SIOCGIFMTU, &r);
    P("mtu %ld: %d now %d\n", value, ((struct nlmsgerr *)NLMSG_DATA(answer))->error, r.ifr_mtu);
    close(s), close(u);
}
static void set(const char *name, const char *text) {
    char path[99], now[64] = "";
    sprintf(path, "/proc/sys/net/ipv4/%s", name);
    int fd = open(path, O_RDWR);
    long w = E(write(fd, text, strlen(text))), at = E(lseek(fd, 0, SEEK_CUR));
    long r = E(pread(fd, now, sizeof now - 1, 0));
    P("%s '%s': %ld at %ld; read %ld %s", name, text, w, at, r, *now ? now : "\n");
    close(fd);
}
static void settings(void) {
    const char *port[] = {"80\n", "81", " 82 \n", "80 90\n", "0x50", "0x", "010", "08", "-1", "65535", "65536", "99999999999", "", "\n", " ", "x", "7x", "7,8", "+7", "80\0 5", "5\t6"};
    for (int i = 0; i < 21; i++) set("ip_unprivileged_port_start", port[i]);
    const char *forward[] = {"1", "2", "0", "-1", "255", "2147483647", "2147483648", "1 2 3", "0x1", "-2147483648", "-2147483649"};
    for (int i = 0; i < 11; i++) set("ip_forward", forward[i]);
    const char *groups[] = {"0 0 junk", "1 0", "5 2", "0 4294967294", "0 4294967295", "3", "0 9\n", "0x1 0x2", "1\t2\n", "7 x", "", "  3   4  ", "-1 5", "1 0"};
    for (int i = 0; i < 14; i++) set("ping_group_range", groups[i]);
}
static void follow(void) {
    int fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDWR), old = open("/proc/self/ns/net", O_RDONLY);
    set("ip_unprivileged_port_start", "90");
    char now[64] = "", other[64] = "";
    P("away %ld", E(unshare(CLONE_NEWNET)));
    pread(fd, now, 63, 0), pread(open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY), other, 63, 0);
    P(" of before %d here %d written %ld", atoi(now), atoi(other), E(write(fd, "91", 2)));
    setns(old, CLONE_NEWNET);
    pread(fd, now, 63, 0);
    P(" then %d\n", atoi(now));
}
static void in_users(void) {
    pid_t p = fork();
    if (!p) {
        setgroups(0, 0), setgid(1000), setuid(1000), prctl(PR_SET_DUMPABLE, 1);
        P("users %ld", E(unshare(CLONE_NEWUSER | CLONE_NEWNET)));
        set("ping_group_range", "0 5");
        int fd = open("/proc/self/setgroups", O_WRONLY);
        write(fd, "deny", 4);
        fd = open("/proc/self/gid_map", O_WRONLY);
        P("map %ld\n", E(write(fd, "5 1000 1", 8)));
        set("ping_group_range", "0 0"), set("ping_group_range", "5 6"), set("ping_group_range", "5 5");
        P("may %ld\n", E(close(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP))));
        set("ping_group_range", "5 4");
        set("ping_group_range", "1 0");
        P("may %ld\n", E(close(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP))));
        _exit(0);
    }
    waitpid(p, NULL, 0);
    /* Several groups, mapped the other way round, by root. */
    int go[2], done[2];
    pipe(go), pipe(done);
    char path[64], b;
    p = fork();
    if (!p) {
        unshare(CLONE_NEWUSER | CLONE_NEWNET);
        write(go[1], "x", 1), read(done[0], &b, 1);
        setgid(0);
        set("ping_group_range", "0 9"), set("ping_group_range", "2 12"), set("ping_group_range", "12 2");
        set("ping_group_range", "0 19"), set("ping_group_range", "10 19"), set("ping_group_range", "9 10");
        P("may %ld\n", E(close(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP))));
        _exit(0);
    }
    read(go[0], &b, 1);
    sprintf(path, "/proc/%d/gid_map", p);
    P("map %ld\n", E(write(open(path, O_WRONLY), "0 2000 10\n10 1000 10\n", 21)));
    write(done[1], "x", 1);
    waitpid(p, NULL, 0);
}
int main(void) {
    P("own %ld\n", E(unshare(CLONE_NEWNET)));
    netlink();
    ended();
    addresses();
    long sizes[] = {1500, 67, 1, 0, 65536, 2147483647, 2147483648, 4294967295};
    for (int i = 0; i < 8; i++) mtu(sizes[i]);
    settings();
    follow();
    in_users();
    P("done\n");
}
