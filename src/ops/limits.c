/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/limits.h"

#include "ops/check.h"

enum { CHAINS = 12 /* as in cl/limits.cl */ };

static struct mr_range range_of(const mr_runtime *rt)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t units = (size_t)(info->compute_units > 0 ? info->compute_units : 1);
    size_t group = info->lanes == 1 ? 1 : info->max_group < 256 ? info->max_group : 256;
    return (struct mr_range){.groups = {units * (info->lanes == 1 ? 4 : 16)}, .local_size = group};
}

size_t mr_limits_items(const mr_runtime *rt)
{
    struct mr_range range = range_of(rt);
    return range.groups[0] * range.local_size;
}

double mr_limits_flops(const mr_runtime *rt)
{
    return 2.0 * CHAINS * mr_runtime_info(rt)->vec;
}

int mr_limits_fma(mr_runtime *rt, const mr_tensor *y, int rounds)
{
    size_t items = mr_limits_items(rt);
    if (rounds < 1)
        return mr_fail(MR_EINVAL, "limits: %d rounds; at least one is needed", rounds);
    MR_TRY(mr_need_f32("limits", "y", y, items));
    mr_profile_note(rt, 4.0 * (double)items, mr_limits_flops(rt) * (double)items * rounds);
    return mr_launch(rt, "limits_fma", range_of(rt), mr_out(y), mr_int(rounds));
}

int mr_limits_read(mr_runtime *rt, const mr_tensor *x, size_t n, const mr_tensor *y)
{
    MR_TRY(mr_need_count("limits", n));
    if (n % 16)
        return mr_fail(MR_EINVAL, "limits: %zu numbers are no whole vectors of 16", n);
    MR_TRY(mr_need_f32("limits", "x", x, n));
    MR_TRY(mr_need_f32("limits", "y", y, mr_limits_items(rt)));
    mr_profile_note(rt, 4.0 * (double)n, (double)n);
    return mr_launch(rt, "limits_read", range_of(rt), mr_in(x), mr_out(y),
                     mr_int((int)(n / (size_t)mr_runtime_info(rt)->vec)));
}
