/* SPDX-License-Identifier: GPL-3.0-or-later
 * Pickles: plain data of every protocol comes out, and nothing else ever does. */
#include "unit_test.h"

#include <math.h>

#include "io/pickle.h"
#include "io/torch_tree.h"

/* Reads a copy of exactly this size, so that a sanitizer sees what is read beyond it. */
static int parse(const void *bytes, size_t size, json_t **json)
{
    uint8_t *copy = malloc(size);
    struct mr_pickle pickle;
    assert_true(!size || copy);
    if (size)
        memcpy(copy, bytes, size);
    int err = mr_pickle_read(&pickle, copy, size, "test.pkl");
    if (!err) {
        json_t *result = mr_pickled_json(&pickle, pickle.root, "test.pkl");
        if (!result)
            err = MR_EFILE;
        if (json)
            *json = result;
        else
            json_decref(result);
        mr_pickle_free(&pickle);
    }
    free(copy);
    return err;
}

#define PARSE(bytes) parse(bytes, sizeof(bytes) - 1, NULL)

/* pickle.dumps(o, protocol) of the object that plain_json describes; in protocol 2 without "b", as bytes need
 * a function there. Python writes the same for 5 as for 4, but for the number. */
static const struct {
    size_t size;
    const char *bytes;
} plain[] = {
    {278, "\x80\x02\x7d\x71\x00\x28\x58\x01\x00\x00\x00\x61\x71\x01\x4b\x01\x58\x04\x00\x00\x00\x6c\x69\x73"
          "\x74\x71\x02\x5d\x71\x03\x28\x4b\x01\x4b\x02\x4a\xfd\xff\xff\xff\x4d\x2c\x01\x4a\x70\x11\x01\x00"
          "\x4a\x90\xee\xfe\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80\x65"
          "\x58\x01\x00\x00\x00\x74\x71\x04\x88\x89\x4e\x87\x71\x05\x58\x01\x00\x00\x00\x66\x71\x06\x5d\x71"
          "\x07\x28\x47\x3f\xe0\x00\x00\x00\x00\x00\x00\x47\x7f\xf0\x00\x00\x00\x00\x00\x00\x65\x58\x04\x00"
          "\x00\x00\x74\x65\x78\x74\x71\x08\x58\x05\x00\x00\x00\x63\x61\x66\xc3\xa9\x71\x09\x58\x04\x00\x00"
          "\x00\x64\x65\x65\x70\x71\x0a\x7d\x71\x0b\x58\x01\x00\x00\x00\x78\x71\x0c\x7d\x71\x0d\x58\x01\x00"
          "\x00\x00\x79\x71\x0e\x5d\x71\x0f\x28\x5d\x71\x10\x7d\x71\x11\x29\x65\x73\x73\x4b\x03\x58\x07\x00"
          "\x00\x00\x69\x6e\x74\x20\x6b\x65\x79\x71\x12\x58\x04\x00\x00\x00\x73\x61\x6d\x65\x71\x13\x5d\x71"
          "\x14\x28\x58\x06\x00\x00\x00\x73\x68\x61\x72\x65\x64\x71\x15\x68\x15\x68\x15\x65\x58\x03\x00\x00"
          "\x00\x62\x69\x67\x71\x16\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x40\x58\x05\x00\x00\x00\x65\x6d"
          "\x70\x74\x79\x71\x17\x58\x00\x00\x00\x00\x71\x18\x75\x2e"},
    {293, "\x80\x03\x7d\x71\x00\x28\x58\x01\x00\x00\x00\x61\x71\x01\x4b\x01\x58\x04\x00\x00\x00\x6c\x69\x73"
          "\x74\x71\x02\x5d\x71\x03\x28\x4b\x01\x4b\x02\x4a\xfd\xff\xff\xff\x4d\x2c\x01\x4a\x70\x11\x01\x00"
          "\x4a\x90\xee\xfe\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80\x65"
          "\x58\x01\x00\x00\x00\x74\x71\x04\x88\x89\x4e\x87\x71\x05\x58\x01\x00\x00\x00\x66\x71\x06\x5d\x71"
          "\x07\x28\x47\x3f\xe0\x00\x00\x00\x00\x00\x00\x47\x7f\xf0\x00\x00\x00\x00\x00\x00\x65\x58\x04\x00"
          "\x00\x00\x74\x65\x78\x74\x71\x08\x58\x05\x00\x00\x00\x63\x61\x66\xc3\xa9\x71\x09\x58\x04\x00\x00"
          "\x00\x64\x65\x65\x70\x71\x0a\x7d\x71\x0b\x58\x01\x00\x00\x00\x78\x71\x0c\x7d\x71\x0d\x58\x01\x00"
          "\x00\x00\x79\x71\x0e\x5d\x71\x0f\x28\x5d\x71\x10\x7d\x71\x11\x29\x65\x73\x73\x4b\x03\x58\x07\x00"
          "\x00\x00\x69\x6e\x74\x20\x6b\x65\x79\x71\x12\x58\x01\x00\x00\x00\x62\x71\x13\x43\x03\x72\x61\x77"
          "\x71\x14\x58\x04\x00\x00\x00\x73\x61\x6d\x65\x71\x15\x5d\x71\x16\x28\x58\x06\x00\x00\x00\x73\x68"
          "\x61\x72\x65\x64\x71\x17\x68\x17\x68\x17\x65\x58\x03\x00\x00\x00\x62\x69\x67\x71\x18\x8a\x09\x00"
          "\x00\x00\x00\x00\x00\x00\x00\x40\x58\x05\x00\x00\x00\x65\x6d\x70\x74\x79\x71\x19\x58\x00\x00\x00"
          "\x00\x71\x1a\x75\x2e"},
    {227, "\x80\x04\x95\xd8\x00\x00\x00\x00\x00\x00\x00\x7d\x94\x28\x8c\x01\x61\x94\x4b\x01\x8c\x04\x6c\x69"
          "\x73\x74\x94\x5d\x94\x28\x4b\x01\x4b\x02\x4a\xfd\xff\xff\xff\x4d\x2c\x01\x4a\x70\x11\x01\x00\x4a"
          "\x90\xee\xfe\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80\x65\x8c"
          "\x01\x74\x94\x88\x89\x4e\x87\x94\x8c\x01\x66\x94\x5d\x94\x28\x47\x3f\xe0\x00\x00\x00\x00\x00\x00"
          "\x47\x7f\xf0\x00\x00\x00\x00\x00\x00\x65\x8c\x04\x74\x65\x78\x74\x94\x8c\x05\x63\x61\x66\xc3\xa9"
          "\x94\x8c\x04\x64\x65\x65\x70\x94\x7d\x94\x8c\x01\x78\x94\x7d\x94\x8c\x01\x79\x94\x5d\x94\x28\x5d"
          "\x94\x7d\x94\x29\x65\x73\x73\x4b\x03\x8c\x07\x69\x6e\x74\x20\x6b\x65\x79\x94\x8c\x01\x62\x94\x43"
          "\x03\x72\x61\x77\x94\x8c\x04\x73\x61\x6d\x65\x94\x5d\x94\x28\x8c\x06\x73\x68\x61\x72\x65\x64\x94"
          "\x68\x17\x68\x17\x65\x8c\x03\x62\x69\x67\x94\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x40\x8c\x05"
          "\x65\x6d\x70\x74\x79\x94\x8c\x00\x94\x75\x2e"},
};

