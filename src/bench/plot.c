/* SPDX-License-Identifier: GPL-3.0-or-later
 * One gnuplot script draws every picture on both grounds, as SVG and PNG. */
#include "bench/plot.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"

static const struct mr_picture pictures[] = {
    {"latency", "Time per token while the text grows", mr_draw_latency,
     "set logscale xy\nset xlabel 'position in the text (tokens)'\nset ylabel 'time per token (ms)'\n"},
    {"total", "Time for a text", mr_draw_total,
     "unset logscale\nset xlabel 'length of the text (tokens)'\nset ylabel 'time from its first token on (s)'\n"},
    {"memory", "Device memory, weights included", mr_draw_memory,
     "set logscale xy\nset xlabel 'position in the text (tokens)'\nset ylabel 'memory on the device (MiB)'\n"},
    {"first_token", "Time to the first token, once the weights are there", mr_draw_first,
     "unset logscale\nset logscale y\nset style fill solid 0.9 noborder\nset boxwidth 0.7\nset xtics rotate by -30\n"
     "set xlabel 'model'\nset ylabel 'time to the first token (ms)'\n"},
    {"throughput", "Several texts at once", mr_draw_throughput,
     "set logscale x 2\nset logscale y\nset xlabel 'texts at once'\nset ylabel 'tokens per second, all texts "
     "together'\n"},
    {"kernels", "Kernels below the roof of their device", mr_draw_kernels,
     "set logscale xy\nset xlabel 'arithmetic per byte (FLOP/B)'\nset ylabel 'speed (GFLOPS)'\n"},
};
#define PICTURES ((int)(sizeof pictures / sizeof pictures[0]))

const struct mr_picture *mr_picture(int i)
{
    return i >= 0 && i < PICTURES ? &pictures[i] : NULL;
}

/* Okabe and Ito's colours, which the colour-blind tell apart, lightened or darkened for their ground; dashes differ
 * too. */
static const struct ground {
    const char *name, *background, *ink, *grid, *colours[MR_STYLES];
} grounds[] = {
    {"light",
     "#ffffff",
     "#222222",
     "#d0d0d0",
     {"#0072b2", "#d55e00", "#009e73", "#b8528e", "#c58600", "#3aa0d8", "#000000", "#7a6a00"}},
    {"dark",
     "#14171a",
     "#e6e6e6",
     "#454b52",
     {"#56b4e9", "#ff8c42", "#2fd1a0", "#e29bc6", "#f0b429", "#4f8fff", "#ffffff", "#f0e442"}},
};

static int set_ground(struct mr_str *script, const struct ground *g)
{
    MR_TRY(mr_str_printf(script,
                         "set border 3 lc rgb '%s'\nset grid lc rgb '%s' lw 1 dt 3\nset key textcolor rgb '%s'\n"
                         "set title textcolor rgb '%s'\nset xlabel textcolor rgb '%s'\nset ylabel textcolor rgb '%s'\n"
                         "set tics textcolor rgb '%s' nomirror\nset style line 100 lc rgb '%s'\n",
                         g->ink, g->grid, g->ink, g->ink, g->ink, g->ink, g->ink, g->ink));
    for (int i = 0; i < MR_STYLES; i++)
        MR_TRY(mr_str_printf(script, "set style line %d lc rgb '%s' lw 2.5 dt %d pt %d ps 0.9\n", i + 1, g->colours[i],
                             i % 4 + 1, (const int[]){7, 5, 9, 11, 13, 4, 6, 8}[i]));
    return 0;
}

/* 800 points wide; the PNG has twice as many pixels. */
static int draw_one(struct mr_str *script, const struct mr_picture *p, const struct ground *g, bool png,
                    const char *plot)
{
    if (png)
        MR_TRY(mr_str_printf(script,
                             "set terminal pngcairo size 1600,1000 fontscale 1.9 linewidth 1.8 pointscale 1.8 "
                             "noenhanced background '%s'\n",
                             g->background));
    else
        MR_TRY(mr_str_printf(script, "set terminal svg size 800,500 font 'sans,14' noenhanced background '%s'\n",
                             g->background));
    MR_TRY(set_ground(script, g));
    return mr_str_printf(script,
                         "set output '%s-%s.%s.tmp'\nset xtics norotate\nset ytics format '%%g'\nset xtics format "
                         "'%%g'\n%sset title '%s'\nset key outside bottom center maxrows 6\nplot %s\nset output\n",
                         p->name, g->name, png ? "png" : "svg", p->settings, p->title, plot);
}

int mr_plot(const struct mr_results *results, const char *folder, bool drawn[MR_PICTURES])
{
    struct mr_str script = {0};
    char names[MR_PICTURES * 4][40];
    const char *list[MR_PICTURES * 4];
    int err, count = 0;
    MR_GO(mr_make_folder(folder, 0777));
    for (int i = 0; i < PICTURES; i++) {
        struct mr_str plot = {0};
        int found = pictures[i].data(results, &script, &plot);
        err = found < 0 ? found : 0;
        drawn[i] = found > 0;
        for (int k = 0; k < 4 && drawn[i] && !err; k++) {
            const struct ground *g = &grounds[k / 2];
            err = draw_one(&script, &pictures[i], g, k % 2, plot.text);
            snprintf(names[count], sizeof names[count], "%s-%s.%s", pictures[i].name, g->name, k % 2 ? "png" : "svg");
            list[count] = names[count];
            count++;
        }
        mr_str_free(&plot);
        MR_GO(err);
    }
    if (!count)
        err = mr_fail(MR_EFILE, "these results hold nothing to draw");
    else
        err = mr_gnuplot(folder, &script, list, count, "no pictures");
fail:
    mr_str_free(&script);
    return err;
}
