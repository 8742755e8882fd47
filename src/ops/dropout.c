/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/dropout.h"

#include <math.h>

#include "base/philox.h"
#include "ops/check.h"

/* What the generator gets: the counter's second word, and the least word that is kept. */
struct draw {
    uint32_t high, threshold;
};

static int draw_of(const struct mr_dropout *d, size_t n, struct draw *draw)
{
    if (!(d->p >= 0 && d->p < 1))
        return mr_fail(MR_EINVAL, "dropout: p is %g, it must be at least 0 and below 1", (double)d->p);
    if (d->site >= 1u << 20)
        return mr_fail(MR_EINVAL, "dropout: site %u is not below 2^20", d->site);
    MR_TRY(mr_need_count("dropout", n));
    draw->high = d->site << 8 ^ (uint32_t)MR_STREAM_DROPOUT << 28; /* elements / 4 < 2^28 */
    /* a word's upper 24 bits are the draw: (word >> 8) * 2^-24 >= p just when word >= this */
    draw->threshold = (uint32_t)ceil((double)d->p * 0x1p24) << 8;
    return 0;
}

int mr_dropout_apply(mr_runtime *rt, const struct mr_dropout *d, const mr_tensor *x, const mr_tensor *y, size_t n)
{
    struct draw draw;
    MR_TRY(draw_of(d, n, &draw));
    MR_TRY(mr_need_f32("dropout", "x", x, n));
    MR_TRY(mr_need_f32("dropout", "y", y, n));
    struct mr_range range = mr_runtime_info(rt)->lanes > 1 ? mr_items(rt, (n + 3) / 4) : mr_vectors(rt, n);
    mr_profile_note(rt, 8.0 * (double)n, (double)n);
    return mr_launch(rt, "dropout", range, mr_in(x), mr_out(y), mr_int((int)n), mr_uint(draw.high), mr_ulong(d->step),
                     mr_ulong(d->seed), mr_uint(draw.threshold), mr_float((float)(1 / (1 - (double)d->p))));
}

int mr_dropout_bits(mr_runtime *rt, const struct mr_dropout *d, const mr_tensor *bits, size_t words)
{
    struct draw draw;
    if (words > (size_t)1 << 25)
        return mr_fail(MR_EINVAL, "dropout: a mask of %zu x 32 elements exceeds 2^30, take a smaller batch", words);
    MR_TRY(draw_of(d, 32 * words, &draw));
    if (bits->dtype != MR_I32 || bits->count < words)
        return mr_fail(MR_EINVAL, "dropout: %zu words of a mask are wanted, there are %zu", words, bits->count);
    mr_profile_note(rt, 4.0 * (double)words, 32.0 * (double)words);
    return mr_launch(rt, "dropout_bits", mr_items(rt, words), mr_out(bits), mr_int((int)words), mr_uint(draw.high),
                     mr_ulong(d->step), mr_ulong(d->seed), mr_uint(draw.threshold));
}