static const char plain_json[] =
    "{\"a\": 1, \"list\": [1, 2, -3, 300, 70000, -70000, 1099511627776, -9223372036854775808],"
    "\"t\": [true, false, null], \"f\": [0.5, \"inf\"], \"text\": \"caf\u00e9\", \"deep\": {\"x\": {\"y\": "
    "[[], {}, []]}},"
    "\"3\": \"int key\", \"b\": null, \"same\": [\"shared\", \"shared\", \"shared\"], \"big\": "
    "1180591620717411303424.0,"
    "\"empty\": \"\"}";

static void test_plain_data_of_every_protocol(void **state)
{
    (void)state;
    for (int protocol = 2; protocol <= 5; protocol++) {
        size_t k = protocol < 4 ? (size_t)protocol - 2 : 2;
        uint8_t bytes[512];
        json_t *got = NULL, *want = json_loads(plain_json, 0, NULL);
        assert_non_null(want);
        if (protocol == 2)
            json_object_del(want, "b");
        memcpy(bytes, plain[k].bytes, plain[k].size);
        bytes[1] = (uint8_t)protocol;
        assert_ok(parse(bytes, plain[k].size, &got));
        char *text = json_dumps(got, 0);
        if (!json_equal(got, want))
            fail_msg("protocol %d: %s", protocol, text);
        free(text);
        json_decref(got);
        json_decref(want);
    }
}

