/*
 * A bare machine in QEMU, without a C library: a Cortex-M of an mps2 board, or the board virt of RISC-V with 32 bits. Files go to the
 * host by semihosting (developer.arm.com, "Semihosting for AArch32 and AArch64"; RISC-V uses the same calls).
 */
#include "machine.h"

#include <string.h>

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, EXIT = 0x18, APPLICATION_EXIT = 0x20026, FAILED = 0x20023, MODE_READ = 1, MODE_WRITE = 5 };

extern uint32_t stack_low[], stack_top[]; /* of the linker script */

/* ---- The processor ---- */

#ifdef __arm__

static intptr_t call_host(intptr_t operation, const void *argument)
{
    register intptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t *stack_pointer(void)
{
    uint32_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

/* The board counts 25 MHz down, in 24 bits. With -icount shift=0, an instruction takes a nanosecond. */
enum { NANOSECONDS = 40, COUNTER_BITS = 24 };
#define SYSTICK ((volatile uint32_t *)0xe000e010) /* control, reload, value */

static void start_counter(void)
{
    SYSTICK[1] = (1 << COUNTER_BITS) - 1;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* the processor's clock, enabled */
}

uint32_t machine_instructions(void)
{
    static uint32_t last, sum;
    const uint32_t now = ((1 << COUNTER_BITS) - 1) - SYSTICK[2];
    sum += (now - last) & ((1 << COUNTER_BITS) - 1);
    last = now;
    return sum * NANOSECONDS;
}

void start(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*reset)(void);
} vectors = {stack_top, start};

#else

static intptr_t call_host(intptr_t operation, const void *argument)
{
    register intptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

static uint32_t *stack_pointer(void)
{
    uint32_t *sp;
    __asm__ volatile("mv %0, sp" : "=r"(sp));
    return sp;
}

static void start_counter(void)
{
}

uint32_t machine_instructions(void)
{
    uint32_t count;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, instret\n.option pop" : "=r"(count));
    return count;
}

void start(void);
__attribute__((section(".vectors"), naked, used)) void enter(void)
{
    __asm__ volatile("la sp, stack_top\nj start");
}

#endif

/* ---- What the C library would have ---- */

void *memcpy(void *to, const void *from, size_t size)
{
    size_t k = 0;
    if (((uintptr_t)to | (uintptr_t)from) % 4 == 0)
        for (; k + 4 <= size; k += 4) *(uint32_t *)((uint8_t *)to + k) = *(const uint32_t *)((const uint8_t *)from + k);
    for (; k < size; k++) ((uint8_t *)to)[k] = ((const uint8_t *)from)[k];
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, size);
    for (size_t k = size; k-- > 0;) ((uint8_t *)to)[k] = ((const uint8_t *)from)[k];
    return to;
}

void *memset(void *to, int value, size_t size)
{
    for (size_t k = 0; k < size; k++) ((uint8_t *)to)[k] = (uint8_t)value;
    return to;
}

/* ---- Files ---- */

static intptr_t cases, results;

static intptr_t open_file(const char *name, intptr_t mode, intptr_t length)
{
    const intptr_t arguments[3] = {(intptr_t)name, mode, length};
    return call_host(OPEN, arguments);
}

int machine_read(void *to, size_t size)
{
    const intptr_t arguments[3] = {cases, (intptr_t)to, (intptr_t)size};
    return size == 0 || call_host(READ, arguments) == 0; /* the number of bytes that are missing */
}

void machine_write(const void *from, size_t size)
{
    const intptr_t arguments[3] = {results, (intptr_t)from, (intptr_t)size};
    if (size) call_host(WRITE, arguments);
}

/* ---- The stack ---- */

enum { PATTERN = 0x5a5aa5a5, MARGIN = 16 };

/* Painting leaves some words below the caller's, for what this function itself has on the stack. */
__attribute__((noinline)) void machine_paint_stack(void)
{
    for (volatile uint32_t *at = stack_low; at < stack_pointer() - MARGIN; at++) *at = PATTERN;
}

__attribute__((noinline)) uint32_t machine_stack_used(void)
{
    const uint32_t *at = stack_low;
    while (at < stack_pointer() && *at == PATTERN) at++;
    return (uint32_t)((const uint8_t *)stack_pointer() - (const uint8_t *)at);
}

/* ---- The beginning ---- */

extern uint32_t data_from[], data_begin[], data_end[], bss_begin[], bss_end[]; /* of the linker script */

__attribute__((used)) void start(void)
{
    memcpy(data_begin, data_from, (size_t)((uint8_t *)data_end - (uint8_t *)data_begin));
    memset(bss_begin, 0, (size_t)((uint8_t *)bss_end - (uint8_t *)bss_begin));
    start_counter();
    cases = open_file("cases", MODE_READ, 5);
    results = open_file("results", MODE_WRITE, 7);
    const int failed = cases < 0 || results < 0 || run();
    const intptr_t file[1] = {results};
    call_host(CLOSE, file);
    call_host(EXIT, (const void *)(failed ? FAILED : APPLICATION_EXIT));
    for (;;) {
    }
}
