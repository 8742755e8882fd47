/* SPDX-License-Identifier: GPL-3.0-or-later
 * The uses of layers that a family's table makes of a configuration. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "model/layer.h"

/* The dropout site of the embedding comes first, then four for each node. */
enum { SITES = 4 };

static int count_nodes(const struct mr_config *cfg)
{
    int count = 0;
    for (const struct mr_branch *b = mr_family_branches(cfg); b->chain[0].layer; b++)
        for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++)
            count++;
    return count * cfg->n_layer;
}

int mr_nodes_build(struct mr_node **out, int *count, const struct mr_config *cfg)
{
    int n = count_nodes(cfg), states = 0;
    size_t sizes[MR_LAYER_STATES];
    struct mr_node *nodes = mr_alloc((size_t)n, sizeof *nodes), *node = nodes;
    if (!nodes)
        return MR_ENOMEM;
    for (int block = 0; block < cfg->n_layer; block++) {
        for (const struct mr_branch *b = mr_family_branches(cfg); b->chain[0].layer; b++) {
            for (int i = 0; i < MR_LINKS && b->chain[i].layer; i++, node++) {
                char at[MR_NAME - 40];
                snprintf(at, sizeof at, mr_family(cfg)->block_prefix, block);
                const char *name = b->chain[i].name ? b->chain[i].name : "";
                snprintf(node->prefix, sizeof node->prefix, "%s%s%s", at, name, *name ? "." : "");
                node->layer = b->chain[i].layer;
                node->block = block;
                node->site = SITES + SITES * (uint32_t)(node - nodes);
                node->state = states;
                int more = node->layer->states ? node->layer->states(cfg, block, sizes) : 0;
                states += more > 0 ? more : 0;
            }
        }
    }
    *out = nodes;
    *count = n;
    return 0;
}

void mr_nodes_free(struct mr_node *nodes, int count)
{
    for (int i = 0; nodes && i < count; i++)
        free(nodes[i].own);
    free(nodes);
}
