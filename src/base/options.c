/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/options.h"

#include <string.h>

#include "base/error.h"

enum { LARGEST = 1 << 14 }; /* a size beyond is none */

static int size_of(const void *options, const char *name, size_t *size)
{
    memcpy(size, options, sizeof *size);
    if (*size < sizeof *size || *size > LARGEST)
        return mr_fail(MR_EINVAL, "%s.size is %zu: it must be the size of the struct", name, *size);
    return 0;
}

void mr_give_defaults(void *options, size_t size, const void *defaults, size_t known)
{
    memset(options, 0, size);
    memcpy(options, defaults, size < known ? size : known);
    if (size >= sizeof size)
        memcpy(options, &size, sizeof size);
}

int mr_take_options(void *to, size_t size, const void *from, const char *name)
{
    size_t known;
    if (!from)
        return 0;
    MR_TRY(size_of(from, name, &known));
    memcpy(to, from, known < size ? known : size);
    memcpy(to, &size, sizeof size);
    return 0;
}

int mr_give_result(void *to, const void *from, size_t size, const char *name)
{
    size_t known;
    MR_TRY(size_of(to, name, &known));
    memcpy((char *)to + sizeof known, (const char *)from + sizeof known, (known < size ? known : size) - sizeof known);
    return 0;
}
