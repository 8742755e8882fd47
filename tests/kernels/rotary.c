/* SPDX-License-Identifier: GPL-3.0-or-later
 * Rotary positions against the reference: texts from a position on, rows each at its own, and back. */
#include "kernel_test.h"
#include "ops/rotary.h"
#include "ref/rotary.h"

enum { PLACES = 90 };
static const double base = 10000;

struct one {
    struct mr_rotary s;
    size_t n;
    int32_t *positions;
    double *x, *y;
    mr_tensor dx, dy, table, at;
};

static struct one make(uint64_t seed, int batch, int time, int heads, int width, int turned, int first)
{
    struct one o = {.s = {.rows = batch * time,
                          .heads = heads,
                          .width = width,
                          .turned = turned,
                          .time = time,
                          .first = first,
                          .places = PLACES}};
    test_case("rotary: %d x %d rows, %d heads of %d, %d turned, from %d on, seed %llu", batch, time, heads, width,
              turned, first, (unsigned long long)seed);
    o.n = 3 * (size_t)o.s.rows * (size_t)(heads * width);
    o.positions = random_integers(seed + 1, (size_t)o.s.rows, 0, PLACES - 1);
    o.x = random_array(seed, o.n, 1), o.y = zeros(o.n);
    o.dx = upload(o.x, o.n), o.dy = empty(o.n), o.table = empty((size_t)PLACES * (size_t)turned);
    o.at = upload_i32(o.positions, (size_t)o.s.rows);
    must(mr_rotary_table(test_runtime(), &o.table, PLACES, turned, base));
    return o;
}

static void finish(struct one *o)
{
    release(&o->dx), release(&o->dy), release(&o->table), release(&o->at);
    free(o->x), free(o->y), free(o->positions);
}

static const int shapes[][6] = {{1, 1, 1, 2, 2, 0},  {2, 5, 3, 8, 4, 0},    {1, 37, 4, 64, 16, 53},
                                {3, 7, 2, 5, 2, 11}, {1, 90, 2, 80, 20, 0}, {2, 4, 3, 33, 32, 80}};
#define SHAPES (test_small() ? 4 : sizeof shapes / sizeof *shapes)
#define MAKE(i) \
    make(test_seed() + (i), shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4], shapes[i][5])

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct one o = MAKE(i);
        for (int r = 0; r < o.s.rows; r++)
            o.positions[r] = o.s.first + r % o.s.time;
        o.s.table = &o.table;
        must(mr_rotary_forward(test_runtime(), &o.s, &o.dx, &o.dy));
        mr_ref_rotary_forward(o.x, o.positions, o.y, o.s.rows, o.s.heads, o.s.width, o.s.turned, base);
        expect_near("y", &o.dy, o.y, o.n, 1e-5);
        finish(&o);
    }
}

static void test_rows_at_their_own_positions(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct one o = MAKE(i);
        o.s.table = &o.table;
        o.s.positions = &o.at;
        must(mr_rotary_forward(test_runtime(), &o.s, &o.dx, &o.dy));
        mr_ref_rotary_forward(o.x, o.positions, o.y, o.s.rows, o.s.heads, o.s.width, o.s.turned, base);
        expect_near("y", &o.dy, o.y, o.n, 1e-5);
        finish(&o);
    }
}

static void test_backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        struct one o = MAKE(i);
        for (int r = 0; r < o.s.rows; r++)
            o.positions[r] = r % o.s.time;
        o.s.table = &o.table;
        o.s.first = 0;
        must(mr_rotary_backward(test_runtime(), &o.s, &o.dx, &o.dy));
        mr_ref_rotary_backward(o.x, o.positions, o.y, o.s.rows, o.s.heads, o.s.width, o.s.turned, base);
        expect_near("dx", &o.dy, o.y, o.n, 1e-5);
        finish(&o);
    }
}

enum { ROWS = 4, HEADS = 2, WIDTH = 5, TURNED = 4, N = 3 * ROWS * HEADS * WIDTH };
struct gradient_case {
    double *x;
    const double *dy;
    const int32_t *positions;
};

static double loss_of(void *context)
{
    struct gradient_case *c = context;
    double y[N], sum = 0;
    mr_ref_rotary_forward(c->x, c->positions, y, ROWS, HEADS, WIDTH, TURNED, base);
    for (int i = 0; i < N; i++)
        sum += y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    double *x = random_array(5, N, 2), *dy = random_array(6, N, 1), dx[N];
    int32_t *positions = random_integers(7, ROWS, 0, PLACES);
    struct gradient_case c = {x, dy, positions};
    mr_ref_rotary_backward(dy, positions, dx, ROWS, HEADS, WIDTH, TURNED, base);
    expect_gradient("rotary", loss_of, &c, x, dx, N, 1e-6);
    free(x), free(dy), free(positions);
}

static void test_wrong_shapes_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    struct one o = make(3, 2, 5, 3, 8, 4, 0);
    o.s.table = &o.table;
    struct mr_rotary odd = o.s, wide = o.s, late = o.s, many = o.s;
    odd.turned = 3, wide.turned = 10, late.first = PLACES - 4, many.rows = 15;
    assert_int_equal(mr_rotary_forward(rt, &odd, &o.dx, &o.dy), MR_EINVAL);
    assert_int_equal(mr_rotary_forward(rt, &wide, &o.dx, &o.dy), MR_EINVAL);
    assert_int_equal(mr_rotary_forward(rt, &late, &o.dx, &o.dy), MR_EINVAL);
    assert_int_equal(mr_rotary_forward(rt, &many, &o.dx, &o.dy), MR_EINVAL);
    o.s.positions = &o.at;
    assert_int_equal(mr_rotary_backward(rt, &o.s, &o.dx, &o.dy), MR_EINVAL);
    finish(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_rows_at_their_own_positions),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
