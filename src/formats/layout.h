/* SPDX-License-Identifier: GPL-3.0-or-later
 * Layouts: by what names, and in what form, the parameters of a model lie in files of other programs. A layout is
 * a table of patterns, read in both directions; the names on its left side are this project's own. */
#ifndef MR_FORMATS_LAYOUT_H
#define MR_FORMATS_LAYOUT_H

#include "model/config.h"
#include "model/params.h"

/* What the file's numbers are, seen from the parameter's x. */
enum mr_change {
    MR_SAME,
    MR_TRANSPOSED,       /* the last two dimensions swapped */
    MR_EXP,              /* exp(x) */
    MR_NEGATIVE_EXP,     /* -exp(x) */
    MR_EXP_NEGATIVE_EXP, /* exp(-exp(x)) */
    MR_JOINED,           /* one of several parameters of one shape, one behind the other */
};

/* "%d" stands for a block's number, a "*" at the end for any rest. The first rule that fits is the one to write
 * by; readers also try those after it. */
struct mr_name_rule {
    const char *ours, *theirs;
    int change;      /* enum mr_change */
    int part, parts; /* of MR_JOINED: which of how many */
};

enum mr_layout_id {
    MR_LAYOUT_OWN,     /* transformer.h.N.…, blocks.N.att.…: .mrw, nanoGPT, MicroRWKV, official RWKV */
    MR_LAYOUT_HF_RWKV, /* rwkv.blocks.N.attention.… */
    MR_LAYOUT_HF_GPT2, /* transformer.h.N.…, four weights transposed */
    MR_LAYOUT_GPT2,    /* h.N.…, transposed likewise: the released files */
    MR_LAYOUT_BARE,    /* h.N.…, nothing transposed */
    MR_LAYOUT_BIN,     /* official RWKV names, some tensors transformed */
    MR_LAYOUT_FLA,     /* RWKV-7 of flash-linear-attention */
    MR_LAYOUT_GGUF,    /* llama.cpp's names, see formats/gguf.h */
    MR_LAYOUT_ST,      /* RWKV as web-rwkv reads it: older names, low-rank pairs transposed */
};

/* The rules of a layout for a model, ending with {NULL}. */
const struct mr_name_rule *mr_layout_rules(int layout, const struct mr_config *cfg);

/* Where a parameter lies. */
struct mr_place {
    char name[MR_NAME + 32];
    int change, part, parts;
};

/* The place by the nth rule that fits (0 the first); false: there is none. */
bool mr_layout_place(const struct mr_name_rule *rules, const char *ours, int nth, struct mr_place *place);

#endif
