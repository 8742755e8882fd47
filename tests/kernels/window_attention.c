/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel_test.h"

#include <math.h>
#include <string.h>

#include "ops/window_attention.h"
#include "ref/dropout.h"
#include "ref/window_attention.h"

enum { Q, K, V, DY, INPUTS };

/* One shape: separate arrays [B,T,H*D] for the reference, one qkv tensor with gaps between the columns. */
struct sample {
    struct mr_window_attention s;
    size_t n, C, units; /* B*T*C, H*D, B*T*H */
    double *in[INPUTS];
    mr_tensor qkv, dy, scratch;
};

/* Rows of s->stride floats from positions from..from+count-1; the gaps hold NaN, which nobody may read. */
static mr_tensor rows_of(const struct sample *a, int from, int count)
{
    size_t stride = (size_t)a->s.stride, rows = (size_t)(a->s.batch * count);
    const int columns[] = {a->s.q, a->s.k, a->s.v};
    double *x = zeros(rows * stride);
    for (size_t i = 0; i < rows * stride; i++)
        x[i] = NAN;
    for (size_t row = 0; row < rows; row++) {
        size_t source = (row / (size_t)count) * (size_t)a->s.time + (size_t)from + row % (size_t)count;
        for (int m = 0; m < 3; m++)
            memcpy(x + row * stride + columns[m], a->in[m] + source * a->C, a->C * sizeof *x);
    }
    mr_tensor t = upload(x, rows * stride);
    free(x);
    return t;
}

static struct sample sample_of(uint64_t seed, int batch, int time, int heads, int width, int window)
{
    int C = heads * width;
    struct sample a = {.s = {.batch = batch,
                             .time = time,
                             .heads = heads,
                             .width = width,
                             .window = window,
                             .scale = (float)(1 / sqrt(width)),
                             .stride = 3 * C + 5,
                             .q = 1,
                             .k = C + 2,
                             .v = 2 * C + 4}};
    test_case("B %d T %d H %d D %d W %d seed %llu", batch, time, heads, width, window, (unsigned long long)seed);
    a.C = (size_t)C;
    a.n = (size_t)(batch * time) * a.C;
    a.units = (size_t)(batch * time * heads);
    for (int i = 0; i < INPUTS; i++)
        a.in[i] = random_array(seed * 10 + (uint64_t)i, a.n, i == Q ? 2 : 1);
    a.qkv = rows_of(&a, 0, time);
    a.dy = upload(a.in[DY], a.n);
    a.scratch = empty(mr_window_attention_scratch(&a.s));
    return a;
}

static void sample_free(struct sample *a)
{
    for (int i = 0; i < INPUTS; i++)
        free(a->in[i]);
    release(&a->qkv);
    release(&a->dy);
    release(&a->scratch);
}

static void ref_forward(const struct sample *a, double *y, double *lse)
{
    mr_ref_window_attention_forward(a->in[Q], a->in[K], a->in[V], y, lse, a->s.batch, a->s.time, a->s.heads, a->s.width,
                                    a->s.window, a->s.scale, NULL);
}

static void check_forward(uint64_t seed, int batch, int time, int heads, int width, int window)
{
    struct sample a = sample_of(seed, batch, time, heads, width, window);
    double *want = zeros(a.n), *want_lse = zeros(a.units);
    mr_tensor y = empty(a.n), lse = empty(a.units);
    ref_forward(&a, want, want_lse);
    must(mr_window_attention_forward(test_runtime(), &a.s, &a.qkv, NULL, NULL, &y, &lse));
    expect_near("y", &y, want, a.n, 1e-5);
    expect_near("lse", &lse, want_lse, a.units, 1e-5);
    free(want);
    free(want_lse);
    release(&y);
    release(&lse);
    sample_free(&a);
}

/* The q, k or v columns of dqkv against [B*T,C]. */
static void expect_columns(const char *what, const struct sample *a, const double *dqkv, int column, const double *want)
{
    double *got = zeros(a->n);
    for (size_t row = 0; row < a->n / a->C; row++)
        memcpy(got + row * a->C, dqkv + row * (size_t)a->s.stride + column, a->C * sizeof *got);
    expect_near_host(what, got, want, a->n, 2e-5);
    free(got);
}