static void test_a_pickle_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(plain); k++)
        for (size_t n = 0; n < plain[k].size; n++) {
            assert_int_equal(parse(plain[k].bytes, n, NULL), MR_EFILE);
            assert_non_null(strstr(mr_error_text(), "test.pkl: byte "));
        }
}

static void test_altered_pickles_are_survived(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(plain); k++)
        for (size_t i = 0; i < plain[k].size; i++)
            for (int to = 0; to < 256; to++) {
                uint8_t bytes[512];
                memcpy(bytes, plain[k].bytes, plain[k].size);
                bytes[i] = (uint8_t)to;
                int err = parse(bytes, plain[k].size, NULL);
                if (err && (err != MR_EFILE || !strstr(mr_error_text(), "test.pkl")))
                    fail_msg("protocol %zu, byte %zu: error %d: %s", k + 2, i, err, mr_error_text());
            }
}

static void test_names_that_only_an_attack_asks_for_are_refused(void **state)
{
    (void)state;
    assert_fails(MR_EFILE, "'posix.system'",
                 PARSE("\x80\x02"
                       "cposix\nsystem\nX\x04\0\0\0true\x85R."));
    assert_fails(MR_EFILE, "nothing was run", PARSE("cos\nsystem\n(X\x04\0\0\0truetR."));
    assert_fails(MR_EFILE, "'nt.system'",
                 PARSE("\x80\x02"
                       "cnt\nsystem\nX\x04\0\0\0true\x85R."));
    assert_fails(MR_EFILE, "'subprocess.Popen'",
                 PARSE("\x80\x04\x8c\x0a"
                       "subprocess\x8c\x05"
                       "Popen\x93]\x8c\x04true"
                       "a\x85R."));
    assert_fails(MR_EFILE, "'builtins.exec'",
                 PARSE("\x80\x04\x8c\x08"
                       "builtins\x8c\x04"
                       "exec\x93\x8c\x01x\x85R."));
    assert_fails(MR_EFILE, "'builtins.getattr'",
                 PARSE("\x80\x03"
                       "cbuiltins\ngetattr\nccollections\nOrderedDict\nX\x08\0\0\0__init__\x86R."));
    assert_ok(PARSE("\x80\x02"
                    "c_codecs\nencode\nX\x01\0\0\0xX\x06\0\0\0latin1\x86R."));
    assert_fails(MR_EFILE, "'builtins.eval'",
                 PARSE("\x80\x04\x8c\x08"
                       "builtins\x8c\x04"
                       "eval\x93)R."));
    assert_ok(PARSE("\x80\x02"
                    "c__builtin__\nset\n]\x85R."));
    assert_ok(PARSE("\x80\x02"
                    "ctorch\nload\nX\x01\0\0\0x\x85R."));
    assert_ok(PARSE("\x80\x02"
                    "ctorch._utils\n_rebuild_qtensor\n)R."));
    assert_ok(PARSE("\x80\x02"
                    "ctorch.FloatStorage\nx\n."));
    assert_ok(PARSE("\x80\x02"
                    "ctorch\n_utils._rebuild_tensor_v2.x\n."));
    assert_fails(MR_EFILE, "?[31m", PARSE("cos\n\x1b[31m\n."));
    assert_ok(PARSE("c\n\n."));
    char name[5000] = "cos\n";
    memset(name + 4, 'n', sizeof name - 4);
    memcpy(name + sizeof name - 3, "\n.", 3);
    assert_fails(MR_EFILE, "os.nnnn", parse(name, sizeof name - 1, NULL));
}

