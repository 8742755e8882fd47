/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/file_kind.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/file.h"
#include "base/utf8.h"

#define MAGIC(text) sizeof(text) - 1, text
#define UNPACK ": unpack it first"
#define LLM_C "a token file of llm.c, with its header of 1024 bytes"

static const struct {
    size_t at, size;
    const char *magic, *kind;
} kinds[] = {
    {0, MAGIC("version https://git-lfs.github.com/spec/"),
     "a Git LFS pointer, not the file itself: run `git lfs pull`"},
    {0, MAGIC("/annex/objects/"), "a git-annex pointer, not the file itself: run `git annex get`"},
    {0, MAGIC("PAR1"), "a Parquet file: export its texts to .jsonl first"},
    {0, MAGIC("ARROW1\0"), "an Arrow file: export its texts to .jsonl first"},
    {0, MAGIC("Obj\1"), "an Avro file: export its texts to .jsonl first"},
    {0, MAGIC("SQLite format 3\0"), "an SQLite database: export its texts to .jsonl first"},
    {0, MAGIC("\x89HDF\r\n\x1a\n"), "an HDF5 file"},
    {0, MAGIC("\x93NUMPY"), "a NumPy array (.npy)"},
    {0, MAGIC("GGUF"), "a GGUF file, as llama.cpp reads it"},
    {0, MAGIC("fmgg"), "a ggml .bin model"},
    {0, MAGIC("tjgg"), "a ggml model of llama.cpp before GGUF"},
    {0, MAGIC("MMIDIDX\0\0"), "an index of Megatron's token files (.idx)"},
    {0, MAGIC("\x88\xd8\x34\x01"), LLM_C},
    {0, MAGIC("\xa1\xd9\x34\x01"), LLM_C},
    {0, MAGIC("PK\3\4"), "a zip archive" UNPACK},
    {0, MAGIC("PK\5\6"), "an empty zip archive"},
    {0, MAGIC("7z\xbc\xaf\x27\x1c"), "a 7z archive" UNPACK},
    {0, MAGIC("Rar!\x1a\7"), "a RAR archive" UNPACK},
    {0, MAGIC("\x1f\x8b\x08"), "a gzip file" UNPACK},
    {0,
     MAGIC("\xfd"
           "7zXZ\0"),
     "an xz file" UNPACK},
    {0, MAGIC("\x28\xb5\x2f\xfd"), "a zstd file" UNPACK},
    {0, MAGIC("\x04\x22\x4d\x18"), "an lz4 file" UNPACK},
    {0, MAGIC("BZh91AY&SY"), "a bzip2 file" UNPACK},
    {257, MAGIC("ustar"), "a tar archive" UNPACK},
    {0, MAGIC("%PDF-"), "a PDF document"},
    {0, MAGIC("{\\rtf"), "an RTF document"},
    {0, MAGIC("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an old Office document"},
    {0, MAGIC("\x89PNG\r\n\x1a\n"), "a PNG image"},
    {0, MAGIC("\xff\xd8\xff\xe0"), "a JPEG image"},
    {0, MAGIC("GIF89a"), "a GIF image"},
    {0,
     MAGIC("\x7f"
           "ELF"),
     "a program or library"},
};

static bool has(const char *head, size_t size, size_t at, const char *magic, size_t length)
{
    return size >= at + length && !memcmp(head + at, magic, length);
}

/* The size of a header that is less than 4 GiB, and its first brace. */
static bool is_safetensors(const char *head, size_t size)
{
    return size > 9 && head[8] == '{' && !memcmp(head + 4, "\0\0\0\0", 4) && memcmp(head, "\0\0\0\0", 4) != 0;
}

static bool is_pickle(const char *head, size_t size)
{
    return size > 3 && head[0] == (char)0x80 && head[1] >= 2 && head[1] <= 5 && strchr("}]c(\x95\x8a", head[2]);
}

const char *mr_file_kind(const void *bytes, size_t size)
{
    const char *head = bytes;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (has(head, size, kinds[i].at, kinds[i].magic, kinds[i].size))
            return kinds[i].kind;
    if (is_safetensors(head, size))
        return "a safetensors file";
    return is_pickle(head, size) ? "a Python pickle" : NULL;
}

const char *mr_text_kind(const void *bytes, size_t size)
{
    static const struct {
        const char *start, *kind;
    } pages[] = {
        {"<!doctype html", "an HTML page, not the file itself: was the page saved instead of the download?"},
        {"<html", "an HTML page, not the file itself: was the page saved instead of the download?"},
        {"<?xml", "an XML error from a server, not the file itself: was it saved instead of the download?"},
    };
    const char *head = bytes;
    size_t at = mr_utf8_mark(head, size);
    while (at < size && head[at] && strchr(" \t\r\n", head[at]))
        at++;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        size_t n = strlen(pages[i].start);
        bool is_page = size - at >= n && !strncasecmp(head + at, pages[i].start, n);
        if (is_page && (pages[i].start[1] != '?' || memmem(head, size, "<Error>", 7)))
            return pages[i].kind;
    }
    return NULL;
}

const char *mr_encoding_kind(const void *bytes, size_t size)
{
    const char *head = bytes;
    if (has(head, size, 0, "\xff\xfe\0\0", 4) || has(head, size, 0, "\0\0\xfe\xff", 4))
        return "text in UTF-32: convert it first, with `iconv -f UTF-32 -t UTF-8`";
    /* text of single bytes has no zeros */
    if ((has(head, size, 0, "\xff\xfe", 2) || has(head, size, 0, "\xfe\xff", 2)) && memchr(head, 0, size))
        return "text in UTF-16: convert it first, with `iconv -f UTF-16 -t UTF-8`";
    return NULL;
}

int mr_fail_kind(int code, const char *path)
{
    char head[MR_FILE_HEAD], before[1024];
    mr_reader *in;
    snprintf(before, sizeof before, "%s", mr_error_text());
    if (mr_reader_open(&in, path))
        return mr_fail(code, "%s", before);
    uint64_t all = mr_reader_size(in);
    size_t size = all < sizeof head ? (size_t)all : sizeof head;
    int err = mr_reader_read(in, 0, head, size);
    mr_reader_close(in);
    const char *kind = err ? NULL : mr_file_kind(head, size);
    if (!err && !kind)
        kind = mr_text_kind(head, size);
    if (!err && !kind)
        kind = mr_encoding_kind(head, size);
    return kind ? mr_fail(code, "%s; the file is %s", before, kind) : mr_fail(code, "%s", before);
}
