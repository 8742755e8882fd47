/* SPDX-License-Identifier: GPL-3.0-or-later
 * libmicrorwkv: language models that run on any OpenCL device.
 *
 *     mr_runtime *rt;
 *     mr_lm *lm;
 *     mr_sequence *text;
 *     if (mr_runtime_open(&rt, NULL) || mr_lm_open(&lm, rt, "out/best.mrw", NULL) || mr_sequence_open(&text, lm))
 *         fprintf(stderr, "%s\n", mr_error_text());
 *     mr_sequence_prompt(text, "Once", 4);
 *     while (mr_sequence_next(text, &sampling, &id) == 1) …
 *
 * Functions return 0 (or what their comment says) or a negative enum mr_error; mr_error_text() tells more. After an
 * error of its arguments or of a file (MR_EINVAL, MR_EFILE) a handle is as it was before the call. After any other
 * error in the middle of a call (MR_EDEVICE, MR_ENOMEM, MR_ENUMERIC, MR_EINTERRUPTED), the sequences that it was to
 * change have lost their text: they refuse (MR_EINVAL) all but rewinding, restoring, being copied to and closing; all
 * others, and the model, are untouched.
 *
 * A runtime and what was opened on it belong to one thread at a time; several runtimes may be open at once. Close in
 * the reverse order of opening.
 *
 * Structs of options begin with their size: their _defaults function, which takes it (sizeof the struct), sets it and
 * all fields; then change fields. So a library that is newer or older than the header knows which fields the program
 * has. Options NULL are the defaults. */
#ifndef MICRORWKV_H
#define MICRORWKV_H

#include <stddef.h>
#include <stdint.h>

#include "microrwkv/error.h"
#include "microrwkv/export.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mr_runtime mr_runtime;   /* one OpenCL device, its queue and compiled kernels */
typedef struct mr_lm mr_lm;             /* a model on a device, with its tokenizer */
typedef struct mr_sequence mr_sequence; /* one text: what the model has read of it */

/* The version of the header, and of the library that runs ("0.2.0"). */
#define MICRORWKV_VERSION_MAJOR 0
#define MICRORWKV_VERSION_MINOR 2
#define MICRORWKV_VERSION_PATCH 0
MR_API const char *mr_version(void);

/* ---- devices ---------------------------------------------------------------------------------------------------- */

struct mr_device {
    size_t size; /* sizeof (struct mr_device) */
    int index;   /* mr_runtime_open takes it, as text */
    char platform[128], name[128], vendor[128], driver[128], version[128];
    int is_gpu, is_cpu, shares_host_memory, fp16; /* 0 or 1 */
    int compute_units, clock_mhz;
    uint64_t memory, largest_allocation, local_memory; /* bytes */
    uint64_t largest_group;                            /* work-items */
    int subgroups, local_is_memory;                    /* 0 or 1; local_is_memory: local memory is ordinary memory */
    int lanes, vec;                 /* how kernels are compiled for it: work-items that share a row, vector width */
    char gemm[16], gemm_table[128]; /* what computes matrix products ("own", "clblast"), and from which table */
};

/* The devices there are: *count of them, of which the first `capacity` are described in list (NULL with capacity 0:
 * only counted). Set list[0].size: it is where the next one begins. MR_ENODEV: none, or MICRORWKV_GEMM names no
 * provider of products. */
MR_API int mr_devices(struct mr_device *list, size_t capacity, size_t *count);
/* The device of a runtime; set device->size. */
MR_API int mr_runtime_device(const mr_runtime *rt, struct mr_device *device);

/* Opens a device: an index as `microrwkv devices` lists them, a part of a name, "gpu", "cpu", or NULL for the
 * environment's MICRORWKV_DEVICE, else the fastest. MR_ENODEV where there is none. */
MR_API int mr_runtime_open(mr_runtime **rt, const char *selector);
/* Where the lines go that are logged while this runtime, or what was opened on it, works; callback NULL: where
 * mr_set_log says. */
