/* SPDX-License-Identifier: GPL-3.0-or-later
 * Matrix products, in every format of weights: by lists of a decoding step, by matrices, by few vectors. */
#include "verify/cases.h"

#include <string.h>

#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/products.h"
#include "ref/embedding.h"
#include "ref/gemm.h"
#include "ref/linear.h"
#include "ref/products.h"
#include "rt/gemm.h"
#include "rt/gemm_own.h"

static enum mr_element next_format(enum mr_element format)
{
    return format == MR_F32 ? MR_F16 : format + 1;
}

enum { N = 37, K = 64, ROWS = 16, MOST = MR_MOST_PRODUCTS };

/* What the lists of one format take their products from, each with another activation and epilogue, one transposed. */
struct list {
    struct mr_product p[MOST];
    const mr_tensor *y;
    double *want[MOST]; /* [ROWS,N] */
};

static void make_list(struct mr_trial *t, enum mr_element format, struct list *l)
{
    double *x = mr_trial_random(t, ROWS * K, 1), *w = mr_trial_random(t, N * K, 0.1), *bias = mr_trial_random(t, N, 1);
    double *flat = mr_trial_random(t, N * K, 0.1), *more = mr_trial_random(t, ROWS * N, 1);
    const mr_tensor *weights = mr_trial_weights(t, format, w, N, K), *plain = mr_trial_floats(t, flat, N * K);
    const mr_tensor *in = mr_trial_floats(t, x, ROWS * K), *b = mr_trial_floats(t, bias, N);
    const mr_tensor *extra = mr_trial_floats(t, more, ROWS * N);
    l->y = mr_trial_floats(t, NULL, (size_t)MOST * ROWS * N);
    for (int i = 0; i < MOST; i++) {
        bool transposed = i == 3, gate = i & 1, add = i & 2;
        l->want[i] = mr_trial_zeros(t, ROWS * N);
        struct mr_ref_product ref = {.x = x,
                                     .w = transposed ? flat : w,
                                     .bias = i ? bias : NULL,
                                     .gate = gate ? more : NULL,
                                     .add = add ? more : NULL,
                                     .y = l->want[i],
                                     .rows = ROWS,
                                     .n = N,
                                     .k = K,
                                     .transposed = transposed,
                                     .act = i % MR_ACTS};
        mr_ref_product(&ref);
        l->p[i] = (struct mr_product){.x = in,
                                      .w = transposed ? plain : weights,
                                      .bias = i ? b : NULL,
                                      .y = l->y,
                                      .gate = gate ? extra : NULL,
                                      .add = add ? extra : NULL,
                                      .offset_y = (size_t)i * N,
                                      .n = N,
                                      .k = K,
                                      .transposed = transposed,
                                      .act = (enum mr_activation)(i % MR_ACTS)};
    }
}

/* The first `count` products of `rows` rows, side by side in y. */
static void run_list(struct mr_trial *t, struct list *l, int count, int rows)
{
    double want[MOST * ROWS * N];
    for (int i = 0; i < count; i++) {
        l->p[i].ldy = count * N;
        for (int row = 0; row < rows; row++)
            memcpy(want + (row * count + i) * N, l->want[i] + row * N, N * sizeof *want);
    }
    mr_trial_run(t, mr_zero(t->rt, l->y));
    mr_trial_run(t, mr_products(t->rt, l->p, count, rows));
    mr_trial_compare(t, l->y, want, (size_t)count * (size_t)rows * N);
}

/* In every format every number of rows and of products that has a kernel of its own, but not each with each: that
 * would compile for minutes. */
void mr_case_products(struct mr_trial *t)
{
    static const int sizes[][2] = {{1, 1}, {2, 2}, {4, 4}, {8, 8}, {1, 16}}; /* products, rows */
    for (enum mr_element format = MR_F32; format < MR_ELEMENTS; format = next_format(format)) {
        struct list l;
        make_list(t, format, &l);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            run_list(t, &l, sizes[i][0], sizes[i][1]);
    }
}

/* ---- matrices -------------------------------------------------------------------------------------------------- */

/* own: by our kernels, whatever the device's table says. */
static void product(struct mr_trial *t, enum mr_element format, struct mr_gemm g, bool own)
{
    size_t m = (size_t)g.m, n = (size_t)g.n, k = (size_t)g.k, batch = g.batch ? (size_t)g.batch : 1;
    double *a = mr_trial_random(t, batch * m * k, 1), *b = mr_trial_random(t, batch * n * k, 0.1);
    double *bias = mr_trial_random(t, n, 1), *want = mr_trial_random(t, batch * m * n, 1);
    const mr_tensor *c = mr_trial_floats(t, want, batch * m * n), *w = mr_trial_weights(t, format, b, batch * n, k);
    g.bias = mr_trial_floats(t, bias, n);
    g.stride_a = m * k, g.stride_b = n * k, g.stride_c = m * n;
    mr_trial_run(t, (own ? mr_gemm_by_own : mr_gemm)(t->rt, &g, mr_trial_floats(t, a, batch * m * k), w, c));
    const struct mr_ref_gemm ref = {.m = g.m,
                                    .n = g.n,
                                    .k = g.k,
                                    .trans_a = g.trans_a,
                                    .trans_b = g.trans_b,
                                    .beta = (double)g.beta,
                                    .lda = g.trans_a ? m : k,
                                    .ldb = g.trans_b ? k : n,
                                    .ldc = n};
    for (size_t i = 0; i < batch; i++)
        mr_ref_gemm(a + i * m * k, b + i * n * k, want + i * m * n, bias, &ref);
    mr_trial_compare(t, c, want, batch * m * n);
    mr_trial_forget(t);
}

