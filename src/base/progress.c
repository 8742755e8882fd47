/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/progress.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_COLUMNS = 200, BAR = 30 };

double mr_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

const char *mr_format_bytes(char text[24], uint64_t bytes)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double n = (double)bytes / 1024;
    int i = 0;
    for (; n >= 1023.95 && i < 5; i++)
        n /= 1024;
    if (bytes < 1024)
        snprintf(text, 24, "%d B", (int)bytes);
    else
        snprintf(text, 24, "%.1f %s", n, unit[i]);
    return text;
}

const char *mr_format_seconds(char text[24], double seconds)
{
    if (!(seconds < 1e9)) { /* also what is no number */
        snprintf(text, 24, "forever");
        return text;
    }
    long s = (long)(seconds + 0.5);
    if (seconds < 9.95)
        snprintf(text, 24, "%.1f s", seconds);
    else if (s < 60)
        snprintf(text, 24, "%ld s", s);
    else if (s < 3600)
        snprintf(text, 24, "%ld:%02ld", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text, 24, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 24, "%ld d %ld h", s / 86400, s / 3600 % 24);
    return text;
}

void mr_progress_line(char *line, size_t size, int width, const char *label, uint64_t done, uint64_t total,
                      double seconds, const char *note)
{
    char bar[BAR + 1] = "", tail[64] = "", left[24];
    if (done > total && total)
        done = total;
    double share = total ? (double)done / (double)total : 0;
    if (total) {
        int full = (int)(share * BAR);
        memset(bar, ' ', BAR);
        memset(bar, '=', (size_t)full);
        if (full < BAR)
            bar[full] = '>';
        bar[BAR] = 0;
        if (done && done < total && seconds > 0.5)
            snprintf(tail, sizeof tail, "  %s left", mr_format_seconds(left, seconds * (1 / share - 1)));
    }
    const char *gap = note && *note ? "  " : "";
    if (total)
        snprintf(line, size, "%s [%s] %3d%%%s%s%s", label, bar, (int)(share * 100), gap, note ? note : "", tail);
    else
        snprintf(line, size, "%s%s%s  %s", label, gap, note ? note : "", mr_format_seconds(left, seconds));
    if (width > 0 && strlen(line) > (size_t)width)
        line[width] = 0;
}

void mr_progress_begin(struct mr_progress *p, FILE *to, const char *label, uint64_t total)
{
    *p = (struct mr_progress){.to = to, .label = label, .total = total, .started = mr_now()};
    p->shown = to && isatty(fileno(to));
}

void mr_progress_update(struct mr_progress *p, uint64_t done, const char *note, ...)
{
    if (!p->shown)
        return;
    double now = mr_now();
    if (now - p->drawn < 0.1 && (!p->total || done < p->total))
        return;
    p->drawn = now;
    char text[MOST_COLUMNS] = "", line[2 * MOST_COLUMNS];
    if (note) {
        va_list args;
        va_start(args, note);
        vsnprintf(text, sizeof text, note, args);
        va_end(args);
    }
    struct winsize window;
    int width = 79;
    if (!ioctl(fileno(p->to), TIOCGWINSZ, &window) && window.ws_col > 1)
        width = window.ws_col - 1;
    mr_progress_line(line, sizeof line, width, p->label, done, p->total, now - p->started, text);
    fprintf(p->to, "\r%s\033[K", line);
    fflush(p->to);
}

void mr_progress_end(struct mr_progress *p)
{
    if (!p->shown || p->drawn == 0)
        return;
    fputs("\r\033[K", p->to);
    fflush(p->to);
}