MR_API void mr_runtime_set_log(mr_runtime *rt, mr_log_callback callback, void *context);
/* The time that a kernel took on the device. */
struct mr_kernel_time {
    size_t size;        /* sizeof (struct mr_kernel_time) */
    const char *kernel; /* valid until the runtime is closed */
    uint64_t calls;
    double seconds;      /* of all calls */
    double bytes, flops; /* what they read and wrote, and computed; 0: not known */
};
/* From now on the time of every kernel is taken, which is slower. Call it before anything runs. */
MR_API int mr_runtime_profile(mr_runtime *rt);
/* The kernels that ran, by falling time: *count of them, of which the first `capacity` are described in list (NULL with
 * capacity 0: only counted). Set list[0].size: it is where the next one begins. Waits for the device. */
MR_API int mr_runtime_times(mr_runtime *rt, struct mr_kernel_time *list, size_t capacity, size_t *count);
/* Waits for the device, keeps newly compiled kernels in the cache, frees all. NULL is fine. */
MR_API void mr_runtime_close(mr_runtime *rt);

/* ---- models ----------------------------------------------------------------------------------------------------- */

struct mr_lm_options {
    size_t size;               /* sizeof (struct mr_lm_options) */
    const char *precision;     /* how weights are held: "f32", "f16", "bf16", "q8_0" … "q4_0"; NULL: as in the file */
    const char *tokenizer;     /* a TOKENIZER of the command line; NULL: the model's own */
    const char *const *config; /* "key=value" overrides of the configuration, the last one NULL; or NULL */
    int sequences;             /* the most that are open at a time (1) */
    size_t memory_limit;       /* bytes on the device at most; 0: what it has */
    /* Called while weights are read and prompts are, with the part that is done; not 0 stops the work with
     * MR_EINTERRUPTED. Or NULL. */
    int (*progress)(void *context, double part);
    void *context;
    int special; /* not 0: names of special tokens in prompts (<|endoftext|>) mean those tokens, not their letters */
    const char *const *lora; /* adapters to merge into the weights, FILE or FILE:scale, the last one NULL; or NULL */
};

/* Sets all fields to what their comments name. */
MR_API void mr_lm_defaults(struct mr_lm_options *options, size_t size);

/* Opens a MODEL of the command line (a .mrw checkpoint, a training folder, .safetensors, .pth, .pt, .bin, .gguf, a
 * Hugging Face folder) on rt, which must outlive it. options NULL: the defaults. MR_EFILE names what is wrong in the
 * file. */
MR_API int mr_lm_open(mr_lm **lm, mr_runtime *rt, const char *model, const struct mr_lm_options *options);
/* Frees the model; its sequences must be closed before. NULL is fine. */
MR_API void mr_lm_close(mr_lm *lm);

/* Tokens that the model knows (columns of its logits), and the id that ends a text; -1: none, or no tokenizer. */
MR_API int mr_lm_vocab_size(const mr_lm *lm);
MR_API int32_t mr_lm_end_token(const mr_lm *lm);
/* Parameters, and the family's name ("rwkv7"). */
MR_API uint64_t mr_lm_parameters(const mr_lm *lm);
MR_API const char *mr_lm_family(const mr_lm *lm);

/* The ids of a text: *count of them, of which the first `capacity` are written to ids (NULL with capacity 0: only
 * counted), with those that its tokenizer puts before a text. special: names of special tokens in the text mean those
 * tokens. MR_EFILE: a character that the tokenizer does not know; MR_EINVAL: there is no tokenizer. */
MR_API int mr_lm_tokenize(mr_lm *lm, const char *text, size_t size, int special, int32_t *ids, size_t capacity,
                          size_t *count);
/* The bytes of a token (none for an id of padding): *bytes stays valid until the next call with the same model. */
MR_API int mr_lm_token_text(mr_lm *lm, int32_t id, const char **bytes, size_t *size);

/* ---- sequences -------------------------------------------------------------------------------------------------- */

