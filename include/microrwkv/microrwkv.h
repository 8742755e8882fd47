/* SPDX-License-Identifier: GPL-3.0-or-later
 * libmicrorwkv: language models that run on any OpenCL device.
 *
 *     mr_runtime *rt;
 *     mr_session *session;
 *     if (mr_runtime_open(&rt, NULL) || mr_session_open(&session, rt, "out/best.mrw"))
 *         fprintf(stderr, "%s\n", mr_error_text());
 *     mr_session_prompt(session, "Once", 4);
 *     while (mr_session_next(session, &sampling, &id) == 1) …
 *
 * Functions return 0 (or what their comment says) or a negative enum mr_error; mr_error_text() tells more. A
 * runtime and what was opened on it belong to one thread at a time; several runtimes may be open at once. */
#ifndef MICRORWKV_H
#define MICRORWKV_H

#include <stddef.h>
#include <stdint.h>

#include "microrwkv/error.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mr_runtime mr_runtime; /* one OpenCL device, its queue and compiled kernels */
typedef struct mr_session mr_session; /* a model with its tokenizer and the state of one text */

/* The version of the library, "0.1.0". */
const char *mr_version(void);

/* Opens a device: an index as `microrwkv devices` lists them, a part of a name, "gpu", "cpu", or NULL for the
 * environment's MICRORWKV_DEVICE, else the fastest. MR_ENODEV where there is none. */
int mr_runtime_open(mr_runtime **rt, const char *selector);
/* Waits for the device, keeps newly compiled kernels in the cache, frees all. NULL is fine. */
void mr_runtime_close(mr_runtime *rt);

/* Opens a model (a .mrw checkpoint, a training folder, a .safetensors file with tokenizer metadata) for
 * generating text on rt, which must outlive the session. MR_EFILE names what is wrong in the file. */
int mr_session_open(mr_session **session, mr_runtime *rt, const char *model);
/* Frees the session. NULL is fine. */
void mr_session_close(mr_session *session);

/* Empties the state: the next prompt starts a new text. */
int mr_session_reset(mr_session *session);

/* Appends `size` bytes of text to what the model has read. MR_EINVAL: a byte that the tokenizer does not know. */
int mr_session_prompt(mr_session *session, const char *text, size_t size);
/* The same for token ids. */
int mr_session_feed(mr_session *session, const int32_t *tokens, int count);

/* How the next token is drawn from the logits. */
struct mr_sampling {
    float temperature;        /* logits are divided by it; 0: the largest, the lowest id among equals */
    int top_k;                /* only the k largest may come; 0: all */
    float top_p;              /* only the most likely ones that together reach this probability; 1: all */
    float repetition_penalty; /* positive logits of tokens read before are divided by it, negative multiplied; 1: off */
    uint64_t seed;            /* the same seed and text give the same tokens */
};

/* 0.8, 200, 1, 1, 1337: the command line's defaults. */
void mr_sampling_defaults(struct mr_sampling *sampling);

/* Draws the next token, which then counts as read. 1: *id is it; 0: the model ended the text (its tokenizer's
 * end token); negative: an error. Needs at least one token read before. */
int mr_session_next(mr_session *session, const struct mr_sampling *sampling, int32_t *id);

/* The bytes of a token: *bytes stays valid until the session's next call. */
int mr_session_text(mr_session *session, int32_t id, const char **bytes, size_t *size);

/* Tokens read and drawn since the start of the text. */
int64_t mr_session_position(const mr_session *session);

/* The state after the tokens read so far, to go on from later on any device: written to a file, atomically, and
 * read back into a session of the same model (else MR_EFILE). */
int mr_session_save(mr_session *session, const char *path);
int mr_session_restore(mr_session *session, const char *path);

#ifdef __cplusplus
}
#endif
#endif
