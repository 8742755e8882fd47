/* SPDX-License-Identifier: GPL-3.0-or-later
 * Results as pictures. */
#ifndef MR_BENCH_PLOT_H
#define MR_BENCH_PLOT_H

#include "base/str.h"
#include "bench/results.h"

/* What a picture shows; its files are NAME-light.svg, NAME-dark.svg and the same as .png. */
struct mr_picture {
    const char *name, *title;
    /* Appends data blocks ("$name_N << EOD …") and, to `plot`, what follows gnuplot's word plot; returns the number of
     * curves or points, 0 where the results hold nothing for it. */
    int (*data)(const struct mr_results *results, struct mr_str *blocks, struct mr_str *plot);
    const char *settings; /* axes, in gnuplot's words */
};

/* The i-th one, NULL past the last. */
const struct mr_picture *mr_picture(int i);

/* Draws all for which there is something into the folder, which is made where it is missing. drawn[i]: whether picture
 * i was. MR_ENODEV: there is no gnuplot. */
enum { MR_PICTURES = 8 };
int mr_plot(const struct mr_results *results, const char *folder, bool drawn[MR_PICTURES]);

/* Colour and dash of curve i are set by line styles 1 to 8 of the ground that is drawn. */
enum { MR_STYLES = 8 };

/* ---- pictures.c: what each of them shows ---------------------------------------------------------------------- */

int mr_draw_latency(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);
int mr_draw_total(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);
int mr_draw_memory(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);
int mr_draw_first(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);
int mr_draw_throughput(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);
int mr_draw_kernels(const struct mr_results *r, struct mr_str *blocks, struct mr_str *plot);

#endif
