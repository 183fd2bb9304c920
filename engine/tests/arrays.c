/* The memory of every array that the cases give to the library. */
#define _DEFAULT_SOURCE /* of MAP_ANONYMOUS */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { UNUSED = 0xa5 };

static placing where = IN_BLOCKS;

/* An array in pages of its own: a page for this, a protected one, those of the array, and a protected one. */
typedef struct {
    uint8_t *first, *array, *end; /* of the pages of the array */
    size_t size, mapped;
} pages;

void place_arrays(const char *name)
{
    if (name && strcmp(name, "end") == 0) where = ENDS_AT_PAGE;
    else if (name && strcmp(name, "start") == 0) where = STARTS_AT_PAGE;
    else if (name) stop("arrays can lie at the end or the start of a page");
}

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static void *take_pages(size_t size, size_t alignment)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = round_up(size, page), mapped = inner + 3 * page;
    uint8_t *all = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *first = all + 2 * page;
    if (all == MAP_FAILED || mprotect(all + page, page, PROT_NONE) || mprotect(first + inner, page, PROT_NONE)) stop("out of memory");
    uint8_t *array = where == ENDS_AT_PAGE ? first + inner - round_up(size, alignment) : first;
    memset(first, UNUSED, inner);
    const pages head = {first, array, first + inner, size, mapped};
    memcpy(all, &head, sizeof head);
    return array;
}

static void *take_aligned(size_t size, size_t alignment)
{
    if (where != IN_BLOCKS) return take_pages(size, alignment);
    void *array = alignment > 1 ? aligned_alloc(alignment, round_up(size ? size : 1, alignment)) : malloc(size ? size : 1);
    if (!array) stop("out of memory");
    memset(array, UNUSED, size);
    return array;
}

void *take(size_t size)
{
    return take_aligned(size, 1);
}

memory allocate(size_t size)
{
    return (memory){take_aligned(size, MNZ_ALIGNMENT), size};
}

static void require_unused(const uint8_t *from, const uint8_t *to)
{
    for (; from < to; from++)
        if (*from != UNUSED) stop("something was written outside of an array");
}

void give(void *array)
{
    if (where == IN_BLOCKS || !array) {
        free(array);
        return;
    }
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *all = (uint8_t *)array - (uintptr_t)array % page - 2 * page;
    pages head;
    memcpy(&head, all, sizeof head);
    require_unused(head.first, head.array);
    require_unused(head.array + head.size, head.end);
    munmap(all, head.mapped);
}
