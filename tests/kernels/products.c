/* SPDX-License-Identifier: GPL-3.0-or-later
 * Products with epilogues, several in one launch, against the reference. */
#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/products.h"
#include "ref/products.h"

/* One product with all that it needs; `apart`: places that are not tight, with numbers between that must stay. */
struct one {
    struct mr_product p;
    struct mr_ref_product ref;
    mr_tensor x, w, bias, y, gate, add;
    double *x_all, *y_all;
};

static void copy_rows(const double *from, size_t offset, size_t ld, double *to, size_t rows, size_t width)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * width, from + offset + r * ld, width * sizeof *to);
}

enum extra { WITH_BIAS = 1, WITH_GATE = 2, WITH_ADD = 4, PLACED = 8, TRANSPOSED = 16 };

static struct one *make(uint64_t seed, enum mr_element format, int rows, int n, int k, int extra, int act)
{
    struct one *o = calloc(1, sizeof *o);
    size_t R = (size_t)rows, N = (size_t)n, K = (size_t)k, apart = extra & PLACED ? 3 : 0;
    size_t ldx = K + apart, ldy = N + 2 * apart, in_x = 5 * apart + R * ldx, in_y = apart + R * ldy;
    o->x_all = random_array(seed, in_x, 1);
    o->y_all = random_array(seed + 1, in_y, 1);
    double *w = random_array(seed + 2, N * K, 1 / sqrt(k)), *bias = random_array(seed + 3, N, 1);
    double *gate = random_array(seed + 4, in_y, 1), *add = random_array(seed + 5, in_y, 1);
    bool transposed = extra & TRANSPOSED;
    o->x = upload(o->x_all, in_x), o->y = upload(o->y_all, in_y), o->bias = upload(bias, N);
    o->gate = upload(gate, in_y), o->add = upload(add, in_y);
    o->w = transposed || format == MR_F32 ? upload(w, N * K) : upload_weights(format, w, N, K);
    o->p = (struct mr_product){.x = &o->x,
                               .w = &o->w,
                               .y = &o->y,
                               .n = n,
                               .k = k,
                               .transposed = transposed,
                               .act = (enum mr_activation)act,
                               .offset_x = 5 * apart,
                               .offset_y = apart,
                               .offset_gate = apart,
                               .offset_add = apart,
                               .ldx = apart ? (int)ldx : 0,
                               .ldy = apart ? (int)ldy : 0,
                               .ld_gate = apart ? (int)ldy : 0,
                               .ld_add = apart ? (int)ldy : 0};
    o->ref = (struct mr_ref_product){.w = w, .rows = rows, .n = n, .k = k, .transposed = transposed, .act = act};
    double *x = zeros(R * K);
    copy_rows(o->x_all, 5 * apart, ldx, x, R, K);
    o->ref.x = x;
    o->ref.y = zeros(R * N);
    if (extra & WITH_BIAS)
        o->p.bias = &o->bias, o->ref.bias = bias;
    else
        free(bias);
    double *tight[2] = {zeros(R * N), zeros(R * N)};
    copy_rows(gate, apart, ldy, tight[0], R, N);
    copy_rows(add, apart, ldy, tight[1], R, N);
    if (extra & WITH_GATE)
        o->p.gate = &o->gate, o->ref.gate = tight[0];
    else
        free(tight[0]);
    if (extra & WITH_ADD)
        o->p.add = &o->add, o->ref.add = tight[1];
    else
        free(tight[1]);
    free(gate), free(add);
    return o;
}

