/* Sends a datagram until it is answered, or answers one: datagram PORT, datagram IP PORT TEXT. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
int main(int n, char **v) {
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {AF_INET, htons(atoi(v[n > 2 ? 2 : 1]))};
    socklen_t l = sizeof a;
    static char b[4000];
    struct timeval t = {1, 0};
    if (n == 2) {
        if (bind(s, (void *)&a, l)) return perror("bind"), 1;
        ssize_t r = recvfrom(s, b, sizeof b, 0, (void *)&a, &l);
        return r < 0 || sendto(s, b, r, 0, (void *)&a, l) != r;
    }
    inet_pton(AF_INET, v[1], &a.sin_addr);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    /* Longer than a packet. */
    memcpy(b, v[3], strlen(v[3]));
    for (int i = 0; i < 20; i++) {
        if (sendto(s, b, sizeof b, 0, (void *)&a, l) < 0) return perror("sendto"), 1;
        static char c[sizeof b];
        if (recv(s, c, sizeof c, 0) == sizeof b && !memcmp(b, c, sizeof b)) return puts(c), 0;
    }
    return puts("no answer"), 1;
}
