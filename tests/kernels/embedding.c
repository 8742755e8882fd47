/* SPDX-License-Identifier: GPL-3.0-or-later
 * Embedding against the reference: every row, both tables, tokens that repeat or do not exist. */
#include <string.h>

#include "kernel_test.h"
#include "ops/embedding.h"
#include "ref/embedding.h"

struct shape {
    int B, T, C, V, P, pos;
};

static struct shape random_shape(int round)
{
    uint64_t seed = 10 * (uint64_t)round;
    struct shape s = {.B = random_int(seed, 1, 5),
                      .T = random_int(seed + 1, 1, 40),
                      .C = random_int(seed + 2, 1, 150),
                      .V = random_int(seed + 3, 1, 90)};
    if (round == 0)
        s = (struct shape){.B = 1, .T = 1, .C = 1, .V = 1};
    if (round == 1)
        s.C = 768;
    s.pos = random_int(seed + 4, 0, 20);
    s.P = s.T + s.pos + random_int(seed + 5, 0, 2);
    test_case("embedding: B %d T %d C %d V %d P %d pos %d, seed %llu", s.B, s.T, s.C, s.V, s.P, s.pos,
              (unsigned long long)test_seed());
    return s;
}

static void test_forward(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct shape s = random_shape(round);
        size_t R = (size_t)s.B * (size_t)s.T, n = R * (size_t)s.C;
        size_t in_wte = (size_t)s.V * (size_t)s.C, in_wpe = (size_t)s.P * (size_t)s.C;
        int32_t *tokens = random_integers(1, R, 0, s.V - 1);
        double *wte = random_array(2, in_wte, 1), *wpe = random_array(3, in_wpe, 1), *y = zeros(n);
        if (R > 2)
            tokens[1] = -1, tokens[2] = s.V; /* zeros, and nothing outside the table is read */
        mr_tensor tt = upload_i32(tokens, R), te = upload(wte, in_wte), tp = upload(wpe, in_wpe), ty = empty(n);
        must(mr_embedding_forward(test_runtime(), &tt, &te, &tp, &ty, s.B, s.T, s.C, s.pos));
        mr_ref_embedding_forward(tokens, wte, wpe, y, s.B, s.T, s.C, s.V, s.pos);
        expect_near("y", &ty, y, n, 1e-6);
        must(mr_embedding_forward(test_runtime(), &tt, &te, NULL, &ty, s.B, s.T, s.C, s.pos));
        mr_ref_embedding_forward(tokens, wte, NULL, y, s.B, s.T, s.C, s.V, s.pos);
        expect_near("y without positions", &ty, y, n, 1e-6);
        release(&tt), release(&te), release(&tp), release(&ty);
        free(tokens), free(wte), free(wpe), free(y);
    }
}

static void test_tables_in_every_format(void **state)
{
    (void)state;
    enum { R = 40, C = 96, V = 83 };
    int32_t *tokens = random_integers(1, R, 0, V - 1);
    tokens[3] = -1, tokens[4] = V, tokens[5] = V - 1;
    mr_tensor tt = upload_i32(tokens, R), ty = empty(R * C);
    for (enum mr_element format = MR_F16; format < MR_ELEMENTS; format++) {
        test_case("embedding from %s", mr_element_name(format));
        double *wte = random_array(2, V * C, 1), *wpe = random_array(3, R * C, 1), *y = zeros(R * C);
        mr_tensor te = upload_weights(format, wte, V, C), tp = upload(wpe, R * C);
        must(mr_embedding_forward(test_runtime(), &tt, &te, &tp, &ty, 1, R, C, 0));
        mr_ref_embedding_forward(tokens, wte, wpe, y, 1, R, C, V, 0);
        expect_near("y", &ty, y, R * C, 1e-6);
        must(mr_embedding_forward(test_runtime(), &tt, &te, NULL, &ty, 1, R, C, 0));
        mr_ref_embedding_forward(tokens, wte, NULL, y, 1, R, C, V, 0);
        expect_near("y without positions", &ty, y, R * C, 1e-7);
        release(&te), release(&tp);
        free(wte), free(wpe), free(y);
    }
    test_case("embedding from q8_0 with rows that are no whole blocks");
    double *wte = random_array(2, V * C, 1);
    mr_tensor te = upload_weights(MR_Q8_0, wte, V, C);
    assert_int_equal(mr_embedding_forward(test_runtime(), &tt, &te, NULL, &ty, 1, R, C / 2, 0), MR_EINVAL);
    release(&tt), release(&ty), release(&te);
    free(tokens), free(wte);
}

