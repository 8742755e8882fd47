/* SPDX-License-Identifier: GPL-3.0-or-later
 * Training of the tokenizer "bpe" on texts: words (text/words.h) are counted, then the most frequent pair of
 * neighbours becomes a token, again and again. The same texts give the same tokenizer.
 *
 * The file bpe:FILE is an object: "format" 1, "kind" "bpe", "merges" ["LEFT RIGHT", …], "end" ID. The ids 0 to 255
 * are the bytes, 256 + i is what merge i gives, and the last one is <|endoftext|>. */
#ifndef MR_TEXT_TRAIN_BPE_H
#define MR_TEXT_TRAIN_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

enum { MR_BPE_SMALLEST = 257, MR_BPE_LARGEST = 1 << 20 };

typedef struct mr_bpe_trainer mr_bpe_trainer;

/* At most `size` tokens in all. Memory is bounded: of more different words than a few million, rare ones go. */
int mr_bpe_trainer_open(mr_bpe_trainer **trainer, int64_t size);
void mr_bpe_trainer_close(mr_bpe_trainer *trainer); /* NULL is fine */

/* The next piece of a text; and its end, after which another may begin. */
int mr_bpe_trainer_feed(mr_bpe_trainer *trainer, const char *bytes, size_t size);
int mr_bpe_trainer_finish(mr_bpe_trainer *trainer);

/* What was learnt; fewer tokens than asked for when no pair is left that occurs twice. */
int mr_bpe_trainer_tokenizer(mr_bpe_trainer *trainer, mr_tokenizer **tokenizer);

#endif
