/* The sensor's board on a PC: digits come from stdin, and a message is a line on stdout, port and payload in hex. */
#include "platform.h"

#include <stdio.h>

int platform_read_digit(uint8_t *pixels)
{
    return fread(pixels, 784, 1, stdin) == 1;
}

void platform_send(uint8_t port, const uint8_t *payload, size_t size)
{
    printf("%d ", port);
    for (size_t k = 0; k < size; k++) printf("%02x", payload[k]);
    printf("\n");
}

void platform_not_sent(void)
{
    fprintf(stderr, "a digit does not fit\n");
}

int main(void)
{
    return run();
}