static void test_backward(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct shape s = random_shape(round);
        size_t R = (size_t)s.B * (size_t)s.T, n = R * (size_t)s.C;
        size_t in_wte = (size_t)s.V * (size_t)s.C, in_wpe = (size_t)s.P * (size_t)s.C;
        int32_t *tokens = random_integers(1, R, 0, round % 3 ? s.V - 1 : s.V / 8), *order = malloc(R * sizeof *order);
        int32_t *first = malloc((R + 1) * sizeof *first);
        if (R > 2)
            tokens[1] = -1, tokens[2] = s.V; /* no row of the table gets them */
        double *dy = random_array(2, n, 1), *dwte = random_array(3, in_wte, 1), *dwpe = random_array(4, in_wpe, 1);
        int unique;
        must(mr_embedding_order(tokens, (int)R, order, first, &unique));
        mr_tensor tt = upload_i32(tokens, R), to = upload_i32(order, R), tf = upload_i32(first, R + 1);
        mr_tensor tdy = upload(dy, n), tdwte = upload(dwte, in_wte), tdwpe = upload(dwpe, in_wpe);
        must(mr_embedding_backward(test_runtime(), &to, &tf, unique, &tt, &tdy, &tdwte, (int)R, s.C));
        int pos = round % 2 ? s.P - s.T : 0;
        must(mr_position_backward(test_runtime(), &tdy, &tdwpe, s.B, s.T, s.C, pos));
        mr_ref_embedding_backward(tokens, dy, dwte, dwpe + (size_t)pos * (size_t)s.C, s.B, s.T, s.C, s.V);
        expect_near("dwte", &tdwte, dwte, in_wte, 1e-5);
        expect_near("dwpe", &tdwpe, dwpe, in_wpe, 1e-5);
        release(&tt), release(&to), release(&tf), release(&tdy), release(&tdwte), release(&tdwpe);
        free(tokens), free(order), free(first), free(dy), free(dwte), free(dwpe);
    }
}

static void test_order_groups_equal_tokens_by_row(void **state)
{
    (void)state;
    const int32_t tokens[] = {7, 3, 7, 0, 3, 3}, wanted[] = {3, 1, 4, 5, 0, 2}, starts[] = {0, 1, 4, 6};
    int32_t order[6], first[7];
    int unique;
    must(mr_embedding_order(tokens, 6, order, first, &unique));
    assert_int_equal(unique, 3);
    assert_memory_equal(order, wanted, sizeof wanted);
    assert_memory_equal(first, starts, sizeof starts);
}

struct gradient_case {
    struct shape s;
    const int32_t *tokens;
    const double *dy;
    double *wte, *wpe, *y;
};

static double loss(void *context)
{
    struct gradient_case *c = context;
    double sum = 0;
    mr_ref_embedding_forward(c->tokens, c->wte, c->wpe, c->y, c->s.B, c->s.T, c->s.C, c->s.V, 0);
    for (int i = 0; i < c->s.B * c->s.T * c->s.C; i++)
        sum += c->y[i] * c->dy[i];
    return sum;
}

static void test_reference_gradient(void **state)
{
    (void)state;
    struct shape s = {.B = 2, .T = 5, .C = 3, .V = 4, .P = 5};
    test_case("embedding reference");
    int32_t *tokens = random_integers(1, 10, 0, 3);
    double *dy = random_array(2, 30, 1), *dwte = zeros(12), *dwpe = zeros(15);
    struct gradient_case c = {s, tokens, dy, random_array(3, 12, 1), random_array(4, 15, 1), zeros(30)};
    mr_ref_embedding_backward(tokens, dy, dwte, dwpe, s.B, s.T, s.C, s.V);
    expect_gradient("dwte", loss, &c, c.wte, dwte, 12, 1e-6);
    expect_gradient("dwpe", loss, &c, c.wpe, dwpe, 15, 1e-6);
    free(tokens), free(dy), free(dwte), free(dwpe), free(c.wte), free(c.wpe), free(c.y);
}

static void test_positions_beyond_the_table_are_refused(void **state)
{
    (void)state;
    int32_t tokens[4] = {0};
    mr_tensor t = upload_i32(tokens, 4), wte = zeroed(8), wpe = zeroed(8), y = zeroed(8);
    assert_int_equal(mr_embedding_forward(test_runtime(), &t, &wte, &wpe, &y, 1, 4, 2, 1), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "wpe"));
    assert_int_equal(mr_embedding_forward(test_runtime(), &t, &wte, NULL, &y, 1, 4, 2, -1), MR_EINVAL);
    assert_int_equal(mr_embedding_forward(test_runtime(), &wte, &wte, NULL, &y, 1, 4, 2, 0), MR_EINVAL);
    release(&t), release(&wte), release(&wpe), release(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_tables_in_every_format),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_order_groups_equal_tokens_by_row),
        cmocka_unit_test(test_reference_gradient),
        cmocka_unit_test(test_positions_beyond_the_table_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