/* Compares y, with what lies between, and frees. */
static void check(struct one *o)
{
    size_t R = (size_t)o->ref.rows, N = (size_t)o->ref.n, ldy = o->p.ldy ? (size_t)o->p.ldy : N;
    mr_ref_product(&o->ref);
    for (size_t r = 0; r < R; r++)
        memcpy(o->y_all + o->p.offset_y + r * ldy, o->ref.y + r * N, N * sizeof(double));
    expect_near("y and what lies between", &o->y, o->y_all, o->p.offset_y + R * ldy, 3e-6);
    release(&o->x), release(&o->w), release(&o->bias), release(&o->y), release(&o->gate), release(&o->add);
    free((void *)o->ref.x), free((void *)o->ref.w), free((void *)o->ref.bias), free((void *)o->ref.gate);
    free((void *)o->ref.add), free(o->ref.y), free(o->x_all), free(o->y_all), free(o);
}

static int whole(enum mr_element format, int k)
{
    int block = (int)mr_element_block(format);
    return (k + block - 1) / block * block;
}

static enum mr_element next_format(enum mr_element format)
{
    return format == MR_F32 ? MR_F16 : format + 1;
}

static void test_one_product_in_every_format(void **state)
{
    (void)state;
    static const int rows[] = {1, 2, 5, 16, 64};
    for (enum mr_element format = MR_F32; format < MR_ELEMENTS; format = next_format(format))
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            uint64_t seed = 100 * (uint64_t)i;
            int n = random_int(seed, 1, 200), k = whole(format, random_int(seed + 1, 1, 150)), extra = (int)i * 3 % 16;
            test_case("one product, %s, %d rows, %d x %d, extra %d, seed %llu", mr_element_name(format), rows[i], n, k,
                      extra, (unsigned long long)test_seed());
            struct one *o = make(seed + 2, format, rows[i], n, k, extra, (int)(i + format) % MR_ACTS);
            must(mr_products(test_runtime(), &o->p, 1, rows[i]));
            check(o);
        }
}

static void test_every_activation_and_epilogue(void **state)
{
    (void)state;
    for (int act = 0; act < MR_ACTS; act++)
        for (int extra = 0; extra < 16; extra++) {
            test_case("activation %d, extra %d", act, extra);
            struct one *o = make(7, MR_Q8_0, 3, 50, 64, extra, act);
            must(mr_products(test_runtime(), &o->p, 1, 3));
            check(o);
        }
}

static void test_transposed_matrices(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {64, 2048}, {768, 32}, {65, 100}, {5, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int rows = 1; rows < 70; rows += 7) {
            test_case("transposed, %d rows, %d x %d", rows, sizes[i][0], sizes[i][1]);
            if (rows > MR_MOST_PRODUCT_ROWS)
                break;
            struct one *o = make(9, MR_F32, rows, sizes[i][0], sizes[i][1], TRANSPOSED | (int)i * 5 % 16, MR_ACT_TANH);
            must(mr_products(test_runtime(), &o->p, 1, rows));
            check(o);
        }
}

/* 1 to 8 products of different sizes, formats mixed, some transposed */
static void test_lists(void **state)
{
    (void)state;
    for (int round = 0; round < 16; round++) {
        int count = round % MR_MOST_PRODUCTS + 1, rows = round < 8 ? 1 : round < 12 ? 3 : 4;
        struct one *o[MR_MOST_PRODUCTS];
        struct mr_product list[MR_MOST_PRODUCTS];
        test_case("list of %d products, %d rows, round %d, seed %llu", count, rows, round,
                  (unsigned long long)test_seed());
        for (int i = 0; i < count; i++) {
            uint64_t seed = 1000 * (uint64_t)(round + 1) + 50 * (uint64_t)i;
            enum mr_element format = round % 8 < 6 ? MR_Q5_1 : i % 3 == 1 ? MR_F16 : i % 3 == 2 ? MR_F32 : MR_Q4_0;
            int extra = random_int(seed, 0, 15) | (i % 4 == 3 ? TRANSPOSED : 0);
            o[i] = make(seed + 1, format, rows, random_int(seed + 2, 1, 300), 32 * random_int(seed + 3, 1, 5), extra,
                        random_int(seed + 4, 0, MR_ACTS - 1));
            list[i] = o[i]->p;
        }
        must(mr_products(test_runtime(), list, count, rows));
        for (int i = 0; i < count; i++)
            check(o[i]);
    }
}

