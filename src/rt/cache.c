/* SPDX-License-Identifier: GPL-3.0-or-later
 * The program cache: one file per program and device, named by the hash of everything that it depends on. On
 * PoCL a binary holds machine code only of the kernels that ran, so entries are written when the device is
 * closed, and again when other kernels of the program ran; the names of those lie in the entry.
 *
 * An entry: struct entry_header, the kernels' names (each ended by NUL), the binary. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "rt/internal.h"

enum { FORMAT = 1 };
static const char magic[8] = "mrwkvcl";
static const size_t largest_entry = (uint64_t)1 << 30; /* bytes */

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

int mr_cache_key(const mr_runtime *rt, const char *source, const char *options, uint64_t key[2])
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return mr_fail(MR_ENOMEM, "out of memory for a hash");
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
    return 0;
}

/* Where programs keep what can be made again: XDG_CACHE_HOME, else ~/.cache; 0 where there is neither. */
static int user_cache(struct mr_str *path)
{
    const char *user = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (user && *user == '/')
        MR_TRY(mr_str_printf(path, "%s", user));
    else if (home && *home == '/')
        MR_TRY(mr_str_printf(path, "%s/.cache", home));
    return path->size > 0;
}

/* Whether the folder is there, or can be made, and can be written. */
static bool usable(const char *folder)
{
    return mr_make_folder(folder, 0700) == 0 && access(folder, R_OK | W_OK | X_OK) == 0;
}

int mr_cache_path(struct mr_str *path)
{
    const char *given = getenv("MICRORWKV_CACHE_DIR");
    int found = given && *given ? mr_str_printf(path, "%s", given) : user_cache(path);
    if (found > 0)
        found = mr_str_printf(path, "/microrwkv");
    return found < 0 ? found : path->size > 0;
}

int mr_cache_open(mr_runtime *rt)
{
    struct mr_str path = {0};
    int found = mr_cache_path(&path);
    if (!found)
        mr_log(MR_LOG_WARNING, "no folder for compiled kernels: set MICRORWKV_CACHE_DIR or HOME");
    if (found <= 0) {
        mr_str_free(&path);
        return found;
    }
    if (mr_make_folder(path.text, 0700) < 0) {
        mr_log(MR_LOG_WARNING, "cannot cache compiled kernels: %s; set MICRORWKV_CACHE_DIR", mr_error_text());
        mr_str_free(&path);
        return 0;
    }
    rt->cache_read_only = access(path.text, R_OK | W_OK | X_OK) != 0;
    if (rt->cache_read_only)
        mr_log(MR_LOG_WARNING, "cannot cache compiled kernels in '%s': %s; set MICRORWKV_CACHE_DIR", path.text,
               strerror(errno));
    rt->cache_folder = path.text;
    return 0;
}

/* A folder of this user alone, in the one for temporary files. */
static int temporary_cache(struct mr_str *path)
{
    const char *temporary = getenv("TMPDIR");
    struct stat about;
    MR_TRY(
        mr_str_printf(path, "%s/microrwkv-%ld", temporary && *temporary == '/' ? temporary : "/tmp", (long)geteuid()));
    MR_TRY(mr_make_folder(path->text, 0700));
    if (lstat(path->text, &about) || !S_ISDIR(about.st_mode) || about.st_uid != geteuid() || about.st_mode & 022)
        return mr_fail(MR_EFILE, "%s belongs to another user", path->text);
    return 0;
}

/* A folder for PoCL: in MICRORWKV_CACHE_DIR, else among the temporary files. */
static int pocl_folder(struct mr_str *path)
{
    const char *given = getenv("MICRORWKV_CACHE_DIR");
    if (given && *given) {
        MR_TRY(mr_str_printf(path, "%s/pocl", given));
        if (usable(path->text))
            return 0;
        path->size = 0;
    }
    MR_TRY(temporary_cache(path));
    MR_TRY(mr_str_printf(path, "/pocl"));
    return mr_make_folder(path->text, 0700);
}

