/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/embedding.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "ops/check.h"

static int need_batch(const char *op, int B, int T, int C, size_t *n)
{
    if (B < 1 || T < 1 || (int64_t)B * T > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: a batch of %d x %d positions is not possible", op, B, T);
    return mr_need_shape(op, B * T, C, n);
}

int mr_embedding_forward(mr_runtime *rt, const mr_tensor *tokens, const mr_tensor *wte, const mr_tensor *wpe,
                         const mr_tensor *y, int B, int T, int C, int pos)
{
    size_t n;
    MR_TRY(need_batch("embedding", B, T, C, &n));
    if (pos < 0)
        return mr_fail(MR_EINVAL, "embedding: position %d is negative", pos);
    MR_TRY(mr_need_i32("embedding", "tokens", tokens, n / (size_t)C));
    if (!mr_given(wte) || wte->dtype == MR_I32 || wte->count < (size_t)C ||
        (mr_is_weights(wte->dtype) && (wte->count % (size_t)C || (size_t)C % mr_element_block(wte->dtype))))
        return mr_fail(MR_EINVAL, "embedding: wte must hold rows of %d floats or weights", C);
    if (mr_given(wpe))
        MR_TRY(mr_need_f32("embedding", "wpe", wpe, ((size_t)pos + (size_t)T) * (size_t)C));
    MR_TRY(mr_need_f32("embedding", "y", y, n));
    mr_profile_note(rt, (mr_given(wpe) ? 12.0 : 8.0) * (double)n, 0);
    static const char *const formats[MR_ELEMENTS] = {
        [MR_F16] = "-DFORMAT=2",  [MR_BF16] = "-DFORMAT=3", [MR_Q8_0] = "-DFORMAT=4", [MR_Q5_1] = "-DFORMAT=5",
        [MR_Q5_0] = "-DFORMAT=6", [MR_Q4_1] = "-DFORMAT=7", [MR_Q4_0] = "-DFORMAT=8"};
    struct mr_range range = mr_row_shares(rt, n / (size_t)C, (size_t)C);
    range.defines = formats[wte->dtype];
    return mr_launch(rt, "embedding_forward", range, mr_in(tokens), mr_in(wte), mr_in(wpe), mr_out(y), mr_int(B * T),
                     mr_int(T), mr_int(C), mr_int((int)(wte->count / (size_t)C)), mr_int(pos));
}

static int by_token_and_row(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int mr_embedding_order(const int32_t *tokens, int rows, int32_t *order, int32_t *first, int *unique)
{
    if (rows < 1)
        return mr_fail(MR_EINVAL, "embedding order: %d rows, at least one is needed", rows);
    uint64_t *keys = mr_alloc((size_t)rows, sizeof *keys);
    if (!keys)
        return MR_ENOMEM;
    for (int i = 0; i < rows; i++)
        keys[i] = (uint64_t)(uint32_t)tokens[i] << 32 | (uint32_t)i;
    qsort(keys, (size_t)rows, sizeof *keys, by_token_and_row);
    int n = 0;
    for (int i = 0; i < rows; i++) {
        order[i] = (int32_t)(uint32_t)keys[i];
        if (i == 0 || keys[i] >> 32 != keys[i - 1] >> 32)
            first[n++] = i;
    }
    first[n] = rows;
    *unique = n;
    free(keys);
    return 0;
}

int mr_embedding_backward(mr_runtime *rt, const mr_tensor *order, const mr_tensor *first, int unique,
                          const mr_tensor *tokens, const mr_tensor *dy, const mr_tensor *dwte, int rows, int C)
{
    static const char op[] = "embedding backward";
    size_t n;
    MR_TRY(mr_need_shape(op, rows, C, &n));
    if (unique < 1 || unique > rows)
        return mr_fail(MR_EINVAL, "%s: %d distinct tokens in %d rows", op, unique, rows);
    MR_TRY(mr_need_i32(op, "order", order, (size_t)rows));
    MR_TRY(mr_need_i32(op, "first", first, (size_t)unique + 1));
    MR_TRY(mr_need_i32(op, "tokens", tokens, (size_t)rows));
    MR_TRY(mr_need_f32(op, "dy", dy, n));
    MR_TRY(mr_need_f32(op, "dwte", dwte, (size_t)C));
    const struct mr_device_info *info = mr_runtime_info(rt);
    size_t span = (size_t)info->lanes * (size_t)info->vec; /* columns of a group */
    struct mr_range range = {.local_size = (size_t)info->lanes};
    range.groups[0] = (size_t)unique;
    if (info->lanes > 1)
        range.groups[1] = ((size_t)C + span - 1) / span;
    else if (unique > 8 * info->compute_units) /* several tokens a group, several groups a core */
        range.groups[0] = 8 * (size_t)info->compute_units;
    mr_profile_note(rt, 4.0 * ((double)n + 2.0 * unique * C), (double)n);
    return mr_launch(rt, "embedding_backward", range, mr_in(order), mr_in(first), mr_in(tokens), mr_in(dy),
                     mr_out(dwte), mr_int(unique), mr_int(C), mr_int((int)(dwte->count / (size_t)C)));
}

int mr_position_backward(mr_runtime *rt, const mr_tensor *dy, const mr_tensor *dwpe, int B, int T, int C, int pos)
{
    size_t n;
    MR_TRY(need_batch("position backward", B, T, C, &n));
    MR_TRY(mr_need_f32("position backward", "dy", dy, n));
    MR_TRY(mr_need_f32("position backward", "dwpe", dwpe, ((size_t)pos + (size_t)T) * (size_t)C));
    mr_profile_note(rt, 4.0 * ((double)n + 2.0 * T * C), (double)n);
    return mr_launch(rt, "position_backward", mr_row_shares(rt, (size_t)T, (size_t)B * (size_t)C), mr_in(dy),
                     mr_out(dwpe), mr_int(B), mr_int(T), mr_int(C), mr_int(pos));
}
