/* What the test program needs of a machine: files, a counter of instructions, and the depth of the stack. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* The program. Returns the exit status. */
int run(void);

/* Read the next bytes of the file "cases"; returns 0 if it has fewer. */
int machine_read(void *to, size_t size);

/* Append bytes to the file "results". */
void machine_write(const void *from, size_t size);

/* Instructions so far, modulo 2^32; 0 where nothing counts them. */
uint32_t machine_instructions(void);

/* Fill the unused part of the stack with a pattern, and see how many bytes of it have been overwritten since. */
void machine_paint_stack(void);
uint32_t machine_stack_used(void);

#endif
