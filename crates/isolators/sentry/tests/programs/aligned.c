/* Whether what is to be at a multiple of 2 MiB is there. */
#include <stdint.h>
#include <stdio.h>
static char most[1] __attribute__((aligned(2 << 20)));
int main(void) {
    most[0] = 1;
    uintptr_t at = (uintptr_t)most;
    asm volatile("" : "+r"(at));
    printf("aligned %d\n", at % (2 << 20) == 0);
}