void mr_cache_for_pocl(void)
{
    const char *given = getenv("POCL_CACHE_DIR");
    struct mr_str own = {0}, ours = {0};
    if (given && *given)
        return;
    /* where ~/.cache can be written, PoCL makes the rest, unless it was made by somebody else */
    bool good = user_cache(&own) > 0 && usable(own.text) && !mr_str_printf(&own, "/pocl");
    good = good && (access(own.text, F_OK) || access(own.text, W_OK | X_OK) == 0);
    if (!good && (pocl_folder(&ours) < 0 || setenv("POCL_CACHE_DIR", ours.text, 1)))
        mr_log(MR_LOG_WARNING, "PoCL needs a folder for compiled kernels, and %s is not writable: set POCL_CACHE_DIR",
               own.size ? own.text : "HOME is not set: /tmp");
    else if (!good)
        mr_log(MR_LOG_INFO, "PoCL caches its compiled kernels in %s", ours.text);
    mr_str_free(&own);
    mr_str_free(&ours);
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

/* Whether the content is a whole entry of this program. */
static bool trusted(const struct mr_program *p, const struct mr_str *content, struct entry_header *header)
{
    if (content->size < sizeof *header)
        return false;
    memcpy(header, content->text, sizeof *header);
    size_t rest = content->size - sizeof *header;
    if (memcmp(header->magic, magic, sizeof magic) || header->format != FORMAT ||
        memcmp(header->key, p->key, sizeof p->key))
        return false;
    if (header->names_size > rest || header->binary_size != rest - header->names_size || header->binary_size == 0)
        return false;
    if (header->names_size && content->text[sizeof *header + header->names_size - 1])
        return false;
    uint64_t sum[2];
    checksum_of(content->text + sizeof *header, rest, sum);
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

/* Somebody else's file could hold somebody else's code. */
static bool is_ours(const char *path)
{
    struct stat about;
    return !stat(path, &about) && (about.st_uid == geteuid() || about.st_uid == 0);
}

bool mr_cache_load(mr_runtime *rt, struct mr_program *p)
{
    struct mr_str path = {0}, content = {0};
    struct entry_header header;
    bool good = false;
    int err = 0;
    if (!rt->cache_folder || entry_path(rt, p, &path) || access(path.text, F_OK))
        goto end;
    good = is_ours(path.text) && !(err = mr_file_read(path.text, largest_entry, &content)) &&
           trusted(p, &content, &header);
    if (good) {
        const char *name = content.text + sizeof header, *end = name + header.names_size;
        p->handle = program_of(rt, (const unsigned char *)end, header.binary_size, p->options);
        good = p->handle != NULL;
        for (; good && !err && name < end; name += strlen(name) + 1)
            err = mr_program_launched(p, name, false);
    }
    if (err == MR_ENOMEM && p->handle) {
        clReleaseProgram(p->handle);
        p->handle = NULL;
        mr_program_forget(p);
    }
    good = good && !err;
    if (!good && err != MR_ENOMEM)
        mr_log(MR_LOG_INFO, "the cached kernel %s is damaged or from another version: compiling it again", path.text);

end:
    mr_str_free(&content);
    mr_str_free(&path);
    p->cached = good;
    p->grown = false;
    return good;
}

static int append_binary(const mr_runtime *rt, cl_program program, const char *name, struct mr_str *content)
{
    size_t size = 0;
    cl_int status = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL);
    if (status || size == 0 || size > largest_entry)
        return mr_cl_fail(status, "cannot get the binary of %s on '%s'", name, rt->info.name);
    unsigned char *binary = mr_alloc(size, 1);
    if (!binary)
        return MR_ENOMEM;
    status = clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL);
    int err = status ? mr_cl_fail(status, "cannot get the binary of %s on '%s'", name, rt->info.name)
                     : mr_str_append(content, binary, size);
    free(binary);
    return err;
}

/* header, names and binary. A program from the cache gives back the binary that it came from, without the
 * kernels that ran since: build it from its source again; PoCL finds their machine code in its own cache. */
static int entry_content(mr_runtime *rt, const struct mr_program *p, struct mr_str *content)
{
    struct entry_header header = {.format = FORMAT, .key = {p->key[0], p->key[1]}};
    memcpy(header.magic, magic, sizeof magic);
    MR_TRY(mr_str_append(content, &header, sizeof header));
    for (int i = 0; i < p->launched_count; i++)
        MR_TRY(mr_str_append(content, p->launched[i], strlen(p->launched[i]) + 1));
    header.names_size = (uint32_t)(content->size - sizeof header);
    const struct mr_kernel_file *file = &rt->table->files[p->file];
    cl_program again = NULL;
    if (p->cached)
        MR_TRY(mr_program_build(rt, file->name, file->source, p->options, &again));
    int err = append_binary(rt, again ? again : p->handle, file->name, content);
    if (again)
        clReleaseProgram(again);
    if (err)
        return err;
    header.binary_size = content->size - sizeof header - header.names_size;
    checksum_of(content->text + sizeof header, content->size - sizeof header, header.checksum);
    memcpy(content->text, &header, sizeof header);
    return 0;
}

static int write_entry(mr_runtime *rt, const struct mr_program *p)
{
    struct mr_str path = {0}, content = {0};
    int err = 0;
    MR_GO(entry_content(rt, p, &content));
    MR_GO(entry_path(rt, p, &path));
    MR_GO(mr_file_write(path.text, content.text, content.size));

fail:
    mr_str_free(&content);
    mr_str_free(&path);
    return err;
}

void mr_cache_write(mr_runtime *rt)
{
    bool said = false;
    for (int i = 0; rt->cache_folder && !rt->cache_read_only && i < rt->program_count; i++) {
        struct mr_program *p = rt->programs[i];
        if (!p->grown || (p->cached && !mr_compiles_late(rt)))
            continue;
        if (!said &&
            mr_compiles_late(rt)) /* PoCL compiles every kernel once more for its binary: up to half a minute */
            mr_log(MR_LOG_INFO, "caching the compiled kernels, so the next start is fast");
        said = true;
        if (write_entry(rt, p)) {
            mr_log(MR_LOG_WARNING, "compiled kernels were not cached: %s", mr_error_text());
            return; /* the next ones would fail likewise */
        }
        p->grown = false;
        rt->cache_written++;
    }
}