static void widen(struct mr_trial *t, enum mr_element format)
{
    double *w = mr_trial_random(t, N * K, 1);
    const mr_tensor *weights = mr_trial_weights(t, format, w, N, K), *to = mr_trial_floats(t, NULL, N * K);
    mr_trial_run(t, mr_gemm_widen(t->rt, weights, K, 0, N, to));
    mr_trial_compare(t, to, w, N * K);
    mr_trial_forget(t);
}

void mr_case_gemm(struct mr_trial *t)
{
    for (int form = 0; form < 4; form++) /* which of the two is transposed */
        product(t, MR_F32, (struct mr_gemm){.m = 70, .n = 41, .k = 45, .trans_a = form & 1, .trans_b = form & 2}, true);
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        product(t, format, (struct mr_gemm){.m = 70, .n = 41, .k = 96, .trans_b = true}, true);
        product(t, format, (struct mr_gemm){.m = 130, .n = 130, .k = 128, .trans_b = true}, true);
        widen(t, format);
    }
    product(t, MR_F32, (struct mr_gemm){.m = 130, .n = 130, .k = 130}, true); /* of a larger class than the others */
    product(t, MR_F32, (struct mr_gemm){.m = 33, .n = 35, .k = 37, .batch = 3, .beta = 1}, true);
    product(t, MR_F32, (struct mr_gemm){.m = 20, .n = 20, .k = 2100, .beta = 1}, true); /* the sum is cut */
    product(t, MR_F32, (struct mr_gemm){.m = 70, .n = 90, .k = 300, .trans_b = true}, false);
    double *bias = mr_trial_random(t, N, 1), *c = mr_trial_random(t, ROWS * N, 1);
    const mr_tensor *sum = mr_trial_floats(t, c, ROWS * N);
    struct mr_gemm g = {.m = ROWS, .n = N, .k = 1, .ldc = N, .batch = 1, .bias = mr_trial_floats(t, bias, N)};
    mr_trial_run(t, mr_gemm_add_bias(t->rt, &g, sum));
    for (int i = 0; i < ROWS * N; i++)
        c[i] += bias[i % N];
    mr_trial_compare(t, sum, c, ROWS * N);
}

void mr_case_matvec(struct mr_trial *t)
{
    for (int rows = 1; rows <= 8; rows *= 2)
        for (int form = 0; form < 2; form++) {
            product(t, MR_F32, (struct mr_gemm){.m = rows, .n = 75, .k = 51, .trans_b = form}, false);
            product(t, MR_F32, (struct mr_gemm){.m = 75, .n = rows, .k = 51, .trans_a = form, .trans_b = true}, false);
        }
}

void mr_case_linear(struct mr_trial *t)
{
    enum { R = 70, IN = 45, OUT = 41 };
    double *x = mr_trial_random(t, R * IN, 1), *w = mr_trial_random(t, OUT * IN, 0.1), *y = mr_trial_zeros(t, R * OUT);
    double *bias = mr_trial_random(t, OUT, 1), *dy = mr_trial_random(t, R * OUT, 1), *dx = mr_trial_zeros(t, R * IN);
    double *dw = mr_trial_zeros(t, OUT * IN), *dbias = mr_trial_zeros(t, OUT);
    const mr_tensor *in = mr_trial_floats(t, x, R * IN), *weight = mr_trial_floats(t, w, OUT * IN);
    const mr_tensor *out = mr_trial_floats(t, NULL, R * OUT), *upper = mr_trial_floats(t, dy, R * OUT);
    const mr_tensor *grad = mr_trial_floats(t, NULL, R * IN), *gw = mr_trial_floats(t, dw, OUT * IN);
    const mr_tensor *gb = mr_trial_floats(t, dbias, OUT);
    const mr_tensor *scratch = mr_trial_floats(t, NULL, mr_linear_scratch(t->rt, R, IN, OUT));
    mr_trial_run(t, mr_linear_forward(t->rt, in, weight, mr_trial_floats(t, bias, OUT), out, R, IN, OUT));
    mr_trial_run(t, mr_linear_backward_input(t->rt, upper, weight, grad, R, IN, OUT, false));
    mr_trial_run(t, mr_linear_backward_weight(t->rt, in, upper, gw, gb, scratch, R, IN, OUT));
    mr_ref_linear_forward(x, w, bias, y, R, IN, OUT, OUT);
    mr_ref_linear_backward_input(dy, w, dx, R, IN, OUT, OUT);
    mr_ref_linear_backward_weight(x, dy, dw, dbias, R, IN, OUT, OUT);
    mr_trial_compare(t, out, y, R * OUT);
    mr_trial_compare(t, grad, dx, R * IN);
    mr_trial_compare(t, gw, dw, OUT * IN);
    mr_trial_compare(t, gb, dbias, OUT);
}

/* The embedding's rows in every format. */
void mr_case_embedding_weights(struct mr_trial *t)
{
    enum { B = 3, T = 13, V = 20 };
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        double *w = mr_trial_random(t, V * K, 1), *y = mr_trial_zeros(t, B * T * K);
        int32_t *tokens = mr_trial_integers(t, B * T, 0, V - 1);
        const mr_tensor *out = mr_trial_floats(t, NULL, B * T * K), *wte = mr_trial_weights(t, format, w, V, K);
        mr_trial_run(t, mr_embedding_forward(t->rt, mr_trial_ints(t, tokens, B * T), wte, NULL, out, B, T, K, 0));
        mr_ref_embedding_forward(tokens, w, NULL, y, B, T, K, V, 0);
        mr_trial_compare(t, out, y, B * T * K);
    }
}
