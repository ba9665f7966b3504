/* Makes calls that are not served, each twice and by two processes, or the one given. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static const long calls[] = {250, 321, 169, 4242, 334};
    if (argc > 1) return syscall(atol(argv[1]), 0, 0, 0, 0, 0, 0) != -1;
    for (int process = 0; process < 2; process++) {
        if (fork() == 0) {
            for (int i = 0; i < 10; i++) syscall(calls[i / 2], 0, 0, 0, 0, 0, 0);
            _exit(0);
        }
        wait(0);
    }
    return 0;
}
