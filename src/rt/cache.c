/* SPDX-License-Identifier: GPL-3.0-or-later
 * The program cache: one file per program and device, named by the hash of everything that it depends on. On
 * PoCL a binary holds machine code only of the kernels that ran, so entries are written when the device is
 * closed, and again when other kernels of the program ran; the names of those lie in the entry.
 *
 * An entry: struct entry_header, the kernels' names (each ended by NUL), the binary. It is written to a
 * temporary file and renamed, so that other processes see it whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/str.h"
#include "rt/internal.h"

enum { FORMAT = 1 };
static const char magic[8] = "mrwkvcl";
static const uint64_t largest_entry = (uint64_t)1 << 30; /* bytes */

struct entry_header {
    char magic[8];
    uint32_t format, names_size;
    uint64_t key[2];
    uint64_t binary_size;
    uint64_t checksum[2]; /* of names and binary */
};

static void hash_text(XXH3_state_t *state, const char *text)
{
    uint64_t n = strlen(text);
    XXH3_128bits_update(state, &n, sizeof n);
    XXH3_128bits_update(state, text, n);
}

void mr_cache_key(const mr_runtime *rt, const char *source, const char *options, uint64_t key[2])
{
    XXH3_state_t *state = XXH3_createState();
    key[0] = key[1] = 0;
    if (!state)
        return;
    const uint32_t format = FORMAT;
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, &format, sizeof format);
    hash_text(state, source);
    hash_text(state, options);
    hash_text(state, rt->info.platform);
    hash_text(state, rt->platform_version);
    hash_text(state, rt->info.vendor);
    hash_text(state, rt->info.name);
    hash_text(state, rt->info.driver);
    hash_text(state, rt->info.version);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    key[0] = hash.high64;
    key[1] = hash.low64;
    XXH3_freeState(state);
}

static int make_folders(char *path)
{
    for (char *slash = path + 1;; *slash++ = '/') {
        slash = strchr(slash, '/');
        if (slash)
            *slash = 0;
        if (mkdir(path, 0700) && errno != EEXIST && errno != EISDIR) {
            int why = errno;
            if (slash)
                *slash = '/';
            return why;
        }
        if (!slash)
            return 0;
    }
}

int mr_cache_open(mr_runtime *rt)
{
    const char *given = getenv("MICRORWKV_CACHE_DIR"), *user = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct mr_str path = {0};
    int err = 0;
    if (given && *given)
        err = mr_str_printf(&path, "%s", given);
    else if (user && *user == '/')
        err = mr_str_printf(&path, "%s/microrwkv", user);
    else if (home && *home == '/')
        err = mr_str_printf(&path, "%s/.cache/microrwkv", home);
    else {
        mr_log(MR_LOG_WARNING, "no folder for compiled kernels: set MICRORWKV_CACHE_DIR or HOME");
        return 0;
    }
    if (err) {
        mr_str_free(&path);
        return err;
    }
    int why = make_folders(path.text);
    if (!why && access(path.text, R_OK | W_OK | X_OK))
        why = errno;
    if (why)
        mr_log(MR_LOG_WARNING, "compiled kernels cannot be kept in '%s': %s; set MICRORWKV_CACHE_DIR", path.text,
               strerror(why));
    rt->cache_folder = path.text;
    return 0;
}

static int entry_path(const mr_runtime *rt, const struct mr_program *p, struct mr_str *path)
{
    return mr_str_printf(path, "%s/%016llx%016llx.bin", rt->cache_folder, (unsigned long long)p->key[0],
                         (unsigned long long)p->key[1]);
}

static void checksum_of(const void *content, size_t size, uint64_t sum[2])
{
    XXH128_hash_t hash = XXH3_128bits(content, size);
    sum[0] = hash.high64;
    sum[1] = hash.low64;
}