/* A new, empty text. MR_ENOMEM: as many are open as mr_lm_options.sequences allows. */
MR_API int mr_sequence_open(mr_sequence **sequence, mr_lm *lm);
/* NULL is fine. */
MR_API void mr_sequence_close(mr_sequence *sequence);

/* Empties the text: the next token is its first. */
MR_API int mr_sequence_rewind(mr_sequence *sequence);
/* `to` becomes the same text as `from`, of the same model; from then on they go their own ways. */
MR_API int mr_sequence_copy(mr_sequence *to, const mr_sequence *from);

/* Appends `size` bytes of text to what was read. Errors are those of mr_lm_tokenize and mr_sequence_feed. */
MR_API int mr_sequence_prompt(mr_sequence *sequence, const char *text, size_t size);
/* The same for token ids. */
MR_API int mr_sequence_feed(mr_sequence *sequence, const int32_t *tokens, int count);

/* What several texts read next. */
struct mr_feed {
    mr_sequence *sequence;
    const int32_t *tokens;
    int count;
};
/* Advances several sequences of one model together. Each comes out as it would alone. */
MR_API int mr_sequences_feed(const struct mr_feed *feeds, int count);

/* The natural logarithm of a token's probability, as the model gives it: before temperature, penalties and biases. */
struct mr_logprob {
    int32_t id;
    float logprob;
};

/* Logits after the last token read, [vocab_size]: valid until the sequence reads on. MR_EINVAL: nothing was read. */
MR_API int mr_sequence_logits(const mr_sequence *sequence, const float **logits);
/* How likely `id` is as the next token, and behind it the `count` likeliest ones by rank: list[1 + count]. */
MR_API int mr_sequence_logprobs(const mr_sequence *sequence, int32_t id, struct mr_logprob *list, int count);

/* What is added to the logit of a token; -INFINITY: it is never drawn. */
struct mr_logit_bias {
    int32_t id;
    float bias; /* -INFINITY, or from -1000 to 1000 */
};

/* How the next token is drawn from the logits. Biases come first, then the penalties, top_k, temperature, top_p and
 * min_p. */
struct mr_sampling {
    size_t size;              /* sizeof (struct mr_sampling); in an array, that of the first counts for all */
    float temperature;        /* logits are divided by it; 0: the largest, the lowest id among equals */
    int top_k;                /* only the k largest may come; 0: all */
    float top_p;              /* only the most likely ones that together reach this probability; 1: all */
    float repetition_penalty; /* positive logits of tokens read before are divided by it, negative multiplied; 1: off */
    uint64_t seed;            /* the same seed and text give the same tokens */
    float min_p;              /* only tokens at least this times as likely as the likeliest; 0: all */
    /* Of tokens that were drawn in this text (not of those of its prompt): presence_penalty is subtracted from the
     * logit, and frequency_penalty times their count. Counts are multiplied by penalty_decay before each token drawn
     * adds 1 to its own; 1: they do not fade. */
    float presence_penalty, frequency_penalty, penalty_decay;
    const struct mr_logit_bias *bias; /* [bias_count], or NULL */
    int bias_count;
    int stop_count;
    const int32_t *stop_tokens; /* [stop_count] that end the text as the model's own end token does; or NULL */
    /* Not NULL: gets the token drawn and behind it the logprob_count likeliest ones, [1 + logprob_count]. */
    struct mr_logprob *logprobs;
    int logprob_count;
};

/* 0.8, 200, 1, 1, 1337, all else off: the command line's defaults. */
MR_API void mr_sampling_defaults(struct mr_sampling *sampling, size_t size);

/* Draws the next token, which then counts as read. 1: *id is it; 0: the text has ended (the tokenizer's end token, or
 * one of stop_tokens, was drawn); negative: an error. Needs at least one token read before. */
MR_API int mr_sequence_next(mr_sequence *sequence, const struct mr_sampling *sampling, int32_t *id);
/* One token for each of several sequences of one model: sampling[i] draws ids[i], more[i] is 1 or 0 as above. */
MR_API int mr_sequences_next(mr_sequence *const *sequences, const struct mr_sampling *sampling, int32_t *ids, int *more,
                             int count);

