/* Two connections, each half of which ends by itself: `halves first` has said all before it
   listens, `halves last` answers once there is nothing more to hear. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
static void hear(int c) {
    char b[100];
    for (long n; (n = read(c, b, sizeof b)) > 0;) fwrite(b, 1, n, stdout);
    printf(".\n");
}
int main(int argc, char **argv) {
    int first = argc > 1 && !strcmp(argv[1], "first"), s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(first ? 5003 : 5004), .sin_addr.s_addr = htonl(0x7f000001)};
    if (bind(s, (void *)&a, sizeof a) || listen(s, 1)) return 1;
    setvbuf(stdout, 0, _IONBF, 0);
    printf("listens\n");
    int c = accept(s, 0, 0);
    if (!first) hear(c);
    write(c, "said", 4);
    shutdown(c, SHUT_WR);
    if (first) hear(c);
    return 0;
}
