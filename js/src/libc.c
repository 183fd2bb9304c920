/* The functions of the standard library that the engine uses. WebAssembly has instructions for blocks of memory. */
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    return __builtin_memcpy(to, from, size);
}

void *memmove(void *to, const void *from, size_t size)
{
    return __builtin_memmove(to, from, size);
}

void *memset(void *to, int value, size_t size)
{
    return __builtin_memset(to, value, size);
}

int memcmp(const void *one, const void *other, size_t size)
{
    const unsigned char *a = one, *b = other;
    for (; size && *a == *b; size--) a++, b++;
    return size ? *a - *b : 0;
}

int strcmp(const char *one, const char *other)
{
    for (; *one && *one == *other; one++) other++;
    return (unsigned char)*one - (unsigned char)*other;
}
