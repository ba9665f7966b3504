// What is told of TCP connections.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SIOCOUTQNSD
#define SIOCOUTQNSD 0x894B
#endif

static void look(const char *what, int fd) {
    unsigned char bytes[512] = {0};
    socklen_t length = sizeof bytes;
    int result = getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes, &length);
    struct tcp_info *info = (void *)bytes;
    unsigned long acked, received, sent;
    unsigned left;
    memcpy(&acked, bytes + 120, 8), memcpy(&received, bytes + 128, 8), memcpy(&sent, bytes + 200, 8);
    memcpy(&left, bytes + 144, 4);
    printf("%s: %d state %d options %d backlog %d retransmits %d\n", what, result, info->tcpi_state,
           info->tcpi_options, info->tcpi_state == 10 ? info->tcpi_sacked : 0, info->tcpi_total_retrans);
    printf("  acked %lu received %lu sent %lu left %u threshold %u reordering %u path %u own %u\n", acked,
           received, sent, left, info->tcpi_snd_ssthresh, info->tcpi_reordering, info->tcpi_pmtu,
           info->tcpi_advmss);
    if (info->tcpi_state == 7 && !received)
        printf("  %u %u %u\n", info->tcpi_rto, info->tcpi_snd_mss, info->tcpi_rttvar);
    printf("  window %d\n", info->tcpi_snd_cwnd >= 10);
    int in = -1, out = -1, unsent = -1;
    result = ioctl(fd, FIONREAD, &in);
    result |= ioctl(fd, TIOCOUTQ, &out);
    result |= ioctl(fd, SIOCOUTQNSD, &unsent);
    printf("  queues %d %d %d %d\n", result, in, out, unsent);
}

static void congestion(const char *what, int fd, int room) {
    char name[32];
    memset(name, '#', sizeof name);
    socklen_t length = room;
    int result = getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length);
    printf("%s: %d %d %.5s\n", what, result, length, name);
}

// A connection with another machine's web server.
static int away(const char *to) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), out = -1;
    struct sockaddr_in address = {AF_INET, htons(80), {inet_addr(to)}};
    if (connect(fd, (void *)&address, sizeof address))
        return printf("connect: %d\n", errno);
    const char *ask = "GET /f HTTP/1.0\r\n\r\n";
    char answer[1000];
    write(fd, ask, strlen(ask));
    long count = 0, part;
    while ((part = read(fd, answer, sizeof answer)) > 0)
        count += part;
    unsigned char bytes[512] = {0};
    socklen_t length = sizeof bytes;
    getsockopt(fd, IPPROTO_TCP, TCP_INFO, bytes, &length);
    struct tcp_info *info = (void *)bytes;
    unsigned long acked, received;
    memcpy(&acked, bytes + 120, 8), memcpy(&received, bytes + 128, 8);
    ioctl(fd, TIOCOUTQ, &out);
    printf("acked %d received %d size %d time %d left %d\n", acked == strlen(ask) + 1,
           received == count || received == count + 1,
           info->tcpi_snd_mss > 1000 && info->tcpi_snd_mss <= 1460,
           info->tcpi_rtt > 0 && info->tcpi_rtt < 1000000 && info->tcpi_rto >= 200000, out);
    return 0;
}

// All that was sent has come, and that is known.
static void until_acked(int fd) {
    for (int i = 0, left = 1; i < 20000 && (ioctl(fd, TIOCOUTQ, &left) || left); i++) usleep(1000);
}

int main(int argc, char **argv) {
    if (argc > 1)
        return away(argv[1]);
    setvbuf(stdout, 0, _IOLBF, 0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    look("new", client);
    bind(listener, (void *)&address, length);
    listen(listener, 5);
    getsockname(listener, (void *)&address, &length);
    look("listening", listener);
    printf("reno %d\n", setsockopt(listener, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    connect(client, (void *)&address, length);
    int server = accept(listener, 0, 0);
    look("client", client);
    look("server", server);
    char data[5000] = {0};
    write(client, data, 5000);
    until_acked(client);
    look("client", client);
    look("server", server);
    read(server, data, 3000);
    write(server, data, 100);
    until_acked(server);
    look("client", client);
    look("server", server);
    congestion("inherited", server, 16);
    congestion("short", server, 3);
    printf("no such one %d errno %d\n", setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "nope", 4), errno);
    printf("nothing %d errno %d\n", setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "", 0), errno);
    printf("reno %d\n", setsockopt(client, IPPROTO_TCP, TCP_CONGESTION, "reno", 5));
    congestion("reno", client, 16);
    printf("done\n");
}
