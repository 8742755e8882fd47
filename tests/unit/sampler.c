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
    assert_fails(MR_EINVAL, "temperature", mr_sampling_check(&how, V));
    how = plain();
    how.top_p = 0;
    assert_fails(MR_EINVAL, "top-p", mr_sampling_check(&how, V));
    how = plain();
    how.top_k = -1;
    assert_fails(MR_EINVAL, "top-k", mr_sampling_check(&how, V));
    how = plain();
    how.repetition_penalty = 0;
    assert_fails(MR_EINVAL, "penalty", mr_sampling_check(&how, V));
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
        assert_fails(MR_EINVAL, "must be 0 or in [0.001, 1000]", mr_sampling_check(&how, V));
    }
    for (size_t i = 0; i < COUNT(penalties); i++) {
        struct mr_sampling how = plain();
        how.repetition_penalty = penalties[i];
        assert_fails(MR_EINVAL, "must be in [0.01, 100]", mr_sampling_check(&how, V));
    }
}

static void test_min_p_drops_the_unlikely(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int counts[V];
    how.min_p = 0.37f; /* token 5 is e^-1 = 0.368 times as likely as 1 and 3 */
    count_draws(&how, NULL, 0, 1000, counts);
    assert_int_equal(counts[1] + counts[3], 1000);
    how.min_p = 0.36f;
    count_draws(&how, NULL, 0, 1000, counts);
    assert_int_equal(counts[1] + counts[3] + counts[5], 1000);
    assert_true(counts[1] && counts[3] && counts[5]);
    how.temperature = 2; /* what counts is how likely they are now: 0.61 and 0.47 times */
    count_draws(&how, NULL, 0, 1000, counts);
    assert_true(counts[0] && !counts[2]);
    how.min_p = 1;
    count_draws(&how, NULL, 0, 1000, counts);
    assert_int_equal(counts[1] + counts[3], 1000);
}

/* The tokens that greedy draws give, each counted when it was drawn. */
static void draw_greedily(const struct mr_sampling *how, int32_t *ids, int count)
{
    mr_sampler *sampler;
    assert_ok(mr_sampler_create(&sampler, V));
    for (int i = 0; i < count; i++) {
        ids[i] = mr_sampler_draw(sampler, how, logits, (uint64_t)i);
        assert_ok(mr_sampler_count(sampler, ids[i], how->penalty_decay));
    }
    mr_sampler_free(sampler);
}

static void test_presence_penalty_is_subtracted_once(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    int32_t ids[4];
    how.temperature = 0;
    how.presence_penalty = 1.25f; /* 2, 2, 1, 0.5 without it; 1 and 3 come back before 0 does */
    draw_greedily(&how, ids, 4);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 3);
    assert_int_equal(ids[2], 5);
    assert_int_equal(ids[3], 1);
}

/* counts n' = decay n + [drawn], logit - presence - frequency n, as RWKV's programs have it */
static void test_counts_fade_with_decay(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    double count[V] = {0};
    int32_t ids[40];
    how.temperature = 0;
    how.presence_penalty = 0.3f;
    how.frequency_penalty = 0.4f;
    how.penalty_decay = 0.7f;
    draw_greedily(&how, ids, 40);
    for (int i = 0; i < 40; i++) {
        double best = -INFINITY;
        int32_t want = -1;
        for (int v = 0; v < V; v++) {
            double x = (double)logits[v] - (count[v] > 0 ? 0.3 : 0) - 0.4 * count[v];
            want = x > best + 1e-6 ? v : want;
            best = fmax(x, best);
        }
        assert_int_equal(ids[i], want);
        for (int v = 0; v < V; v++)
            count[v] = 0.7 * count[v] + (v == want);
    }
}

static void test_tokens_of_the_prompt_are_not_counted(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    const int32_t seen[] = {1, 1, 3};
    int counts[V];
    how.temperature = 0;
    how.presence_penalty = how.frequency_penalty = 2;
    count_draws(&how, seen, 3, 5, counts);
    assert_int_equal(counts[1], 5);
}

static void test_biases_ban_and_lift(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    struct mr_logit_bias bias[] = {{1, -INFINITY}, {3, -INFINITY}, {2, 3.5f}};
    int counts[V];
    how.bias = bias;
    how.bias_count = 2;
    for (int top_k = 0; top_k <= V; top_k += V - 1) { /* with V - 1 a banned token is among the best */
        how.top_k = top_k;
        count_draws(&how, NULL, 0, 3000, counts);
        assert_true(!counts[1] && !counts[3] && counts[5] > counts[0] && counts[2]);
    }
    how.temperature = 0;
    how.bias_count = 3;
    count_draws(&how, NULL, 0, 5, counts);
    assert_int_equal(counts[2], 5);
}