/* Tokens read and drawn since the start of the text. */
MR_API int64_t mr_sequence_position(const mr_sequence *sequence);

/* The state after the tokens read so far, to continue from later on any device: written to a file, atomically, and
 * read back into a sequence of a model with the same weights (else MR_EFILE). */
MR_API int mr_sequence_save(mr_sequence *sequence, const char *path);
MR_API int mr_sequence_restore(mr_sequence *sequence, const char *path);
/* The same in memory: mr_sequence_state_size() bytes. */
MR_API size_t mr_sequence_state_size(const mr_sequence *sequence);
MR_API int mr_sequence_state(mr_sequence *sequence, void *bytes);
MR_API int mr_sequence_set_state(mr_sequence *sequence, const void *bytes, size_t size);

/* ---- memory ----------------------------------------------------------------------------------------------------- */

struct mr_memory_options {
    size_t size;               /* sizeof (struct mr_memory_options) */
    int training;              /* 1: of a training run; 0: of reading and continuing texts */
    int texts;                 /* at a time: batch_size, or mr_lm_options.sequences (1) */
    const char *precision;     /* as mr_lm_options; of no meaning for training */
    const char *const *config; /* as mr_lm_options */
    int recompute;             /* as the training key of that name */
};
MR_API void mr_memory_defaults(struct mr_memory_options *options, size_t size);

/* Bytes on the device, by what they are for. */
struct mr_memory_use {
    size_t size; /* sizeof (struct mr_memory_use), set before the call */
    uint64_t parameters, gradients, moments, activations, scratch, state, buffers;
    uint64_t total;
};

/* The memory that a MODEL, or a size known by name ("gpt2-xl"), would take. Needs no device. */
MR_API int mr_model_memory(const char *model, const struct mr_memory_options *options, struct mr_memory_use *use);

/* ---- preparing, training, evaluating, converting ---------------------------------------------------------------- */

struct mr_prepare_options {
    size_t size;           /* sizeof (struct mr_prepare_options) */
    const char *tokenizer; /* a TOKENIZER of the command line ("byte") */
    int64_t train_bpe;     /* not 0: in its place, one of so many tokens is trained on the inputs */
    double val_fraction;   /* the last part of each input that is kept for validation (0.1) */
    uint64_t stories;      /* so many made-up stories are one more input (0) */
    uint64_t seed;         /* of the stories (1) */
    /* Called with the part that is done, twice from 0 to 1: inputs are read, then encoded; not 0 stops with
     * MR_EINTERRUPTED, nothing is left. Or NULL. */
    int (*progress)(void *context, double part);
    void *context;
};
MR_API void mr_prepare_defaults(struct mr_prepare_options *options, size_t size);

/* Turns texts into tokens in the folder `out`, as `microrwkv prepare` does: train.bin, val.bin, meta.json. inputs, the
 * last one NULL, are files or folders. Needs no device. */
MR_API int mr_prepare_run(const char *const *inputs, const char *out, const struct mr_prepare_options *options);

/* What happens in a training run; each may be NULL. */
struct mr_train_options {
    size_t size; /* sizeof (struct mr_train_options) */
    void *context;
    /* Before the first iteration; `iteration` is not 0 where a run continues. */
    void (*start)(void *context, const char *family, uint64_t parameters, int64_t iteration);
    /* After the iterations that are logged (log_interval). */
    void (*iteration)(void *context, int64_t iteration, double loss, double learning_rate, double grad_norm,
                      double milliseconds);
    void (*evaluation)(void *context, int64_t iteration, double train_loss, double val_loss, int best);
    void (*saved)(void *context, const char *folder, int64_t iteration);
    /* Asked after every iteration, and between batches of an evaluation. Not 0: the run saves its
     * state and ends with MR_EINTERRUPTED. */
    int (*stop)(void *context);
};
MR_API void mr_train_defaults(struct mr_train_options *options, size_t size);

