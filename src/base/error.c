/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_text[sizeof(struct mr_error_kept)];

static struct mr_log_sink log_sink;
static _Thread_local const struct mr_log_sink *diverted;

const char *mr_error_text(void)
{
    return error_text;
}

int(mr_fail)(int code, const char *format, ...)
{
    char text[sizeof error_text]; /* the arguments may point into error_text */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(error_text, text, sizeof text);
    return code;
}

int mr_fail_in(int code, const char *format, ...)
{
    char text[sizeof error_text];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ": %.*s", (int)(sizeof text - 3) - n, error_text);
    memcpy(error_text, text, sizeof text);
    return code;
}

void mr_error_keep(struct mr_error_kept *kept)
{
    memcpy(kept->text, error_text, sizeof error_text);
}

void mr_error_restore(const struct mr_error_kept *kept)
{
    memcpy(error_text, kept->text, sizeof error_text);
}

void mr_set_log(mr_log_callback callback, void *context)
{
    log_sink = (struct mr_log_sink){callback, context};
}

const struct mr_log_sink *mr_log_divert(const struct mr_log_sink *sink)
{
    const struct mr_log_sink *before = diverted;
    diverted = sink;
    return before;
}

void mr_log(enum mr_log_level level, const char *format, ...)
{
    const struct mr_log_sink *sink = diverted && diverted->callback ? diverted : &log_sink;
    if (!sink->callback)
        return;
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sink->callback(sink->context, level, line);
}
