/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/place.h"

#include "ops/check.h"

int mr_place_step(mr_runtime *rt, const mr_tensor *positions, const mr_tensor *wpe, const mr_tensor *y, int rows,
                  int dim, int places, int first)
{
    static const char op[] = "place step";
    size_t n, table;
    MR_TRY(mr_need_shape(op, rows, dim, &n));
    MR_TRY(mr_need_shape(op, places, dim, &table));
    MR_TRY(mr_need_i32(op, "positions", positions, (size_t)rows));
    MR_TRY(mr_need_f32(op, "wpe", wpe, table));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 12.0 * (double)n, (double)n);
    return mr_launch(rt, "place_step", mr_row_shares(rt, (size_t)rows, (size_t)dim), mr_in(positions), mr_in(wpe),
                     mr_out(y), mr_int(rows), mr_int(dim), mr_int(places), mr_int(first));
}