static void check_backward(uint64_t seed, int batch, int time, int heads, int width, int window)
{
    struct sample a = sample_of(seed, batch, time, heads, width, window);
    size_t all = (size_t)(batch * time * a.s.stride), untouched = 0;
    double *want[3] = {zeros(a.n), zeros(a.n), zeros(a.n)};
    mr_tensor y = empty(a.n), lse = empty(a.units), dqkv = empty(all);
    mr_ref_window_attention_backward(a.in[Q], a.in[K], a.in[V], a.in[DY], want, batch, time, heads, width, window,
                                     a.s.scale, NULL);
    must(mr_window_attention_forward(test_runtime(), &a.s, &a.qkv, NULL, NULL, &y, &lse));
    must(mr_window_attention_backward(test_runtime(), &a.s, &a.qkv, &y, &lse, &a.dy, &dqkv, &a.scratch));
    double *got = download(&dqkv, all);
    expect_columns("dq", &a, got, a.s.q, want[Q]);
    expect_columns("dk", &a, got, a.s.k, want[K]);
    expect_columns("dv", &a, got, a.s.v, want[V]);
    for (size_t i = 0; i < all; i++)
        untouched += isnan(got[i]) != 0;
    assert_int_equal(5 * batch * time, untouched);
    for (int i = 0; i < 3; i++)
        free(want[i]);
    free(got);
    release(&y);
    release(&lse);
    release(&dqkv);
    sample_free(&a);
}

static const int widths[] = {2, 3, 8, 12, 24, 32, 96, 100, 130}; /* each compiles the kernels anew */

static const int shapes[][5] = {
    /* B, T, H, D, W */
    {1, 1, 1, 8, 1},    {2, 70, 2, 8, 1},    {3, 64, 5, 8, 256},  {2, 33, 4, 12, 7},   {1, 150, 3, 24, 40},
    {1, 100, 3, 2, 16}, {2, 65, 2, 3, 64},   {2, 64, 4, 32, 256}, {1, 200, 2, 32, 33}, {1, 1, 2, 96, 5},
    {1, 90, 2, 96, 50}, {1, 300, 1, 96, 64}, {2, 50, 2, 100, 20}, {1, 40, 2, 130, 25}, {1, 130, 1, 12, 1000},
};

static void each_shape(void (*check)(uint64_t, int, int, int, int, int))
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check(100 + i, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4]);
    for (uint64_t i = 0; i < 8; i++) {
        uint64_t seed = 900 + 10 * i;
        check(seed, random_int(seed, 1, 3), random_int(seed + 1, 1, 150), random_int(seed + 2, 1, 5),
              widths[random_int(seed + 3, 0, 8)], random_int(seed + 4, 1, 160));
    }
}

static void test_forward_is_the_sum_over_the_window(void **unused)
{
    (void)unused;
    each_shape(check_forward);
}

static void test_backward_is_the_gradient(void **unused)
{
    (void)unused;
    each_shape(check_backward);
}

static void test_large_scores_do_not_overflow(void **unused)
{
    (void)unused;
    struct sample a = sample_of(1, 1, 50, 2, 8, 20);
    double *want = zeros(a.n);
    mr_tensor y = empty(a.n);
    for (size_t i = 0; i < a.n; i++)
        a.in[Q][i] *= 64; /* scores to some hundreds, whose exponentials are no floats */
    release(&a.qkv);
    a.qkv = rows_of(&a, 0, 50);
    ref_forward(&a, want, NULL);
    must(mr_window_attention_forward(test_runtime(), &a.s, &a.qkv, NULL, NULL, &y, NULL));
    expect_near("y", &y, want, a.n, 1e-4);
    free(want);
    release(&y);
    sample_free(&a);
}

/* y of positions from..from+count-1 against the whole sequence's. */
static void expect_piece(const struct sample *a, const mr_tensor *y, const double *want, int from, int count)
{
    double *piece = zeros(y->count);
    for (size_t b = 0; b < (size_t)a->s.batch; b++)
        memcpy(piece + b * (size_t)count * a->C, want + (b * (size_t)a->s.time + (size_t)from) * a->C,
               (size_t)count * a->C * sizeof *piece);
    expect_near("y of a piece", y, piece, y->count, 2e-5);
    free(piece);
}