/* Trains as `microrwkv train` does. settings, the last one NULL, are its words: a file of settings may come first, then
 * "key=value". options NULL: the defaults. */
MR_API int mr_train_run(mr_runtime *rt, const char *const *settings, const struct mr_train_options *options);

struct mr_evaluate_options {
    size_t size;               /* sizeof (struct mr_evaluate_options) */
    const char *split;         /* "val" or "train" ("val") */
    int64_t iters;             /* so many batches of windows drawn at random; 0: the whole split */
    int batch;                 /* windows at a time (1) */
    int block;                 /* positions of a window; 0: the model's block_size */
    int stream;                /* 1: all as one text, the state carried on */
    uint64_t seed;             /* of the draws (1337) */
    const char *precision;     /* as mr_lm_options */
    const char *const *config; /* as mr_lm_options */
    /* Called with the part that is done; not 0 stops with MR_EINTERRUPTED. Or NULL. */
    int (*progress)(void *context, double part);
    void *context;
    const char *const *lora; /* as mr_lm_options */
};
MR_API void mr_evaluate_defaults(struct mr_evaluate_options *options, size_t size);

struct mr_evaluate_result {
    size_t size;             /* sizeof (struct mr_evaluate_result), set before the call */
    double loss, perplexity; /* mean cross-entropy in nats; e to it */
    double bits_per_byte;    /* negative: not known */
    uint64_t tokens;         /* predicted */
};

/* The loss of a MODEL on a folder that `microrwkv prepare` wrote. MR_ENUMERIC: it is no finite number; the result has
 * it nevertheless. */
MR_API int mr_evaluate_run(mr_runtime *rt, const char *model, const char *data,
                           const struct mr_evaluate_options *options, struct mr_evaluate_result *result);

struct mr_logits_options {
    size_t size;               /* sizeof (struct mr_logits_options) */
    int step;                  /* 1: one token at a time through the recurrent form; 0: many positions at once */
    const char *precision;     /* as mr_lm_options */
    const char *const *config; /* as mr_lm_options */
    const char *const *lora;   /* as mr_lm_options */
};
MR_API void mr_logits_defaults(struct mr_logits_options *options, size_t size);

/* Writes the logits after each of `count` tokens into a .safetensors file: `logits` [count, vocab_size], f32, for
 * checking a model against others. MR_EFILE: a token outside the vocabulary, or more tokens than learned positions;
 * MR_EINVAL: step, and the model has no recurrent form; MR_ENUMERIC: a logit is no finite number. Nothing is left of a
 * file that could not be finished. */
MR_API int mr_logits_run(mr_runtime *rt, const char *model, const int32_t *tokens, int count, const char *out,
                         const struct mr_logits_options *options);

struct mr_convert_options {
    size_t size;       /* sizeof (struct mr_convert_options) */
    const char *to;    /* "mrw", "safetensors", "hf", "rwkv", "nanogpt", "bin", "st", "gguf", "fla"; NULL: by name */
    const char *dtype; /* "f32", "f16", "bf16", "q8_0" … "q4_0"; NULL: as it is */
    const char *tokenizer;     /* the one to be carried, a TOKENIZER of the command line; NULL: the model's own */
    int saturate;              /* 1: numbers too large for dtype become its largest; 0: they are errors */
    const char *const *config; /* as mr_lm_options */
    /* Called before anything is written, for each thing that the new file cannot hold. Or NULL. */
    void (*note)(void *context, const char *text);
    /* Called with the part that is done; not 0 stops with MR_EINTERRUPTED, nothing is left. Or NULL. */
    int (*progress)(void *context, double part);
    void *context;
    const char *const *lora; /* as mr_lm_options */
};
MR_API void mr_convert_defaults(struct mr_convert_options *options, size_t size);

/* Writes a MODEL into another kind of file, as `microrwkv convert` does. Needs no device. */
MR_API int mr_convert(const char *in, const char *out, const struct mr_convert_options *options);

#ifdef __cplusplus
}
#endif
#endif
