/* What the sensor needs of its board. platform_pc.c is the one for a PC; write yours for your camera and your radio. */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* The program, which ends when there are no more digits. */
int run(void);

/* Wait for the next digit: 784 grey levels, row by row, 0 for the background. Returns 0 if there are no more. */
int platform_read_digit(uint8_t *pixels);

/* Send a message on a port. */
void platform_send(uint8_t port, const uint8_t *payload, size_t size);

/* A digit does not fit a message at any quality. */
void platform_not_sent(void);

#endif
