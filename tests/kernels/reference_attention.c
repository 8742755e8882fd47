/* SPDX-License-Identifier: GPL-3.0-or-later
 * The two attentions of the reference mode against the plain reinterpretations of src/ref/. */
#include "kernel_test.h"

#include "ops/reference_attention.h"
#include "ref/reference_attention.h"

typedef int forward_op(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *in, const mr_tensor *y,
                       const mr_tensor *kept, const mr_tensor *scratch);
typedef int backward_op(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *in,
                        const mr_tensor *kept, const mr_tensor *dy, const mr_tensor *din, const mr_tensor *scratch);
typedef void forward_ref(const double *in, double *y, int batch, int time, int heads, int dim);
typedef void backward_ref(const double *in, const double *dy, double *din, int batch, int time, int heads, int dim);

/* One of the two attentions, with `parts` numbers in for each out. */
struct kind {
    const char *name;
    int parts;
    size_t (*kept)(const struct mr_reference_attention *s);
    size_t (*scratch)(const struct mr_reference_attention *s);
    forward_op *forward;
    backward_op *backward;
    forward_ref *ref_forward;
    backward_ref *ref_backward;
};

static size_t sliding_scratch(const struct mr_reference_attention *s)
{
    return mr_reference_sliding_scratch(s, true);
}

static int grouped_forward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *in,
                           const mr_tensor *y, const mr_tensor *kept, const mr_tensor *scratch)
{
    (void)scratch;
    return mr_reference_grouped_forward(rt, s, in, y, kept);
}

static const struct kind sliding = {
    "sliding",
    3,
    mr_reference_sliding_kept,
    sliding_scratch,
    mr_reference_sliding_forward,
    mr_reference_sliding_backward,
    mr_ref_reference_sliding_forward,
    mr_ref_reference_sliding_backward,
};
static const struct kind grouped = {
    "grouped",
    4,
    mr_reference_grouped_kept,
    mr_reference_grouped_scratch,
    grouped_forward,
    mr_reference_grouped_backward,
    mr_ref_reference_grouped_forward,
    mr_ref_reference_grouped_backward,
};

struct sample {
    const struct kind *kind;
    struct mr_reference_attention s;
    size_t in_count, out_count;
    double *in, *dy, *y;
};

static struct sample sample_of(const struct kind *kind, struct mr_reference_attention s, double scale)
{
    struct sample a = {.kind = kind, .s = s};
    test_case("%s: B %d T %d H %d C %d", kind->name, s.batch, s.time, s.heads, s.dim);
    a.out_count = (size_t)s.batch * (size_t)s.time * (size_t)s.dim;
    a.in_count = a.out_count * (size_t)kind->parts;
    a.in = random_array(1, a.in_count, scale);
    a.dy = random_array(2, a.out_count, 1);
    a.y = zeros(a.out_count);
    return a;
}

static void sample_free(struct sample *a)
{
    free(a->in), free(a->dy), free(a->y);
}

static void ref_forward(const struct sample *a)
{
    a->kind->ref_forward(a->in, a->y, a->s.batch, a->s.time, a->s.heads, a->s.dim);
}

static void ref_backward(const struct sample *a, double *din)
{
    a->kind->ref_backward(a->in, a->dy, din, a->s.batch, a->s.time, a->s.heads, a->s.dim);
}

static void check(const struct kind *kind, struct mr_reference_attention s, bool backward)
{
    struct sample a = sample_of(kind, s, 1);
    mr_runtime *rt = test_runtime();
    mr_tensor in = upload(a.in, a.in_count), y = empty(a.out_count);
    mr_tensor kept = empty(kind->kept(&s)), scratch = empty(kind->scratch(&s));
    must(kind->forward(rt, &s, &in, &y, &kept, &scratch));
    if (!backward) {
        ref_forward(&a);
        expect_near("y", &y, a.y, a.out_count, 1e-5);
    } else {
        double *want = zeros(a.in_count);
        mr_tensor dy = upload(a.dy, a.out_count), din = empty(a.in_count);
        ref_backward(&a, want);
        release(&scratch);
        scratch = empty(kind->scratch(&s)); /* nothing of forward's may be needed */
        must(kind->backward(rt, &s, &in, &kept, &dy, &din, &scratch));
        expect_near("gradient", &din, want, a.in_count, 1e-5);
        release(&dy), release(&din);
        free(want);
    }
    release(&in), release(&y), release(&kept), release(&scratch);
    sample_free(&a);
}

/* Around 256 positions, where padding ends and a row begins to hold several; times that leave a row half
 * full. */