static void test_names_are_used_as_torch_uses_them(void **state)
{
    (void)state;
    assert_ok(PARSE("\x80\x02"
                    "ccollections\nOrderedDict\n)R."));
    assert_ok(PARSE("\x80\x02"
                    "ccollections\nOrderedDict\n]\x85R."));
    assert_fails(MR_EFILE, "'collections.OrderedDict' in a way",
                 PARSE("\x80\x02"
                       "ccollections\nOrderedDict\n]]a\x85R."));
    assert_fails(MR_EFILE, "not a name",
                 PARSE("\x80\x02]"
                       ")R."));
    assert_fails(MR_EFILE, "not a name",
                 PARSE("\x80\x02"
                       "ccollections\nOrderedDict\n]R."));
    assert_ok(PARSE("\x80\x02"
                    "ccollections\nOrderedDict\n."));
    assert_fails(MR_EFILE, "'torch.FloatStorage' in a way",
                 PARSE("\x80\x02"
                       "ctorch\nFloatStorage\n)R."));
    assert_fails(MR_EFILE, "no object", PARSE("\x80\x02]}b."));
    assert_ok(PARSE("\x80\x02}}b."));
    /* operations that need extensions or other buffers: EXT1 to 4, PERSID, NEXT_BUFFER, READONLY_BUFFER */
    static const uint8_t others[] = {0x82, 0x83, 0x84, 'P', 0x97, 0x98};
    for (size_t i = 0; i < sizeof others; i++) {
        uint8_t bytes[] = {0x80, 2, '(', ')', others[i], '.'};
        assert_fails(MR_EFILE, "is not one that plain data", parse(bytes, sizeof bytes, NULL));
    }
}

static void expect_json(const char *bytes, size_t size, const char *text)
{
    json_t *got = NULL, *want = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(want);
    assert_ok(parse(bytes, size, &got));
    char *shown = json_dumps(got, JSON_ENCODE_ANY);
    if (!json_equal(got, want))
        fail_msg("%s instead of %s", shown, text);
    free(shown);
    json_decref(got);
    json_decref(want);
}

#define EXPECT(bytes, text) expect_json(bytes, sizeof(bytes) - 1, text)

/* pickle.dumps of Python 2 and 3 in protocols 0 and 1. */
static void test_lines_of_protocol_0(void **state)
{
    (void)state;
    EXPECT("(dp0\nVa\np1\nI1\nsVl\np2\n(lp3\nI-3\naF0.5\naL5L\naL1180591620717411303424L\naFinf\naI01\naI00\naNas.",
           "{\"a\": 1, \"l\": [-3, 0.5, 5, 1180591620717411303424.0, \"inf\", true, false, null]}");
    EXPECT("Vcaf\xe9 \\u20ac \\U0001f600 \\ud83d\\ude00 \\u005cu\n.",
           "\"caf\u00e9 \u20ac \\ud83d\\ude00 \\ud83d\\ude00 \\\\u\"");
    EXPECT("(S'it\\'s\\n\\x41'\nS\"'\"\nlp0\n.", "[\"it's\\nA\", \"'\"]");
    EXPECT("(lp0\nVx\np12\nag12\na.", "[\"x\", \"x\"]");
    EXPECT("ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR(dVlr\nI2\nsb.", "{\"lr\": 2}");
    EXPECT("(I7\nicfg\nOld\n(dVlr\nI2\nsb.", "{\"lr\": 2}");
    EXPECT("(ccfg\nOld\nI7\no(dVlr\nI2\nsb.", "{\"lr\": 2}");
    EXPECT("ccollections\nOrderedDict\n((lp0\n(lp1\nVa\naI1\naatR.", "{\"a\": 1}");
    assert_fails(MR_EFILE, "'posix.system'", PARSE("(Vtrue\niposix\nsystem\n."));
    assert_fails(MR_EFILE, "where a number belongs", PARSE("I0x7\n."));
    assert_fails(MR_EFILE, "where a number belongs", PARSE("I\n."));
    assert_fails(MR_EFILE, "where a number belongs", PARSE("Lnan\n."));
    assert_fails(MR_EFILE, "where a number belongs", PARSE("F1,5\n."));
    assert_fails(MR_EFILE, "where a number belongs", PARSE("Np-1\n."));
    assert_fails(MR_EFILE, "without its quotes", PARSE("Sx\n."));
    assert_fails(MR_EFILE, "within an escape", PARSE("S'\\'\n."));
    assert_fails(MR_EFILE, "Python does not write", PARSE("S'\\xg0'\n."));
    assert_fails(MR_EFILE, "Python does not write", PARSE("V\\u12\n."));
    assert_fails(MR_EFILE, "ends within a line", PARSE("Vabc"));
    assert_fails(MR_EFILE, "a mark is missing", PARSE("iposix\nx\n."));
    assert_fails(MR_EFILE, "not made as Python does it", PARSE("(o."));
}

