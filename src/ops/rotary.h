/* SPDX-License-Identifier: GPL-3.0-or-later
 * Rotary positions (arXiv:2104.09864) of the queries and keys of R rows of H heads of D numbers: the first `turned`
 * numbers of each are pairs (i, i + turned/2) that turn by position * base^(-2i/turned). What comes in has q, k and v
 * head by head, [R,H,3,D]; what goes out has all of q, then k, then v, [R,3,H,D], as attention takes them. */
#ifndef MR_OPS_ROTARY_H
#define MR_OPS_ROTARY_H

#include "rt/rt.h"

struct mr_rotary {
    int rows, heads, width, turned; /* R, H, D; turned is even, from 2 to D */
    int time;                       /* rows r have position first + r % time, unless `positions` is given */
    int first;
    const mr_tensor *positions; /* i32 [R]; NULL: as above */
    const mr_tensor *table;     /* [places,turned], by mr_rotary_table */
    int places;                 /* positions from 0 on that the table has; one outside turns like the nearest */
};

/* Fills the table: the turned/2 cosines and sines of each position. Angles are rounded as single precision rounds
 * them, which is how the published models were trained. */
int mr_rotary_table(mr_runtime *rt, const mr_tensor *table, int places, int turned, double base);

int mr_rotary_forward(mr_runtime *rt, const struct mr_rotary *s, const mr_tensor *x, const mr_tensor *y);
/* Of a forward whose `first` is 0 and that has no positions. */
int mr_rotary_backward(mr_runtime *rt, const struct mr_rotary *s, const mr_tensor *dy, const mr_tensor *dx);

#endif
