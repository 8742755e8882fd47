/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/products.h"

#include "base/alloc.h"
#include "ops/check.h"

static const char op[] = "products";

/* `rows` rows of `width` floats, ld apart (0: tight) from element `offset` on; numbers that kernels hold in an int. */
static int need_rows(const char *name, const mr_tensor *t, size_t offset, int ld, int rows, int width)
{
    size_t n;
    if (ld && ld < width)
        return mr_fail(MR_EINVAL, "%s: rows of %s hold %d numbers, but lie %d apart", op, name, width, ld);
    MR_TRY(mr_need_shape(op, rows, ld ? ld : width, &n));
    if (offset > INT32_MAX)
        return mr_fail(MR_EINVAL, "%s: %s begins at element %zu, beyond 2^31", op, name, offset);
    return mr_need_f32(op, name, t, offset + n - (size_t)(ld ? ld - width : 0));
}

static int need_weights(const struct mr_product *p)
{
    size_t n, k = (size_t)p->k;
    MR_TRY(mr_need_shape(op, p->n, p->k, &n));
    if (!mr_given(p->w))
        return mr_fail(MR_EINVAL, "%s: w is missing", op);
    enum mr_element dtype = p->w->dtype;
    if (p->transposed || dtype == MR_F32)
        MR_TRY(mr_need_f32(op, "w", p->w, p->offset_w + n));
    else if (!mr_is_weights(dtype) || p->w->count % k || k % mr_element_block(dtype) || p->w->count < p->offset_w + n)
        return mr_fail(MR_EINVAL, "%s: w holds %zu elements of %s: not %d rows of %d from element %zu on", op,
                       p->w->count, mr_element_name(dtype), p->n, p->k, p->offset_w);
    if (p->transposed ? p->offset_w > 0 : p->offset_w % (mr_is_weights(dtype) ? k * MR_ROWS_TOGETHER : k))
        return mr_fail(MR_EINVAL, "%s: w in %s cannot begin at element %zu", op, mr_element_name(dtype), p->offset_w);
    return 0;
}

int mr_products(mr_runtime *rt, const struct mr_product *list, int count, int rows)
{
    if (count < 1 || count > MR_MOST_PRODUCTS || rows < 1 || rows > MR_MOST_PRODUCT_ROWS)
        return mr_fail(MR_EINVAL, "%s: %d products of %d rows; allowed are 1 to %d of 1 to %d", op, count, rows,
                       MR_MOST_PRODUCTS, MR_MOST_PRODUCT_ROWS);
    for (int i = 0; i < count; i++) {
        const struct mr_product *p = &list[i];
        MR_TRY(need_weights(p));
        MR_TRY(need_rows("x", p->x, p->offset_x, p->ldx, rows, p->k));
        MR_TRY(need_rows("y", p->y, p->offset_y, p->ldy, rows, p->n));
        if (mr_given(p->bias))
            MR_TRY(mr_need_f32(op, "bias", p->bias, (size_t)p->n));
        if (mr_given(p->gate))
            MR_TRY(need_rows("gate", p->gate, p->offset_gate, p->ld_gate, rows, p->n));
        if (mr_given(p->add))
            MR_TRY(need_rows("add", p->add, p->offset_add, p->ld_add, rows, p->n));
        if ((unsigned)p->act >= MR_ACTS)
            return mr_fail(MR_EINVAL, "%s: there is no activation %d", op, (int)p->act);
    }
    return mr_products_launch(rt, list, count, rows);
}