static void test_plain_objects_of_torch_are_data(void **state)
{
    (void)state;
    EXPECT("\x80\x02"
           "ctorch\nbfloat16\n.",
           "\"torch.bfloat16\"");
    EXPECT("\x80\x02"
           "ctorch\ndevice\nX\x04\0\0\0cudaK\1\x86R.",
           "\"cuda:1\"");
    EXPECT("\x80\x02"
           "ctorch\nSize\nK\2K\3\x86\x85R.",
           "[2, 3]");
}

/* What is asked for is listed, attacks too, and none of it stops the list. */
static void test_names_are_listed(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\x02]("
                                "cposix\nsystem\nX\x04\0\0\0true\x85R"
                                "ccollections\nOrderedDict\n)R"
                                "ccollections\nOrderedDict\n)R"
                                "cargparse\nNamespace\n)\x81"
                                "e.rest";
    struct mr_pickle_asked asked = {0};
    size_t used;
    assert_ok(mr_pickle_globals(&asked, (const uint8_t *)bytes, sizeof bytes - 1, &used, "test.pkl"));
    assert_int_equal(used, sizeof bytes - 5);
    assert_int_equal(asked.count, 3);
    assert_string_equal(asked.list[0].name, "posix.system");
    assert_int_equal(asked.list[0].use, MR_PICKLE_REFUSED);
    assert_string_equal(asked.list[1].name, "collections.OrderedDict");
    assert_int_equal(asked.list[1].use, MR_PICKLE_AS_DATA);
    assert_int_equal(asked.list[1].count, 2);
    assert_int_equal(asked.list[2].use, MR_PICKLE_LEFT_OUT);
    free(asked.list);
}