/* The sequence in pieces of random lengths up to `longest`, carrying the rings. */
static void check_split(uint64_t seed, int batch, int time, int heads, int width, int window, int longest)
{
    struct sample a = sample_of(seed, batch, time, heads, width, window);
    size_t ring = (size_t)(batch * window) * a.C;
    double *want = zeros(a.n);
    mr_tensor ring_k = empty(ring), ring_v = empty(ring); /* NaN where nothing was appended */
    mr_runtime *rt = test_runtime();
    ref_forward(&a, want, NULL);
    for (int from = 0, count; from < time; from += count) {
        count = random_int(seed + (uint64_t)from, 1, longest);
        count = count < time - from ? count : time - from;
        struct mr_window_attention s = a.s;
        s.time = count;
        s.position = from;
        mr_tensor qkv = rows_of(&a, from, count), y = empty((size_t)(batch * count) * a.C);
        must(mr_window_attention_forward(rt, &s, &qkv, &ring_k, &ring_v, &y, NULL));
        must(mr_window_attention_append(rt, &s, &qkv, &ring_k, &ring_v));
        expect_piece(&a, &y, want, from, count);
        release(&qkv);
        release(&y);
    }
    free(want);
    release(&ring_k);
    release(&ring_v);
    sample_free(&a);
}

static void test_every_width(void **unused)
{
    (void)unused;
    for (int width = 1; test_all_widths() && width <= MR_WINDOW_ATTENTION_WIDTH; width++) {
        check_forward(3000, 1, 5, 2, width, 3);
        check_backward(3001, 1, 5, 2, width, 3);
        check_split(3002, 1, 4, 2, width, 3, 1);
    }
}

static void test_any_split_into_calls_agrees(void **unused)
{
    (void)unused;
    check_split(1, 2, 60, 3, 12, 20, 1);
    check_split(2, 1, 300, 2, 8, 150, 1);
    check_split(3, 2, 150, 2, 24, 40, 100); /* pieces larger than the window */
    check_split(4, 1, 200, 2, 96, 70, 20);
    check_split(5, 1, 90, 3, 3, 7, 5);
    check_split(6, 3, 40, 2, 8, 1, 4);
    check_split(7, 1, 100, 1, 32, 1000, 30);
    check_split(8, 1, 30, 2, 130, 9, 4);
}

static void test_positions_of_millions_wrap_around(void **unused)
{
    (void)unused;
    enum { W = 13, START = 5 * W * 1000000 }; /* slot 0 */
    struct sample a = sample_of(9, 1, 40, 2, 12, W);
    size_t ring = W * a.C;
    double *want = zeros(a.n);
    mr_tensor ring_k = empty(ring), ring_v = empty(ring), y = empty(24);
    mr_runtime *rt = test_runtime();
    struct mr_window_attention s = a.s;
    mr_tensor begin = rows_of(&a, 0, 20);
    ref_forward(&a, want, NULL);
    s.time = 20;
    s.position = START;
    must(mr_window_attention_append(rt, &s, &begin, &ring_k, &ring_v));
    release(&begin);
    s.time = 1;
    for (int t = 20; t < 40; t++) {
        mr_tensor row = rows_of(&a, t, 1);
        s.position = (int64_t)START + t;
        must(mr_window_attention_forward(rt, &s, &row, &ring_k, &ring_v, &y, NULL));
        must(mr_window_attention_append(rt, &s, &row, &ring_k, &ring_v));
        expect_piece(&a, &y, want, t, 1);
        release(&row);
    }
    free(want);
    release(&ring_k);
    release(&ring_v);
    release(&y);
    sample_free(&a);
}

/* ---- the reference against central differences ---------------------------------------------------------------- */

static double ref_loss(void *context)
{
    struct sample *a = context;
    double *y = zeros(a->n), sum = 0;
    ref_forward(a, y, NULL);
    for (size_t i = 0; i < a->n; i++)
        sum += y[i] * a->in[DY][i];
    free(y);
    return sum;
}