/* The whole file, if it is ours or the system's and a plain one; NULL without an error text otherwise. */
static unsigned char *read_entry(const char *path, size_t *size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return NULL;
    struct stat about;
    unsigned char *content = NULL;
    if (!fstat(file, &about) && S_ISREG(about.st_mode) && (about.st_uid == geteuid() || about.st_uid == 0) &&
        about.st_size >= (off_t)sizeof(struct entry_header) && (uint64_t)about.st_size <= largest_entry)
        content = malloc((size_t)about.st_size);
    size_t have = 0;
    while (content && have < (size_t)about.st_size) {
        ssize_t n = read(file, content + have, (size_t)about.st_size - have);
        if (n <= 0) {
            free(content);
            content = NULL;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    close(file);
    *size = have;
    return content;
}

/* Whether the content is a whole entry of this program. */
static bool trusted(const struct mr_program *p, const unsigned char *content, size_t size, struct entry_header *header)
{
    memcpy(header, content, sizeof *header);
    size_t rest = size - sizeof *header;
    if (memcmp(header->magic, magic, sizeof magic) || header->format != FORMAT ||
        memcmp(header->key, p->key, sizeof p->key))
        return false;
    if (header->names_size > rest || header->binary_size != rest - header->names_size || header->binary_size == 0)
        return false;
    if (header->names_size && content[sizeof *header + header->names_size - 1])
        return false;
    uint64_t sum[2];
    checksum_of(content + sizeof *header, rest, sum);
    return !memcmp(sum, header->checksum, sizeof sum);
}

static cl_program program_of(const mr_runtime *rt, const unsigned char *binary, size_t size, const char *options)
{
    cl_int loaded, status;
    cl_program program = clCreateProgramWithBinary(rt->context, 1, &rt->device, &size, &binary, &loaded, &status);
    if (!program)
        return NULL;
    if (status || loaded || clBuildProgram(program, 1, &rt->device, options, NULL, NULL)) {
        clReleaseProgram(program);
        return NULL;
    }
    return program;
}

bool mr_cache_load(mr_runtime *rt, struct mr_program *p)
{
    if (!rt->cache_folder)
        return false;
    struct mr_str path = {0};
    struct entry_header header;
    size_t size = 0;
    unsigned char *content = entry_path(rt, p, &path) ? NULL : read_entry(path.text, &size);
    bool good = content && trusted(p, content, size, &header);
    if (good) {
        const char *names = (const char *)content + sizeof header, *end = names + header.names_size;
        p->handle = program_of(rt, (const unsigned char *)end, header.binary_size, p->options);
        good = p->handle != NULL;
        for (; good && names < end; names += strlen(names) + 1)
            good = !mr_program_launched(p, names);
    }
    if (content && !good)
        mr_log(MR_LOG_INFO, "the cache's entry %s is broken or foreign: it is made anew", path.text);
    free(content);
    mr_str_free(&path);
    p->cached = good;
    p->grown = false;
    return good;
}

static int write_whole(const char *path, int file, const void *content, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(file, (const char *)content + done, size - done);
        if (n <= 0)
            return mr_fail(MR_EFILE, "%s cannot be written: %s", path, strerror(n ? errno : ENOSPC));
        done += (size_t)n;
    }
    return 0;
}

/* names and binary, as one block behind the header. */
static int entry_content(const mr_runtime *rt, const struct mr_program *p, struct mr_str *content)
{
    struct entry_header header = {.format = FORMAT, .key = {p->key[0], p->key[1]}};
    memcpy(header.magic, magic, sizeof magic);
    MR_TRY(mr_str_append(content, &header, sizeof header));
    for (int i = 0; i < p->launched_count; i++)
        MR_TRY(mr_str_append(content, p->launched[i], strlen(p->launched[i]) + 1));
    header.names_size = (uint32_t)(content->size - sizeof header);
    size_t size = 0;
    cl_int status = clGetProgramInfo(p->handle, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL);
    if (status || size == 0 || size > largest_entry)
        return mr_cl_fail(status, "%s gives no binary", rt->table->files[p->file].name);
    unsigned char *binary = mr_alloc(size, 1);
    if (!binary)
        return MR_ENOMEM;
    status = clGetProgramInfo(p->handle, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL);
    int err = status ? mr_cl_fail(status, "%s gives no binary", rt->table->files[p->file].name)
                     : mr_str_append(content, binary, size);
    free(binary);
    if (err)
        return err;
    header.binary_size = size;
    checksum_of(content->text + sizeof header, content->size - sizeof header, header.checksum);
    memcpy(content->text, &header, sizeof header);
    return 0;
}

static int write_entry(const mr_runtime *rt, const struct mr_program *p)
{
    struct mr_str path = {0}, temporary = {0}, content = {0};
    int file = -1, err = 0;
    MR_GO(entry_content(rt, p, &content));
    MR_GO(entry_path(rt, p, &path));
    MR_GO(mr_str_printf(&temporary, "%s/.new-XXXXXX", rt->cache_folder));
    file = mkostemp(temporary.text, O_CLOEXEC);
    if (file < 0)
        MR_GO(mr_fail(MR_EFILE, "no file can be made in '%s': %s", rt->cache_folder, strerror(errno)));
    err = write_whole(temporary.text, file, content.text, content.size);
    if (close(file) && !err)
        err = mr_fail(MR_EFILE, "%s cannot be written: %s", temporary.text, strerror(errno));
    if (!err && rename(temporary.text, path.text))
        err = mr_fail(MR_EFILE, "%s cannot be renamed to %s: %s", temporary.text, path.text, strerror(errno));
    if (err)
        unlink(temporary.text);

fail:
    mr_str_free(&content);
    mr_str_free(&temporary);
    mr_str_free(&path);
    return err;
}

void mr_cache_write(mr_runtime *rt)
{
    for (int i = 0; rt->cache_folder && i < rt->program_count; i++) {
        const struct mr_program *p = rt->programs[i];
        if (!p->grown)
            continue;
        if (write_entry(rt, p)) {
            mr_log(MR_LOG_WARNING, "a compiled kernel is not kept: %s", mr_error_text());
            return; /* the next ones would fail likewise */
        }
        rt->cache_written++;
    }
}
