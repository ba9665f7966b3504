/* Interfaces and addresses, as programs ask for them; and packet information. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static void ask(int s, int type, int flags, const void *body, int size) {
    struct { struct nlmsghdr h; char b[64]; } m = {{NLMSG_LENGTH(size), type, NLM_F_REQUEST | flags, 5, 0}};
    memcpy(m.b, body, size);
    struct sockaddr_nl to = {AF_NETLINK};
    P("ask %d: %ld", type, E(sendto(s, &m, m.h.nlmsg_len, 0, (void *)&to, sizeof to)) > 0);
    static char answer[32768];
    for (int over = 0; !over;) {
        long n = recv(s, answer, sizeof answer, 0);
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            over = h->nlmsg_type == NLMSG_DONE || !(h->nlmsg_flags & NLM_F_MULTI);
            P(" %d", h->nlmsg_type);
            if (h->nlmsg_type == NLMSG_ERROR) P("(%d)", ((struct nlmsgerr *)NLMSG_DATA(h))->error);
            if (h->nlmsg_seq != 5) P("sequence\n");
        }
    }
    P("\n");
}
int main(void) {
    struct ifaddrs *all, *a;
    P("getifaddrs %ld\n", E(getifaddrs(&all)));
    for (a = all; a; a = a->ifa_next) {
        char t[64] = "", m[64] = "";
        int f = a->ifa_addr->sa_family;
        if (f == AF_INET) inet_ntop(f, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, t, 64), inet_ntop(f, &((struct sockaddr_in *)a->ifa_netmask)->sin_addr, m, 64);
        if (f == AF_INET6) inet_ntop(f, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, t, 64);
        P("%s flags %x family %d %s %s\n", a->ifa_name, a->ifa_flags, f, t, m);
    }
    P("index %d %d name '%s'\n", if_nametoindex("lo"), if_nametoindex("none"), if_indextoname(1, (char[IF_NAMESIZE]){0}));
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {"lo"}, list[4], none = {"none"};
    struct ifconf c = {sizeof list, {(void *)list}};
    P("list %ld %d %s\n", E(ioctl(u, SIOCGIFCONF, &c)), c.ifc_len, list[0].ifr_name);
    P("flags %ld %x", E(ioctl(u, SIOCGIFFLAGS, &r)), r.ifr_flags);
    P(" address %ld", E(ioctl(u, SIOCGIFADDR, &r)));
    P(" %s", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    P(" mask %ld", E(ioctl(u, SIOCGIFNETMASK, &r)));
    P(" %s", inet_ntoa(((struct sockaddr_in *)&r.ifr_addr)->sin_addr));
    P(" mtu %ld", E(ioctl(u, SIOCGIFMTU, &r)));
    P(" %d hardware %ld", r.ifr_mtu, E(ioctl(u, SIOCGIFHWADDR, &r)));
    P(" %d index %ld", r.ifr_hwaddr.sa_family, E(ioctl(u, SIOCGIFINDEX, &r)));
    P(" none %ld other %ld\n", E(ioctl(u, SIOCGIFFLAGS, &none)), E(ioctl(u, 0x5401, &none)));
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl name = {AF_NETLINK};
    socklen_t n = sizeof name;
    P("bind %ld name %ld", E(bind(s, (void *)&name, sizeof name)), E(getsockname(s, (void *)&name, &n)));
    P(" len %d port %d empty %ld\n", n, name.nl_pid != 0, E(recv(s, &r, 9, MSG_DONTWAIT)));
    struct ifinfomsg link = {0};
    ask(s, RTM_GETLINK, NLM_F_DUMP, &link, sizeof link);
    link.ifi_index = 1;
    ask(s, RTM_GETLINK, 0, &link, sizeof link);
    /* What is up is put up, whoever's network it is. */
    link.ifi_flags = link.ifi_change = IFF_UP;
    ask(s, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
    ioctl(u, SIOCGIFFLAGS, &r);
    P("up %ld", E(ioctl(u, SIOCSIFFLAGS, &r)));
    if (!fork()) {
        setuid(1000);
        P(" %ld", E(ioctl(u, SIOCSIFFLAGS, &r)));
        ask(s, RTM_NEWLINK, NLM_F_ACK, &link, sizeof link);
        _exit(0);
    }
    wait(0);
    link.ifi_flags = link.ifi_change = 0;
    link.ifi_index = 77;
    ask(s, RTM_GETLINK, 0, &link, sizeof link);
    struct ifaddrmsg address = {AF_INET};
    ask(s, RTM_GETADDR, NLM_F_DUMP, &address, sizeof address);
    address.ifa_family = 0;
    ask(s, RTM_GETADDR, NLM_F_DUMP, &address, sizeof address);
    struct rtmsg route = {AF_INET};
    ask(s, RTM_GETNEIGH, NLM_F_DUMP, (char[12]){0}, 12);
    P("pair %ld listen %ld\n", E(socketpair(AF_NETLINK, SOCK_RAW, 0, (int[2]){0})), E(listen(s, 1)));
    /* Where a datagram was sent to. */
    struct sockaddr_in to = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t l = sizeof to;
    int one = 1, d = socket(AF_INET, SOCK_DGRAM, 0);
    bind(d, (void *)&to, l), getsockname(d, (void *)&to, &l);
    setsockopt(d, IPPROTO_IP, IP_PKTINFO, &one, 4);
    sendto(u, "x", 1, 0, (void *)&to, l);
    char control[64], b[4];
    struct iovec v = {b, 4};
    struct msghdr m = {0, 0, &v, 1, control, sizeof control, 0};
    P("recvmsg %ld", E(recvmsg(d, &m, 0)));
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h) {
        struct in_pktinfo *i = (void *)CMSG_DATA(h);
        P(" %d/%d on %d to %s", h->cmsg_level, h->cmsg_type, i->ipi_ifindex, inet_ntoa(i->ipi_addr));
    }
    P("\ndone\n");
}