static void test_reference_backward_is_the_slope(void **unused)
{
    (void)unused;
    struct sample a = sample_of(11, 2, 9, 2, 5, 4);
    double *d[3] = {zeros(a.n), zeros(a.n), zeros(a.n)};
    mr_ref_window_attention_backward(a.in[Q], a.in[K], a.in[V], a.in[DY], d, 2, 9, 2, 5, 4, a.s.scale, NULL);
    expect_gradient("q", ref_loss, &a, a.in[Q], d[Q], a.n, 1e-6);
    expect_gradient("k", ref_loss, &a, a.in[K], d[K], a.n, 1e-6);
    expect_gradient("v", ref_loss, &a, a.in[V], d[V], a.n, 1e-6);
    for (int i = 0; i < 3; i++)
        free(d[i]);
    sample_free(&a);
}

static void test_backward_is_the_same_bits_again(void **unused)
{
    (void)unused;
    struct sample a = sample_of(12, 2, 140, 3, 24, 50);
    size_t all = (size_t)(2 * 140 * a.s.stride);
    double *first = NULL;
    mr_tensor y = empty(a.n), lse = empty(a.units), dqkv = zeroed(all);
    must(mr_window_attention_forward(test_runtime(), &a.s, &a.qkv, NULL, NULL, &y, &lse));
    for (int round = 0; round < 2; round++) {
        must(mr_window_attention_backward(test_runtime(), &a.s, &a.qkv, &y, &lse, &a.dy, &dqkv, &a.scratch));
        if (round == 0)
            first = download(&dqkv, all);
        else
            expect_near("second run", &dqkv, first, all, 0);
    }
    free(first);
    release(&y);
    release(&lse);
    release(&dqkv);
    sample_free(&a);
}

/* The factors [B,H,T,T] that the mask of `d` gives. */
static double *factors_of(const struct mr_dropout *d, const struct mr_window_attention *s)
{
    size_t T = (size_t)s->time, rows = (size_t)(s->batch * s->heads) * T, n = 32 * mr_window_attention_kept(s),
           row = n / rows;
    double *ones = random_uniform(1, n, 1, 1), *drawn = zeros(n), *factor = zeros(rows * T);
    mr_ref_dropout((double)d->p, d->seed, d->step, d->site, ones, drawn, n);
    for (size_t i = 0; i < rows; i++)
        memcpy(factor + i * T, drawn + i * row, T * sizeof *factor);
    free(ones), free(drawn);
    return factor;
}

static void check_dropout(uint64_t seed, int batch, int time, int heads, int width, int window)
{
    const struct mr_dropout d = {.p = 0.3f, .seed = seed, .step = 5, .site = 9};
    struct sample a = sample_of(seed, batch, time, heads, width, window);
    mr_tensor kept = empty(mr_window_attention_kept(&a.s)), y = empty(a.n), lse = empty(a.units);
    mr_tensor dqkv = empty((size_t)(batch * time * a.s.stride));
    a.s.dropout = &d;
    a.s.kept = &kept;
    double *factor = factors_of(&d, &a.s), *want = zeros(a.n), *w[3] = {zeros(a.n), zeros(a.n), zeros(a.n)};
    must(mr_window_attention_forward(test_runtime(), &a.s, &a.qkv, NULL, NULL, &y, &lse));
    mr_ref_window_attention_forward(a.in[Q], a.in[K], a.in[V], want, NULL, batch, time, heads, width, window, a.s.scale,
                                    factor);
    expect_near("y", &y, want, a.n, 1e-5);
    must(mr_window_attention_backward(test_runtime(), &a.s, &a.qkv, &y, &lse, &a.dy, &dqkv, &a.scratch));
    mr_ref_window_attention_backward(a.in[Q], a.in[K], a.in[V], a.in[DY], w, batch, time, heads, width, window,
                                     a.s.scale, factor);
    double *got = download(&dqkv, (size_t)(batch * time * a.s.stride));
    expect_columns("dq", &a, got, a.s.q, w[Q]);
    expect_columns("dk", &a, got, a.s.k, w[K]);
    expect_columns("dv", &a, got, a.s.v, w[V]);
    free(factor), free(want), free(got), free(w[Q]), free(w[K]), free(w[V]);
    release(&kept), release(&y), release(&lse), release(&dqkv);
    sample_free(&a);
}

