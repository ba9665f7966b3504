// Calls that come quickly, from one place, and what signals do to them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void handler(int number) { told++; }

static void handle(int number) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

// A queue that is full: the writer waits, and the alarm ends that.
static void full_queue(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0posted"};
    socklen_t length = sizeof(sa_family_t) + 7;
    int reader = socket(AF_UNIX, SOCK_DGRAM, 0), writer = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(reader, (struct sockaddr *)&name, length);
    char bytes[64] = "";
    handle(SIGALRM);
    for (int round = 0; round < 3; round++) {
        // So that it is posted: many quick ones, each read again.
        for (int i = 0; i < 20000; i++) {
            sendto(writer, bytes, 64, 0, (struct sockaddr *)&name, length);
            read(reader, bytes, 64);
        }
        told = 0;
        /* Again and again: the first one may come before the wait. */
        struct itimerval often = {{1}, {1}}, never = {{0}};
        setitimer(ITIMER_REAL, &often, 0);
        long sent;
        while ((sent = sendto(writer, bytes, 64, 0, (struct sockaddr *)&name, length)) == 64) {
        }
        int error = errno;
        setitimer(ITIMER_REAL, &never, 0);
        printf("full: %ld %s told %d\n", sent, strerror(error), told > 0);
        while (recv(reader, bytes, 64, MSG_DONTWAIT) == 64) {
        }
    }
    close(reader);
    close(writer);
}

// Who owns a pipe is told before the call that fills it returns.
static void owner(void) {
    int ends[2], late = 0;
    pipe(ends);
    handle(SIGIO);
    fcntl(ends[0], F_SETOWN, getpid());
    fcntl(ends[0], F_SETFL, O_ASYNC);
    char byte = 0;
    for (int i = 0; i < 50000; i++) {
        int before = told;
        write(ends[1], &byte, 1);
        late += told == before;
        read(ends[0], &byte, 1);
    }
    printf("late: %d\n", late);
}

// A child goes on as its parent did.
static void child(void) {
    int fd = open("/proc/self/exe", O_RDONLY), wrong = 0;
    for (int who = 0; who < 2; who++) {
        for (int i = 0; i < 50000; i++)
            wrong += lseek(fd, i, SEEK_SET) != i;
        if (who == 0 && fork() > 0) {
            int status;
            wait(&status);
            printf("child: %d\n", WEXITSTATUS(status));
            return;
        }
    }
    _exit(wrong != 0);
}

int main(void) {
    full_queue();
    owner();
    fflush(stdout);
    child();
    puts("done");
}