/* A row's bits are those of the row alone, also among other products. */
static void test_rows_do_not_depend_on_each_other(void **state)
{
    (void)state;
    enum { MOST = MR_MOST_PRODUCT_ROWS, N = 77, K = 160 };
    static const int counts[] = {2, 3, 7, 8, 16, 33, MOST};
    for (enum mr_element format = MR_F32; format < MR_ELEMENTS; format = next_format(format))
        for (int transposed = 0; transposed <= (format == MR_F32); transposed++) {
            test_case("rows with %s alone and together, transposed %d", mr_element_name(format), transposed);
            double *alone[MOST];
            struct one *o = make(5, format, MOST, N, K, WITH_BIAS | WITH_GATE | WITH_ADD | TRANSPOSED * transposed, 2);
            for (int row = 0; row < MOST; row++) {
                struct mr_product p = o->p;
                p.offset_x = (size_t)row * K;
                p.offset_y = p.offset_gate = p.offset_add = (size_t)row * N;
                must(mr_products(test_runtime(), &p, 1, 1));
                double *y = download(&o->y, MOST * N);
                alone[row] = malloc(N * sizeof(double));
                memcpy(alone[row], y + row * N, N * sizeof *y);
                free(y);
            }
            mr_tensor other = zeroed(MOST * N);
            for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
                struct mr_product list[2] = {o->p, o->p};
                list[1].y = &other;
                must(mr_products(test_runtime(), list, format == MR_Q8_0 ? 2 : 1, counts[i]));
                double *y = download(&o->y, MOST * N);
                for (int row = 0; row < counts[i]; row++)
                    assert_memory_equal(y + row * N, alone[row], N * sizeof *y);
                free(y);
            }
            for (int row = 0; row < MOST; row++)
                free(alone[row]);
            release(&other);
            check(o);
        }
}

static void test_y_may_be_added_to(void **state)
{
    (void)state;
    test_case("add is y");
    struct one *o = make(3, MR_BF16, 2, 40, 64, WITH_ADD, 0);
    double *before = download(&o->y, 80);
    memcpy((double *)o->ref.add, before, 80 * sizeof *before);
    o->p.add = &o->y;
    must(mr_products(test_runtime(), &o->p, 1, 2));
    check(o);
    free(before);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    test_case("products, wrong sizes");
    struct one *o = make(3, MR_Q4_1, 2, 40, 64, WITH_ADD | WITH_GATE | WITH_BIAS, 0);
    struct mr_product p[9] = {o->p, o->p, o->p, o->p, o->p, o->p, o->p, o->p, o->p};
    p[0].n = 41;
    p[1].k = 65;
    p[2].offset_x = 1;
    p[3].ldy = 39;
    p[4].transposed = true;
    p[5].act = MR_ACTS;
    p[6].ld_gate = 41;
    p[7].offset_w = 64;
    p[8].w = NULL;
    for (size_t i = 0; i < sizeof p / sizeof p[0]; i++)
        assert_int_equal(mr_products(rt, &p[i], 1, 2), MR_EINVAL);
    assert_int_equal(mr_products(rt, &o->p, 0, 2), MR_EINVAL);
    assert_int_equal(mr_products(rt, &o->p, 9, 2), MR_EINVAL);
    assert_int_equal(mr_products(rt, &o->p, 1, 65), MR_EINVAL);
    must(mr_products(rt, &o->p, 1, 2));
    check(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_product_in_every_format),
        cmocka_unit_test(test_every_activation_and_epilogue),
        cmocka_unit_test(test_transposed_matrices),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_rows_do_not_depend_on_each_other),
        cmocka_unit_test(test_y_may_be_added_to),
        cmocka_unit_test(test_what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
