/* Until a thread waits in a call, as its state tells: what is to end its wait comes behind the
 * beginning then, however slow a machine is. Three times in a row: on its way it may sleep, too.
 * The state that was seen last; 0 if it has ended. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char until_asleep(int pid, int tid) {
    char path[64], text[512], state = 0;
    sprintf(path, "/proc/%d/task/%d/stat", pid, tid);
    for (int looks = 0, times = 0; looks < 60000 && times < 3; looks++, usleep(1000)) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        long n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        /* It has ended. */
        if (n <= 0) return 0;
        text[n] = 0;
        char *behind = strrchr(text, ')');
        state = behind ? behind[2] : 0;
        times = state == 'S' ? times + 1 : 0;
    }
    return state;
}
