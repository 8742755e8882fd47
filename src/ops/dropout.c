/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/dropout.h"

#include <math.h>

#include "base/philox.h"
#include "ops/check.h"

int mr_dropout_apply(mr_runtime *rt, const struct mr_dropout *d, const mr_tensor *x, const mr_tensor *y,
                     size_t n)
{
    if (!(d->p >= 0 && d->p < 1))
        return mr_fail(MR_EINVAL, "dropout: p is %g, it must be at least 0 and below 1", (double)d->p);
    if (d->site >= 1u << 20)
        return mr_fail(MR_EINVAL, "dropout: site %u is not below 2^20", d->site);
    MR_TRY(mr_need_count("dropout", n));
    MR_TRY(mr_need_f32("dropout", "x", x, n));
    MR_TRY(mr_need_f32("dropout", "y", y, n));
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct mr_range range = info->lanes > 1 ? mr_items(rt, (n + 3) / 4) : mr_vectors(rt, n);
    /* a word's upper 24 bits are the draw: (word >> 8) * 2^-24 >= p just when word >= this */
    uint32_t threshold = (uint32_t)ceil((double)d->p * 0x1p24) << 8;
    uint32_t high = d->site << 8 ^ (uint32_t)MR_STREAM_DROPOUT
                                       << 28; /* of the counter; elements / 4 < 2^28 */
    mr_profile_note(rt, 8.0 * (double)n, (double)n);
    return mr_launch(rt, "dropout", range, mr_in(x), mr_out(y), mr_int((int)n), mr_uint(high),
                     mr_ulong(d->step), mr_ulong(d->seed), mr_uint(threshold),
                     mr_float((float)(1 / (1 - (double)d->p))));
}