static void test_dropout_of_the_weights(void **state)
{
    (void)state;
    check_dropout(test_seed() + 700, 2, 67, 3, 12, 67);
    check_dropout(test_seed() + 701, 1, 1, 1, 12, 1);
    check_dropout(test_seed() + 702, 3, 33, 2, 12, 9);
    check_dropout(test_seed() + 703, 1, 130, 2, 96, 130);
}

/* The reference's gradient with dropout, by central differences of its forward. */
static void test_reference_gradient_with_dropout(void **state)
{
    (void)state;
    enum { B = 1, T = 7, H = 2, D = 3, W = 7 };
    const struct mr_dropout d = {.p = 0.4f, .seed = 3, .step = 1, .site = 2};
    struct sample a = sample_of(test_seed() + 710, B, T, H, D, W);
    double *factor = factors_of(&d, &a.s), *g[3] = {zeros(a.n), zeros(a.n), zeros(a.n)}, *y = zeros(a.n);
    mr_ref_window_attention_backward(a.in[Q], a.in[K], a.in[V], a.in[DY], g, B, T, H, D, W, a.s.scale, factor);
    for (int m = 0; m < 3; m++)
        for (size_t i = 0; i < a.n; i++) {
            double kept = a.in[m][i], loss[2] = {0, 0};
            for (int side = 0; side < 2; side++) {
                a.in[m][i] = kept + (side ? 1e-5 : -1e-5);
                mr_ref_window_attention_forward(a.in[Q], a.in[K], a.in[V], y, NULL, B, T, H, D, W, a.s.scale, factor);
                for (size_t j = 0; j < a.n; j++)
                    loss[side] += y[j] * a.in[DY][j];
            }
            a.in[m][i] = kept;
            double slope = (loss[1] - loss[0]) / 2e-5;
            if (fabs(slope - g[m][i]) > 1e-6 * (1 + fabs(slope)))
                fail_msg("input %d, element %zu: %.9g, by differences %.9g", m, i, g[m][i], slope);
        }
    free(factor), free(y), free(g[Q]), free(g[K]), free(g[V]);
    sample_free(&a);
}

static void test_wrong_arguments_are_refused(void **unused)
{
    (void)unused;
    struct sample a = sample_of(13, 1, 4, 2, 8, 3);
    mr_tensor y = empty(a.n), ring = empty(3 * a.C);
    mr_runtime *rt = test_runtime();
    struct mr_window_attention s = a.s;
    s.time = 5; /* larger than the tensors */
    assert_int_equal(MR_EINVAL, mr_window_attention_forward(rt, &s, &a.qkv, NULL, NULL, &y, NULL));
    s = a.s;
    s.v = s.stride - 1;
    assert_int_equal(MR_EINVAL, mr_window_attention_forward(rt, &s, &a.qkv, NULL, NULL, &y, NULL));
    s = a.s;
    s.width = MR_WINDOW_ATTENTION_WIDTH + 1;
    assert_int_equal(MR_EINVAL, mr_window_attention_forward(rt, &s, &a.qkv, NULL, NULL, &y, NULL));
    assert_int_equal(MR_EINVAL, mr_window_attention_forward(rt, &a.s, &a.qkv, &ring, NULL, &y, NULL));
    release(&y);
    release(&ring);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_is_the_sum_over_the_window),
        cmocka_unit_test(test_backward_is_the_gradient),
        cmocka_unit_test(test_every_width),
        cmocka_unit_test(test_large_scores_do_not_overflow),
        cmocka_unit_test(test_any_split_into_calls_agrees),
        cmocka_unit_test(test_positions_of_millions_wrap_around),
        cmocka_unit_test(test_reference_backward_is_the_slope),
        cmocka_unit_test(test_backward_is_the_same_bits_again),
        cmocka_unit_test(test_dropout_of_the_weights),
        cmocka_unit_test(test_reference_gradient_with_dropout),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