static void test_wrong_stacks_and_memos_are_refused(void **state)
{
    (void)state;
    assert_fails(MR_EFILE, "protocol 6", PARSE("\x80\x06N."));
    assert_fails(MR_EFILE, "0 values", PARSE("."));
    assert_fails(MR_EFILE, "2 values", PARSE("NN."));
    assert_fails(MR_EFILE, "1 values", PARSE("(."));
    assert_fails(MR_EFILE, "stack is empty", PARSE("0."));
    assert_fails(MR_EFILE, "a mark is missing", PARSE("1."));
    assert_fails(MR_EFILE, "a mark is missing", PARSE("Nt."));
    assert_fails(MR_EFILE, "lacks its items", PARSE("N\x86."));
    assert_fails(MR_EFILE, "lacks its items", PARSE("N(N\x86."));
    assert_fails(MR_EFILE, "belongs to no list", PARSE("NNa."));
    assert_fails(MR_EFILE, "belongs to no list", PARSE("a."));
    assert_fails(MR_EFILE, "belong to no list", PARSE("N(Ne."));
    assert_fails(MR_EFILE, "belong to no list", PARSE("}(Nu."));
    assert_fails(MR_EFILE, "belong to no list", PARSE("((Ne."));
    assert_fails(MR_EFILE, "was never made", PARSE("h\x07."));
    assert_fails(MR_EFILE, "was never made", PARSE("j\xff\xff\xff\xff."));
    assert_fails(MR_EFILE, "a memo of number", PARSE("Nr\xff\xff\xff\x7f."));
    assert_fails(MR_EFILE, "a memo of number", PARSE("q\0."));
    assert_fails(MR_EFILE, "reaches beyond its end",
                 PARSE("X\xff\xff\xff\xff"
                       "abc."));
    assert_fails(MR_EFILE, "reaches beyond its end",
                 PARSE("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                       "abc."));
    assert_fails(MR_EFILE, "ends within a number", PARSE("\x8b\xff\xff\xff\xff."));
    assert_ok(PARSE("X\x02\0\0\0\xff\xfe.")); /* as U+FFFD */
    assert_fails(MR_EFILE, "not a simple one", PARSE("}]Ns."));
    assert_fails(MR_EFILE, "not a simple one", PARSE("}X\x02\0\0\0a\0Ns."));
}

/* A list in a list in a list ...; a list that holds itself; lists that hold the next one many times. */
static void test_endless_values_are_refused(void **state)
{
    (void)state;
    char deep[400], *p = deep;
    memset(deep, ']', 200);
    memset(deep + 200, 'a', 199);
    deep[399] = '.';
    assert_fails(MR_EFILE, "nested more than 64", parse(deep, 400, NULL));
    assert_fails(MR_EFILE, "nested more than 64", PARSE("]q\0h\0a."));
    *p++ = ']';
    for (char level = 0; level < 30; level++) { /* each holds the one before twice, which leaves the stack */
        memcpy(p, "q_0](h_h_e", 10);
        p[1] = p[6] = p[8] = level;
        p += 10;
    }
    *p++ = '.';
    assert_fails(MR_EFILE, "repeat without end", parse(deep, (size_t)(p - deep), NULL));
}

static double number(const char *bytes, size_t size)
{
    json_t *json = NULL, *object = json_object();
    double value;
    assert_ok(parse(bytes, size, &json));
    json_object_set_new(object, "value", json);
    assert_ok(mr_json_number(object, "value", &value));
    json_decref(object);
    return value;
}

#define NUMBER(bytes) number(bytes, sizeof(bytes) - 1)

static void test_numbers_of_every_length(void **state)
{
    (void)state;
    assert_true(NUMBER("K\xff.") == 255);
    assert_true(NUMBER("M\x01\xff.") == 0xff01);
    assert_true(NUMBER("J\xff\xff\xff\xff.") == -1);
    assert_true(NUMBER("J\0\0\0\x80.") == INT32_MIN);
    assert_true(NUMBER("\x8a\0.") == 0);
    assert_true(NUMBER("\x8a\x01\x80.") == -128);
    assert_true(NUMBER("\x8a\x02\xff\0.") == 255);
    assert_true(NUMBER("\x8a\x08\0\0\0\0\0\0\0\x80.") == -0x1p63);
    assert_true(NUMBER("\x8a\x09\0\0\0\0\0\0\0\x80\0.") == 0x1p63);
    assert_true(NUMBER("\x8a\x09\0\0\0\0\0\0\0\0\xff.") == -0x1p64);
    assert_true(NUMBER("\x8b\x01\0\0\0\x05.") == 5);
    assert_true(NUMBER("G\xbf\xe0\0\0\0\0\0\0.") == -0.5);
    assert_true(NUMBER("G\xff\xf0\0\0\0\0\0\0.") == -INFINITY);
    assert_true(isnan(NUMBER("G\x7f\xf8\0\0\0\0\0\0.")));
    char wide[4 + 1 + 300] = "\x8b\x2c\x01";
    memset(wide + 5, 0x7f, 300);
    char all[sizeof wide + 1];
    memcpy(all, wide, sizeof wide);
    all[sizeof wide] = '.';
    assert_true(isinf(number(all, sizeof all)));
}

#define STORAGE(count)                                      \
    "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" \
    "0X\x03\0\0\0cpu" count "tQ"
#define TENSOR(rest)                                                          \
    PARSE("\x80\x02"                                                          \
          "ctorch._utils\n_rebuild_tensor_v2\n" STORAGE("K\x0c") rest "\x89N" \
                                                                      "tR.")

static void test_tensors_stay_within_their_storage(void **state)
{
    (void)state;
    const char *plain_only = "holds a tensor where plain data is needed"; /* so it was taken for a tensor */
    assert_fails(MR_EFILE, plain_only,
                 TENSOR("K\0"
                        "K\x03K\x04\x86"
                        "K\x04K\x01\x86"));
    assert_fails(MR_EFILE, plain_only,
                 TENSOR("K\x0b"
                        ")"
                        ")"));
    assert_fails(MR_EFILE, plain_only,
                 TENSOR("K\x0c"
                        "K\0\x85"
                        "K\x01\x85"));
    assert_fails(MR_EFILE, "beyond its storage of 12",
                 TENSOR("K\x0c"
                        ")"
                        ")"));
    assert_fails(MR_EFILE, "beyond its storage of 12",
                 TENSOR("K\x01"
                        "K\x03K\x04\x86"
                        "K\x04K\x01\x86"));
    assert_fails(MR_EFILE, "beyond its storage of 12",
                 TENSOR("J\xff\xff\xff\xff"
                        "K\x03\x85"
                        "K\x01\x85"));
    assert_fails(MR_EFILE, "beyond its storage of 12",
                 TENSOR("K\0"
                        "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"
                        "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"));
    assert_fails(MR_EFILE, "not a whole number",
                 TENSOR("K\0"
                        "J\xff\xff\xff\xff\x85"
                        "K\x01\x85"));
    assert_fails(MR_EFILE, "not a whole number",
                 TENSOR("K\0"
                        "K\x02\x85"
                        "J\xff\xff\xff\xff\x85"));
    assert_fails(MR_EFILE, "not described as torch does",
                 TENSOR("K\0"
                        "K\x02\x85"
                        "K\x01K\x01\x86"));
    assert_fails(MR_EFILE, "9 dimensions",
                 TENSOR("K\0"
                        "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t"
                        "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t"));
    assert_fails(MR_EFILE, "storage is not described", PARSE("\x80\x02" STORAGE("J\xff\xff\xff\xff") "."));
    assert_fails(MR_EFILE, "storage is not described", PARSE("\x80\x02NQ."));
    assert_fails(MR_EFILE, "storage is not described", PARSE("\x80\x02(NNNNNtQ."));
}

static void test_huge_pickles_are_refused(void **state)
{
    (void)state;
    struct mr_pickle pickle;
    size_t size = MR_PICKLE_LARGEST;
    uint8_t *many = malloc(size);
    assert_non_null(many);
    memset(many, ']', size);
    assert_fails(MR_EFILE, "more than 4194304 values", mr_pickle_read(&pickle, many, size, "test.pkl"));
    free(many);
    assert_fails(MR_EFILE, "larger than any", mr_pickle_read(&pickle, NULL, (size_t)MR_PICKLE_LARGEST + 1, "test.pkl"));
    mr_pickle_free(&pickle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_data_of_every_protocol),
        cmocka_unit_test(test_a_pickle_cut_short_anywhere_is_refused),
        cmocka_unit_test(test_altered_pickles_are_survived),
        cmocka_unit_test(test_names_that_only_an_attack_asks_for_are_refused),
        cmocka_unit_test(test_names_are_used_as_torch_uses_them),
        cmocka_unit_test(test_lines_of_protocol_0),
        cmocka_unit_test(test_plain_objects_of_torch_are_data),
        cmocka_unit_test(test_names_are_listed),
        cmocka_unit_test(test_wrong_stacks_and_memos_are_refused),
        cmocka_unit_test(test_endless_values_are_refused),
        cmocka_unit_test(test_numbers_of_every_length),
        cmocka_unit_test(test_tensors_stay_within_their_storage),
        cmocka_unit_test(test_huge_pickles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
