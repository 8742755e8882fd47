/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/mixture_topk.h"

/* How many experts come before e: with a larger score, or the same and a lower index. */
static int rank(const double *scores, int experts, int e)
{
    int before = 0;
    for (int i = 0; i < experts; i++)
        before += scores[i] > scores[e] || (i < e && scores[i] == scores[e]);
    return before;
}

static double chosen_sum(const double *scores, const int *choice, int active)
{
    double sum = 0;
    for (int a = 0; a < active; a++)
        sum += scores[choice[a]];
    return sum;
}

void mr_ref_topk_route(const double *scores, int *choice, double *weights, int rows, int experts, int active)
{
    for (int r = 0; r < rows; r++, scores += experts, choice += active, weights += active) {
        for (int e = 0; e < experts; e++)
            if (rank(scores, experts, e) < active)
                choice[rank(scores, experts, e)] = e;
        for (int a = 0; a < active; a++)
            weights[a] = scores[choice[a]] / chosen_sum(scores, choice, active);
    }
}

void mr_ref_topk_order(const int *choice, int *source, int *load, int rows, int experts, int active)
{
    int at = 0;
    for (int e = 0; e < experts; e++) {
        int begin = at;
        for (int i = 0; i < rows * active; i++)
            if (choice[i] == e)
                source[at++] = i;
        load[e] = at - begin;
    }
}

double mr_ref_topk_balance(const double *scores, const int *choice, int rows, int experts, int active)
{
    double sum = 0;
    for (int e = 0; e < experts; e++) {
        double share = 0, mean = 0;
        for (int i = 0; i < rows * active; i++)
            share += (choice[i] == e) / (double)(rows * active);
        for (int r = 0; r < rows; r++)
            mean += scores[r * experts + e] / rows;
        sum += share * mean;
    }
    return experts * sum;
}

void mr_ref_topk_scores_backward(const double *scores, const int *choice, const double *dweights, double balance,
                                 double *dscores, int rows, int experts, int active)
{
    for (int i = 0; i < rows * experts; i++) {
        dscores[i] = 0;
        for (int j = 0; j < rows * active; j++)
            dscores[i] += balance * experts * (choice[j] == i % experts) / (double)(rows * active) / rows;
    }
    /* d w_a / d s_b = [a = b] / S - s_a / S^2 for the chosen a, b */
    for (int r = 0; r < rows; r++, scores += experts, choice += active, dweights += active, dscores += experts) {
        double sum = chosen_sum(scores, choice, active);
        for (int b = 0; b < active; b++)
            for (int a = 0; a < active; a++)
                dscores[choice[b]] += dweights[a] * ((a == b) / sum - scores[choice[a]] / (sum * sum));
    }
}
