/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sizes and places of 4 GiB and more, and more than 65534 files, use the zip64 fields. */
#include "io/zip_writer.h"

#include <string.h>
#include <zlib.h>

#include "base/error.h"

enum {
    ALIGN = 64,
    LOCAL_HEADER = 30,
    DATE_1980 = 0x21, /* the same content gives the same bytes on any day */
    VERSION = 20,
    VERSION_64 = 45,
    PADDING = 0x4246, /* the extra field that torch pads with */
};

#define LIMIT_32 0xffffffffu

static int put(struct mr_str *s, uint64_t value, int bytes)
{
    return mr_str_append(s, &value, (size_t)bytes); /* little-endian, as this code's only hosts are */
}

static uint64_t at_most_32(uint64_t n)
{
    return n < LIMIT_32 ? n : LIMIT_32;
}

/* What local header and directory have in common: from the version needed to the name's length. */
static int put_common(struct mr_str *s, uint64_t size, bool large, size_t name)
{
    MR_TRY(put(s, large ? VERSION_64 : VERSION, 2));
    MR_TRY(put(s, 0, 2)); /* flags */
    MR_TRY(put(s, 0, 2)); /* stored */
    MR_TRY(put(s, 0, 2)); /* time */
    MR_TRY(put(s, DATE_1980, 2));
    MR_TRY(put(s, 0, 4)); /* the checksum, known later */
    MR_TRY(put(s, large ? LIMIT_32 : size, 4));
    MR_TRY(put(s, large ? LIMIT_32 : size, 4));
    return put(s, name, 2);
}

static int put_local(struct mr_str *s, const struct mr_zip_writer *zip, const char *name)
{
    size_t length = strlen(name);
    bool large = zip->size >= LIMIT_32;
    uint64_t end = zip->header + LOCAL_HEADER + length + (large ? 20 : 0) + 4;
    uint64_t padding = (ALIGN - end % ALIGN) % ALIGN;
    MR_TRY(mr_str_append(s, "PK\3\4", 4));
    MR_TRY(put_common(s, zip->size, large, length));
    MR_TRY(put(s, (large ? 20 : 0) + 4 + padding, 2));
    MR_TRY(mr_str_append(s, name, length));
    if (large) {
        MR_TRY(put(s, 1, 2));
        MR_TRY(put(s, 16, 2));
        MR_TRY(put(s, zip->size, 8));
        MR_TRY(put(s, zip->size, 8));
    }
    MR_TRY(put(s, PADDING, 2));
    MR_TRY(put(s, padding, 2));
    for (uint64_t i = 0; i < padding; i++)
        MR_TRY(mr_str_append(s, "Z", 1));
    return 0;
}

static int put_record(struct mr_zip_writer *zip, const char *name)
{
    struct mr_str *s = &zip->central;
    size_t length = strlen(name);
    bool large = zip->size >= LIMIT_32, far = zip->header >= LIMIT_32;
    MR_TRY(mr_str_append(s, "PK\1\2", 4));
    MR_TRY(put(s, large || far ? VERSION_64 : VERSION, 2));
    MR_TRY(put_common(s, zip->size, large || far, length));
    MR_TRY(put(s, large || far ? 28 : 0, 2)); /* extra field */
    MR_TRY(put(s, 0, 6));                     /* comment, disk, internal attributes */
    MR_TRY(put(s, 0, 4));                     /* external attributes */
    MR_TRY(put(s, large || far ? LIMIT_32 : zip->header, 4));
    MR_TRY(mr_str_append(s, name, length));
    if (large || far) {
        MR_TRY(put(s, 1, 2));
        MR_TRY(put(s, 24, 2));
        MR_TRY(put(s, zip->size, 8));
        MR_TRY(put(s, zip->size, 8));
        MR_TRY(put(s, zip->header, 8));
    }
    return 0;
}

int mr_zip_begin(struct mr_zip_writer *zip, const char *name, uint64_t size)
{
    struct mr_str local = {0};
    zip->header = mr_writer_position(zip->out);
    zip->size = zip->left = size;
    zip->crc = 0;
    zip->record = zip->central.size;
    zip->count++;
    int err = put_local(&local, zip, name);
    if (!err)
        err = put_record(zip, name);
    if (!err)
        err = mr_writer_write(zip->out, local.text, local.size);
    mr_str_free(&local);
    return err;
}

int mr_zip_append(struct mr_zip_writer *zip, const void *data, size_t size)
{
    if (size > zip->left)
        return mr_fail(MR_EINVAL, "%zu bytes are more than a file of the archive was to have", size);
    zip->left -= size;
    zip->crc = (uint32_t)crc32_z(zip->crc, data, size);
    return mr_writer_write(zip->out, data, size);
}

int mr_zip_end(struct mr_zip_writer *zip)
{
    if (zip->left)
        return mr_fail(MR_EINVAL, "a file of the archive lacks %llu bytes", (unsigned long long)zip->left);
    memcpy(zip->central.text + zip->record + 16, &zip->crc, 4);
    return mr_writer_patch(zip->out, zip->header + 14, &zip->crc, 4);
}

static int put_end(struct mr_str *s, const struct mr_zip_writer *zip, uint64_t at)
{
    uint64_t size = zip->central.size;
    if (at >= LIMIT_32 || size >= LIMIT_32 || zip->count >= 0xffff) {
        MR_TRY(mr_str_append(s, "PK\6\6", 4));
        MR_TRY(put(s, 44, 8)); /* bytes of this record that follow */
        MR_TRY(put(s, VERSION_64, 2));
        MR_TRY(put(s, VERSION_64, 2));
        MR_TRY(put(s, 0, 8)); /* disks */
        MR_TRY(put(s, zip->count, 8));
        MR_TRY(put(s, zip->count, 8));
        MR_TRY(put(s, size, 8));
        MR_TRY(put(s, at, 8));
        MR_TRY(mr_str_append(s, "PK\6\7", 4));
        MR_TRY(put(s, 0, 4));
        MR_TRY(put(s, at + size, 8));
        MR_TRY(put(s, 1, 4));
    }
    uint64_t count = zip->count < 0xffff ? zip->count : 0xffff;
    MR_TRY(mr_str_append(s, "PK\5\6", 4));
    MR_TRY(put(s, 0, 4)); /* disks */
    MR_TRY(put(s, count, 2));
    MR_TRY(put(s, count, 2));
    MR_TRY(put(s, at_most_32(size), 4));
    MR_TRY(put(s, at_most_32(at), 4));
    return put(s, 0, 2); /* comment */
}

int mr_zip_finish(struct mr_zip_writer *zip)
{
    struct mr_str end = {0};
    int err = put_end(&end, zip, mr_writer_position(zip->out));
    if (!err)
        err = mr_writer_write(zip->out, zip->central.text, zip->central.size);
    if (!err)
        err = mr_writer_write(zip->out, end.text, end.size);
    mr_str_free(&end);
    return err;
}

void mr_zip_free(struct mr_zip_writer *zip)
{
    mr_str_free(&zip->central);
}
