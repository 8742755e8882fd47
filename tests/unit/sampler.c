/* SPDX-License-Identifier: GPL-3.0-or-later
 * Drawing tokens: what each option keeps, and that the same numbers give the same draws. */
#include "unit_test.h"

#include <math.h>

#include "infer/sampler.h"

enum { V = 6 };
static const float logits[V] = {0.5f, 2, -1, 2, 0, 1};

static struct mr_sampling plain(void)
{
    struct mr_sampling s;
    mr_sampling_defaults(&s, sizeof s);
    s.temperature = 1;
    s.top_k = 0;
    return s;
}

/* How often each token comes in `draws` draws. */
static void count_draws(const struct mr_sampling *how, const int32_t *seen, int seen_count, int draws, int counts[V])
{
    mr_sampler *sampler;
    assert_ok(mr_sampler_create(&sampler, V));
    for (int i = 0; i < seen_count; i++)
        mr_sampler_see(sampler, seen[i]);
    memset(counts, 0, V * sizeof *counts);
    for (int i = 0; i < draws; i++)
        counts[mr_sampler_draw(sampler, how, logits, (uint64_t)i)]++;
    mr_sampler_free(sampler);
}

static void test_temperature_0_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int counts[V];
    how.temperature = 0;
    count_draws(&how, NULL, 0, 10, counts);
    assert_int_equal(counts[1], 10);
}

static void test_draws_follow_the_softmax(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int counts[V];
    double total = 0;
    count_draws(&how, NULL, 0, 20000, counts);
    for (int i = 0; i < V; i++)
        total += exp((double)logits[i]);
    for (int i = 0; i < V; i++) {
        double want = 20000 * exp((double)logits[i]) / total;
        assert_true(fabs(counts[i] - want) < 5 * sqrt(want) + 5);
    }
}

static void test_top_k_keeps_k_with_ties_to_the_lower(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int counts[V];
    how.top_k = 1;
    count_draws(&how, NULL, 0, 50, counts);
    assert_int_equal(counts[1], 50);
    how.top_k = 3;
    count_draws(&how, NULL, 0, 2000, counts);
    assert_int_equal(counts[1] + counts[3] + counts[5], 2000);
    assert_true(counts[1] && counts[3] && counts[5]);
}

static void test_top_p_keeps_what_reaches_it(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int counts[V];
    how.top_p = 0.3f; /* the first of the two largest has 0.33 */
    count_draws(&how, NULL, 0, 100, counts);
    assert_int_equal(counts[1], 100);
    how.top_p = 0.6f;
    count_draws(&how, NULL, 0, 1000, counts);
    assert_int_equal(counts[1] + counts[3], 1000);
    assert_true(counts[1] && counts[3]);
}

static void test_repetition_penalty_lowers_what_was_seen(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    const int32_t seen[] = {1};
    int counts[V];
    how.temperature = 0;
    how.repetition_penalty = 1.5f;
    count_draws(&how, seen, 1, 5, counts);
    assert_int_equal(counts[3], 5);
}

static void test_same_seed_same_draws(void **state)
{
    (void)state;
    struct mr_sampling how = plain(), other = plain();
    mr_sampler *sampler;
    int differ = 0;
    other.seed = 7;
    assert_ok(mr_sampler_create(&sampler, V));
    for (int i = 0; i < 100; i++) {
        float a[V], b[V], c[V];
        memcpy(a, logits, sizeof a);
        memcpy(b, logits, sizeof b);
        memcpy(c, logits, sizeof c);
        int32_t first = mr_sampler_draw(sampler, &how, a, (uint64_t)i);
        assert_int_equal(first, mr_sampler_draw(sampler, &how, b, (uint64_t)i));
        differ += first != mr_sampler_draw(sampler, &other, c, (uint64_t)i);
    }
    assert_true(differ > 20);
    mr_sampler_free(sampler);
}

static void test_senseless_options_are_refused(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    how.temperature = -1;
    assert_fails(MR_EINVAL, "temperature", mr_sampling_check(&how));
    how = plain();
    how.top_p = 0;
    assert_fails(MR_EINVAL, "top-p", mr_sampling_check(&how));
    how = plain();
    how.top_k = -1;
    assert_fails(MR_EINVAL, "top-k", mr_sampling_check(&how));
    how = plain();
    how.repetition_penalty = 0;
    assert_fails(MR_EINVAL, "penalty", mr_sampling_check(&how));
}

/* Far values make infinities, and of two of these no number. */
static void test_options_have_ranges(void **state)
{
    (void)state;
    static const float temperatures[] = {1e-38f, 1e-4f, 2e3f, INFINITY, NAN},
                       penalties[] = {1e-38f, 1e-3f, 1e3f, INFINITY};
    for (size_t i = 0; i < COUNT(temperatures); i++) {
        struct mr_sampling how = plain();
        how.temperature = temperatures[i];
        assert_fails(MR_EINVAL, "must be 0 or in [0.001, 1000]", mr_sampling_check(&how));
    }
    for (size_t i = 0; i < COUNT(penalties); i++) {
        struct mr_sampling how = plain();
        how.repetition_penalty = penalties[i];
        assert_fails(MR_EINVAL, "must be in [0.01, 100]", mr_sampling_check(&how));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_temperature_0_takes_the_lowest_of_equals),
        cmocka_unit_test(test_draws_follow_the_softmax),
        cmocka_unit_test(test_top_k_keeps_k_with_ties_to_the_lower),
        cmocka_unit_test(test_top_p_keeps_what_reaches_it),
        cmocka_unit_test(test_repetition_penalty_lowers_what_was_seen),
        cmocka_unit_test(test_same_seed_same_draws),
        cmocka_unit_test(test_senseless_options_are_refused),
        cmocka_unit_test(test_options_have_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