static void test_nothing_left_is_told(void **state)
{
    (void)state;
    struct mr_sampling how = plain();
    struct mr_logit_bias bias[V];
    mr_sampler *sampler;
    assert_ok(mr_sampler_create(&sampler, V));
    for (int i = 0; i < V; i++)
        bias[i] = (struct mr_logit_bias){i, -INFINITY};
    how.bias = bias;
    how.bias_count = V;
    assert_fails(MR_EINVAL, "bans all", mr_sampler_draw(sampler, &how, logits, 0));
    how.temperature = 0;
    assert_fails(MR_EINVAL, "bans all", mr_sampler_draw(sampler, &how, logits, 0));
    mr_sampler_free(sampler);
}

static void test_logprobs_are_of_the_softmax(void **state)
{
    (void)state;
    static const int32_t rank[V] = {1, 3, 5, 0, 4, 2};
    struct mr_logprob list[1 + V];
    mr_sampler *sampler;
    double total = 0;
    assert_ok(mr_sampler_create(&sampler, V));
    for (int i = 0; i < V; i++)
        total += exp((double)logits[i]);
    mr_sampler_logprobs(sampler, logits, 4, list, V);
    for (int i = 0; i <= V; i++) {
        assert_int_equal(list[i].id, i ? rank[i - 1] : 4);
        assert_true(fabs((double)list[i].logprob - ((double)logits[list[i].id] - log(total))) < 1e-6);
    }
    mr_sampler_free(sampler);
}

static void test_new_options_have_ranges(void **state)
{
    (void)state;
    static const float wrong[] = {-1e3f, 1e3f, NAN, INFINITY};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct mr_sampling how[] = {plain(), plain(), plain(), plain(), plain()};
        struct mr_logit_bias bias = {2, wrong[i] * 2};
        how[0].min_p = how[1].penalty_decay = how[2].presence_penalty = how[3].frequency_penalty = wrong[i];
        how[4].bias = &bias;
        how[4].bias_count = 1;
        assert_fails(MR_EINVAL, "--min-p must be in [0, 1]", mr_sampling_check(&how[0], V));
        assert_fails(MR_EINVAL, "--penalty-decay must be in [0, 1]", mr_sampling_check(&how[1], V));
        assert_fails(MR_EINVAL, "--presence-penalty must be in [-100, 100]", mr_sampling_check(&how[2], V));
        assert_fails(MR_EINVAL, "--frequency-penalty must be in [-100, 100]", mr_sampling_check(&how[3], V));
        assert_fails(MR_EINVAL, "must be -inf or in [-1000, 1000]", mr_sampling_check(&how[4], V));
    }
}

static void test_tokens_outside_the_vocabulary_are_named(void **state)
{
    (void)state;
    static const int32_t outside[] = {-1, V, 1 << 30};
    for (size_t i = 0; i < COUNT(outside); i++) {
        struct mr_sampling how = plain();
        struct mr_logit_bias bias = {outside[i], 1};
        how.bias = &bias;
        how.bias_count = 1;
        assert_fails(MR_EINVAL, "--logit-bias", mr_sampling_check(&how, V));
        how = plain();
        how.stop_tokens = &outside[i];
        how.stop_count = 1;
        assert_fails(MR_EINVAL, "--stop-token", mr_sampling_check(&how, V));
        how = plain();
        how.logprob_count = i == 1 ? V + 1 : outside[i];
        assert_fails(MR_EINVAL, "--logprobs", mr_sampling_check(&how, V));
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
        cmocka_unit_test(test_min_p_drops_the_unlikely),
        cmocka_unit_test(test_presence_penalty_is_subtracted_once),
        cmocka_unit_test(test_counts_fade_with_decay),
        cmocka_unit_test(test_tokens_of_the_prompt_are_not_counted),
        cmocka_unit_test(test_biases_ban_and_lift),
        cmocka_unit_test(test_nothing_left_is_told),
        cmocka_unit_test(test_logprobs_are_of_the_softmax),
        cmocka_unit_test(test_new_options_have_ranges),
        cmocka_unit_test(test_tokens_outside_the_vocabulary_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
