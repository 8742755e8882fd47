/* SPDX-License-Identifier: GPL-3.0-or-later
 * Raising errors: said once, where the cause is known. */
#ifndef MR_BASE_ERROR_H
#define MR_BASE_ERROR_H

#include "microrwkv/error.h"

/* Sets the thread's error text (printf style) and returns code, so that a check is one line:
 *     return mr_fail(MR_EINVAL, "n_embd %d is not a multiple of n_head %d", n_embd, n_head); */
__attribute__((format(printf, 2, 3))) int mr_fail(int code, const char *format, ...);

#ifdef __clang_analyzer__ /* it sees one file at a time, and would follow paths where failing is no failure */
#define mr_fail(code, ...) (mr_fail(code, __VA_ARGS__), (code))
#endif

/* Puts "what: " before the present error text and returns code: adds the place to a deeper error. */
__attribute__((format(printf, 2, 3))) int mr_fail_in(int code, const char *format, ...);

/* The present error text, put aside while something else runs that may fail on its own: what ended the work is what
 * is reported. */
struct mr_error_kept {
    char text[2048];
};

void mr_error_keep(struct mr_error_kept *kept);
void mr_error_restore(const struct mr_error_kept *kept);

/* Where lines of the log go. */
struct mr_log_sink {
    mr_log_callback callback;
    void *context;
};

/* From now on the calling thread's lines go there; NULL, or one without a callback: to what mr_set_log set. Returns
 * what was in force before. */
const struct mr_log_sink *mr_log_divert(const struct mr_log_sink *sink);

__attribute__((format(printf, 2, 3))) void mr_log(enum mr_log_level level, const char *format, ...);

/* Returns from the calling function if the call failed. */
#define MR_TRY(call)                 \
    do {                             \
        int mr_try_result_ = (call); \
        if (mr_try_result_ < 0)      \
            return mr_try_result_;   \
    } while (0)

/* Stores the result in `err` and jumps to `fail` if the call failed. */
#define MR_GO(call)             \
    do {                        \
        if ((err = (call)) < 0) \
            goto fail;          \
    } while (0)

#endif
