/* SPDX-License-Identifier: GPL-3.0-or-later
 * A progress line that is redrawn in place, on a terminal only; and sizes and times for people. */
#ifndef MR_BASE_PROGRESS_H
#define MR_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct mr_progress {
    FILE *to;
    const char *label;
    uint64_t total;        /* 0: not known */
    double started, drawn; /* seconds of a monotonic clock */
    bool shown;            /* `to` is a terminal */
};

/* label stays the caller's and must live on. */
void mr_progress_begin(struct mr_progress *p, FILE *to, const char *label, uint64_t total);
/* Redraws at most ten times a second (and when done reaches total). note (printf style, or NULL) stands
 * behind the bar. */
__attribute__((format(printf, 3, 4))) void mr_progress_update(struct mr_progress *p, uint64_t done, const char *note,
                                                              ...);
/* Clears the line, so that what is printed next stands alone. */
void mr_progress_end(struct mr_progress *p);

/* The line itself, at most `width` columns: label, bar, percent, note, time left (from the seconds so far).
 */
void mr_progress_line(char *line, size_t size, int width, const char *label, uint64_t done, uint64_t total,
                      double seconds, const char *note);

/* "512 B", "1.5 KiB", "23.4 GiB" */
const char *mr_format_bytes(char text[24], uint64_t bytes);
/* "4.2 s", "3:07", "1:02:03", "2 d 3 h" */
const char *mr_format_seconds(char text[24], double seconds);

/* Seconds of a clock that only goes forward. */
double mr_now(void);

#endif