static const struct mr_reference_attention sliding_shapes[] = {
    {1, 1, 1, 1},   {2, 5, 2, 32},   {3, 48, 2, 10},  {1, 255, 1, 7}, {2, 256, 2, 6},
    {1, 257, 2, 8}, {1, 300, 2, 32}, {1, 511, 3, 15}, {2, 600, 1, 3},
};
static const struct mr_reference_attention grouped_shapes[] = {
    {1, 1, 1, 4},    {2, 5, 2, 32}, {3, 48, 2, 24}, {1, 7, 3, 36},    {2, 33, 4, 128},
    {1, 40, 8, 768}, {1, 9, 5, 20}, {5, 3, 1, 52},  {1, 11, 20, 240},
};
enum {
    SLIDING_SHAPES = sizeof sliding_shapes / sizeof *sliding_shapes,
    GROUPED_SHAPES = sizeof grouped_shapes / sizeof *grouped_shapes,
};

static void test_sliding_forward(void **state)
{
    (void)state;
    for (int k = 0; k < SLIDING_SHAPES; k++)
        check(&sliding, sliding_shapes[k], false);
}

static void test_sliding_backward(void **state)
{
    (void)state;
    for (int k = 0; k < SLIDING_SHAPES; k++)
        check(&sliding, sliding_shapes[k], true);
}

static void test_grouped_forward(void **state)
{
    (void)state;
    for (int k = 0; k < GROUPED_SHAPES; k++)
        check(&grouped, grouped_shapes[k], false);
}

static void test_grouped_backward(void **state)
{
    (void)state;
    for (int k = 0; k < GROUPED_SHAPES; k++)
        check(&grouped, grouped_shapes[k], true);
}

/* Padding of queries and keys is part of the softmax: with equal keys and one position, y is v / 256. */
static void test_sliding_padding_takes_part(void **state)
{
    (void)state;
    const struct mr_reference_attention s = {1, 1, 1, 2};
    const double qkv[] = {0, 0, 5, 5, 256, -512}, want[] = {1, -2};
    mr_tensor in = upload(qkv, 6), y = empty(2), kept = empty(1),
              scratch = empty(mr_reference_sliding_scratch(&s, false));
    test_case("sliding: one position, q = 0");
    must(mr_reference_sliding_forward(test_runtime(), &s, &in, &y, &kept, &scratch));
    expect_near("y", &y, want, 2, 1e-6);
    release(&in), release(&y), release(&kept), release(&scratch);
}

static double loss(void *context)
{
    struct sample *a = context;
    double sum = 0;
    ref_forward(a);
    for (size_t i = 0; i < a->out_count; i++)
        sum += a->y[i] * a->dy[i];
    return sum;
}

static void check_reference_gradient(const struct kind *kind, struct mr_reference_attention s)
{
    struct sample a = sample_of(kind, s, 1);
    double *din = zeros(a.in_count);
    ref_backward(&a, din);
    expect_gradient(kind->name, loss, &a, a.in, din, a.in_count, 1e-6);
    free(din);
    sample_free(&a);
}

static void test_reference_gradients(void **state)
{
    (void)state;
    check_reference_gradient(&sliding, (struct mr_reference_attention){2, 6, 2, 6});
    check_reference_gradient(&sliding, (struct mr_reference_attention){1, 259, 1, 2});
    check_reference_gradient(&grouped, (struct mr_reference_attention){2, 5, 3, 24});
}

static void test_wrong_arguments_are_refused(void **state)
{
    (void)state;
    mr_runtime *rt = test_runtime();
    mr_tensor t = zeroed(200), none = {0};
    struct mr_reference_attention s = {1, 2, 3, 8};
    assert_int_equal(mr_reference_sliding_forward(rt, &s, &t, &t, &t, &t), MR_EINVAL);
    s = (struct mr_reference_attention){1, 2, 2, 12}; /* 12 / 4 is no multiple of 2 */
    assert_int_equal(mr_reference_grouped_forward(rt, &s, &t, &t, &t), MR_EINVAL);
    s = (struct mr_reference_attention){1, 20, 2, 8};
    assert_int_equal(mr_reference_sliding_forward(rt, &s, &t, &t, &t, &t), MR_EINVAL);
    assert_int_equal(mr_reference_grouped_backward(rt, &s, &t, &t, &none, &t, &t), MR_EINVAL);
    s.time = 0;
    assert_int_equal(mr_reference_sliding_backward(rt, &s, &t, &t, &t, &t, &t), MR_EINVAL);
    release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sliding_forward),
        cmocka_unit_test(test_sliding_backward),
        cmocka_unit_test(test_sliding_padding_takes_part),
        cmocka_unit_test(test_grouped_forward),
        cmocka_unit_test(test_grouped_backward),
        cmocka_unit_test(test_reference_gradients),
        cmocka_unit_test(test_wrong_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
