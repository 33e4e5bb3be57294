/*
 * The binary coding: what the bytes mean, and what is refused. Expected messages are given as JSON,
 * which has tests of its own.
 */
#include "rpc/codec_fixture.h"

#define SCALARS   &codec__test__scalars__descriptor
#define OPTIONALS &codec__test__optionals__descriptor
#define LISTS     &codec__test__lists__descriptor
#define MAPS      &codec__test__maps__descriptor
#define CHOICE    &codec__test__choice__descriptor
#define NESTED    &codec__test__nested__descriptor
#define EVENT     &codec__test__event__descriptor

#define BYTES(text) (text), sizeof(text) - 1

struct proto_case {
	const ProtobufCMessageDescriptor *type;
	const char *bytes;
	size_t len;
	const char *json;
	bool not_written_so; /* read, but written in another way */
};

static const struct proto_case accepted[] = {
	{ SCALARS, BYTES(""), "{}", false },

	/* every scalar type */
	{ SCALARS, BYTES("\x08\x96\x01"), "{\"anInt32\":150}", false },
	{ SCALARS, BYTES("\x08\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "{\"anInt32\":-2}",
	  false },
	{ SCALARS, BYTES("\x10\x03"), "{\"aSint32\":-2}", false },
	{ SCALARS, BYTES("\x10\xFF\xFF\xFF\xFF\x0F"), "{\"aSint32\":-2147483648}", false },
	{ SCALARS, BYTES("\x1D\xFE\xFF\xFF\xFF"), "{\"aSfixed32\":-2}", false },
	{ SCALARS, BYTES("\x20\xFF\xFF\xFF\xFF\x0F"), "{\"anUint32\":4294967295}", false },
	{ SCALARS, BYTES("\x2D\x01\x00\x00\x80"), "{\"aFixed32\":2147483649}", false },
	{ SCALARS, BYTES("\x30\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "{\"anInt64\":\"-1\"}",
	  false },
	{ SCALARS, BYTES("\x38\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
	  "{\"aSint64\":\"-9223372036854775808\"}", false },
	{ SCALARS, BYTES("\x41\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "{\"aSfixed64\":\"-1\"}", false },
	{ SCALARS, BYTES("\x48\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
	  "{\"anUint64\":\"18446744073709551615\"}", false },
	{ SCALARS, BYTES("\x51\x01\x00\x00\x00\x00\x00\x00\x80"),
	  "{\"aFixed64\":\"9223372036854775809\"}", false },
	{ SCALARS, BYTES("\x5D\x00\x00\xC0\x3F"), "{\"aFloat\":1.5}", false },
	{ SCALARS, BYTES("\x61\x00\x00\x00\x00\x00\x00\xF8\xBF"), "{\"aDouble\":-1.5}", false },
	{ SCALARS, BYTES("\x68\x01"), "{\"aBool\":true}", false },
	{ SCALARS, BYTES("\x70\xF9\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
	  "{\"aColor\":\"COLOR_BLUE\"}", false },
	{ SCALARS, BYTES("\x70\x63"), "{\"aColor\":99}", false },
	{ SCALARS, BYTES("\x7A\x02\xC3\xA4"), "{\"aString\":\"\xC3\xA4\"}", false },
	{ SCALARS, BYTES("\x82\x01\x02\x00\xFF"), "{\"someBytes\":\"AP8=\"}", false },
	{ SCALARS, BYTES("\xF8\xFF\xFF\xFF\x0F\x01"), "{\"highNumber\":1}", false },

	/* longer than needed, in another order, twice: the last one counts */
	{ SCALARS, BYTES("\x88\x80\x00\x81\x80\x80\x80\x00"), "{\"anInt32\":1}", true },
	{ SCALARS, BYTES("\x68\x80\x80\x01"), "{\"aBool\":true}", true },
	{ SCALARS, BYTES("\x08\x81\x80\x80\x80\x10"), "{\"anInt32\":1}", true },
	{ SCALARS, BYTES("\x68\x01\x08\x01"), "{\"anInt32\":1,\"aBool\":true}", true },
	{ SCALARS, BYTES("\x08\x01\x08\x02"), "{\"anInt32\":2}", true },
	{ SCALARS, BYTES("\x7A\x01\x61\x7A\x00"), "{}", true },

	/* unknown: numbers, wire types, groups */
	{ SCALARS, BYTES("\xA0\x06\x01\xA1\x06zzzzzzzz\xA2\x06\x01z\xA5\x06zzzz\x08\x01"),
	  "{\"anInt32\":1}", true },
	{ SCALARS, BYTES("\x0D\x01\x00\x00\x00"), "{}", true },
	{ SCALARS, BYTES("\x0A\x01\x01"), "{}", true },
	{ SCALARS, BYTES("\x78\x01"), "{}", true },
	{ SCALARS, BYTES("\xA3\x06\xA4\x06\x08\x01"), "{\"anInt32\":1}", true },
	{ SCALARS, BYTES("\xA3\x06\x08\x02\xAB\x06\x7A\x01z\xAC\x06\xA4\x06\x08\x01"),
	  "{\"anInt32\":1}", true },

	/* presence */
	{ OPTIONALS,
	  BYTES("\x08\x00\x10\x00\x19\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x28\x00\x32\x00\x3A"
	        "\x00\x42\x00"),
	  "{\"anInt32\":0,\"anUint64\":\"0\",\"aDouble\":0,\"aBool\":false,"
	  "\"aColor\":\"COLOR_NONE\",\"aString\":\"\",\"someBytes\":\"\",\"scalars\":{}}",
	  false },
	{ OPTIONALS, BYTES("\x42\x02\x08\x00"), "{\"scalars\":{}}", true },

	/* lists: packed or not, both ways for both, also mixed */
	{ LISTS, BYTES("\x0A\x04\x01\x96\x01\x00"), "{\"ints\":[1,150,0]}", false },
	{ LISTS, BYTES("\x08\x01\x08\x96\x01"), "{\"ints\":[1,150]}", true },
	{ LISTS, BYTES("\x08\x01\x0A\x03\x02\x03\x04\x08\x05\x0A\x00\x0A\x01\x06"),
	  "{\"ints\":[1,2,3,4,5,6]}", true },
	{ LISTS, BYTES("\x10\x01\x10\x02"), "{\"longs\":[\"-1\",\"1\"]}", false },
	{ LISTS, BYTES("\x12\x02\x01\x02"), "{\"longs\":[\"-1\",\"1\"]}", true },
	{ LISTS, BYTES("\x1A\x08\x01\x00\x00\x00\x02\x00\x00\x00"), "{\"fixed\":[1,2]}", false },
	{ LISTS, BYTES("\x22\x08\x00\x00\x00\x00\x00\x00\xF8\x3F"), "{\"doubles\":[1.5]}", false },
	{ LISTS, BYTES("\x2A\x02\x00\x01"), "{\"bools\":[false,true]}", false },
	{ LISTS, BYTES("\x32\x02\x01\x00"), "{\"colors\":[\"COLOR_RED\",\"COLOR_NONE\"]}", false },
	{ LISTS, BYTES("\x3A\x00\x3A\x01z\x42\x00\x42\x01z"),
	  "{\"strings\":[\"\",\"z\"],\"blobs\":[\"\",\"eg==\"]}", false },
	{ LISTS, BYTES("\x4A\x00\x4A\x03\x0A\x01n"), "{\"messages\":[{},{\"name\":\"n\"}]}",
	  false },

	/* messages that come twice are merged, recursively; of oneofs the last member stays */
	{ NESTED, BYTES("\x12\x03\x0A\x01x\x12\x05\x12\x03\x0A\x01y"),
	  "{\"child\":{\"name\":\"x\",\"child\":{\"name\":\"y\"}}}", true },
	{ CHOICE, BYTES("\x22\x03\x0A\x01x\x22\x02\x12\x00"),
	  "{\"nested\":{\"name\":\"x\",\"child\":{}}}", true },
	{ CHOICE, BYTES("\x22\x03\x0A\x01x\x12\x01t"), "{\"text\":\"t\"}", true },
	{ CHOICE, BYTES("\x22\x03\x0A\x01x\x08\x01\x22\x00"), "{\"nested\":{}}", true },
	{ CHOICE, BYTES("\x08\x00"), "{\"number\":0}", false },
	{ EVENT, BYTES("\x0A\x03\x0A\x01z\x10\x05"), "{\"data\":{\"stdout\":\"eg==\"},\"pid\":5}",
	  false },

	/* maps: missing keys and values are default ones; of equal keys the last stays */
	{ MAPS, BYTES("\x0A\x06\x0A\x01\x61\x12\x01\x62"), "{\"strings\":{\"a\":\"b\"}}", false },
	{ MAPS, BYTES("\x0A\x03\x12\x01\x62\x12\x00\x32\x00"),
	  "{\"strings\":{\"\":\"b\"},\"intKeys\":{\"0\":\"COLOR_NONE\"},"
	  "\"messageValues\":{\"0\":{}}}",
	  true },
	{ MAPS,
	  BYTES("\x0A\x05\x0A\x01\x61\x12\x00\x0A\x05\x0A\x01\x62\x12\x00\x0A\x06\x0A\x01\x61\x12"
	        "\x01z"),
	  "{\"strings\":{\"b\":\"\",\"a\":\"z\"}}", true },
	{ MAPS, BYTES("\x0A\x06\x12\x01\x62\x0A\x01\x61"), "{\"strings\":{\"a\":\"b\"}}", true },
};

struct refused_case {
	const ProtobufCMessageDescriptor *type;
	const char *bytes;
	size_t len;
	const char *why;
};

static const struct refused_case refused[] = {
	{ SCALARS, BYTES("\x08"), "unexpected EOF" },
	{ SCALARS, BYTES("\x08\x80"), "unexpected EOF" },
	{ SCALARS, BYTES("\x80"), "unexpected EOF" },
	{ SCALARS, BYTES("\x1D\x01\x02\x03"), "unexpected EOF" },
	{ SCALARS, BYTES("\x7A\x02z"), "unexpected EOF" },
	{ SCALARS, BYTES("\x7A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01z"), "unexpected EOF" },
	{ SCALARS, BYTES("\xA2\x06\x02z"), "unexpected EOF" },
	{ SCALARS, BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"), "overflow" },
	{ SCALARS, BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), "overflow" },
	{ SCALARS, BYTES("\x00\x00"), "invalid field number" },
	{ SCALARS, BYTES("\x80\x80\x80\x80\x10\x00"), "invalid field number" },
	{ SCALARS, BYTES("\x0E"), "invalid wire type" },
	{ SCALARS, BYTES("\x0F"), "invalid wire type" },
	{ SCALARS, BYTES("\x0C"), "mismatching end group" },
	{ SCALARS, BYTES("\xA3\x06"), "unexpected EOF" },
	{ SCALARS, BYTES("\xA3\x06\xAC\x06"), "mismatching end group" },
	{ SCALARS, BYTES("\x7A\x01\xFF"), "field a_string contains invalid UTF-8" },
	{ SCALARS, BYTES("\x7A\x03\xED\xA0\x80"), "invalid UTF-8" },
	{ SCALARS, BYTES("\x7A\x01\x00"), "field a_string contains a NUL byte" },
	{ LISTS, BYTES("\x3A\x01\xFF"), "field strings contains invalid UTF-8" },
	{ LISTS, BYTES("\x0A\x01\x80"), "unexpected EOF" },
	{ LISTS, BYTES("\x0A\x02\x01\x80"), "unexpected EOF" },
	{ LISTS, BYTES("\x1A\x03\x01\x02\x03"), "unexpected EOF" },
	{ LISTS, BYTES("\x1A\x05\x01\x02\x03\x04\x05"), "unexpected EOF" },
	{ NESTED, BYTES("\x12\x02\x0A\x01x"), "unexpected EOF" },
	{ MAPS, BYTES("\x0A\x03\x0A\x01\xFF"), "field key contains invalid UTF-8" },
};

static void test_proto_accepted_bytes_mean_what_json_says(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct proto_case *c = &accepted[i];
		ProtobufCMessage *message = decode_bytes(f, CODEC_PROTO, c->type, c->bytes, c->len);
		const char *said;

		if (!message)
			fail_msg("%s: %s", c->json, err_text(&f->e));
		said = encode_json(f, message);
		assert_non_null(said);
		assert_string_equal(said, c->json);
	}
}

static void test_proto_messages_are_written_as_expected(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct proto_case *c = &accepted[i];
		ProtobufCMessage *message;

		if (c->not_written_so)
			continue;
		message = decode_bytes(f, CODEC_PROTO, c->type, c->bytes, c->len);
		assert_non_null(message);
		encode_proto(f, message);
		assert_int_equal(f->out.len, c->len);
		assert_memory_equal(f->out.data, c->bytes, c->len);
		message = decode_json(f, c->type, c->json);
		assert_non_null(message);
		encode_proto(f, message);
		assert_int_equal(f->out.len, c->len);
		assert_memory_equal(f->out.data, c->bytes, c->len);
	}
}

static void test_proto_refused_bytes_say_why(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct refused_case *c = &refused[i];

		if (decode_bytes(f, CODEC_PROTO, c->type, c->bytes, c->len))
			fail_msg("accepted: case %zu, %s", i, c->why);
		assert_int_equal(f->e.kind, ERR_INVALID);
		if (!strstr(err_text(&f->e), c->why))
			fail_msg("case %zu, %s: %s", i, c->why, err_text(&f->e));
	}
}

static void decode_and_say_again(struct codec_fixture *f, const ProtobufCMessageDescriptor *type,
                                 const void *bytes, size_t len)
{
	ProtobufCMessage *message = decode_bytes(f, CODEC_PROTO, type, bytes, len);

	if (!message)
		return;
	encode_proto(f, message);
	(void)encode_json(f, message);
}

static void test_proto_mutated_and_truncated_bytes_are_safe(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct proto_case *c = &accepted[i];
		uint8_t *bytes = xmalloc(c->len);

		memcpy(bytes, c->bytes, c->len);
		for (size_t at = 0; at < c->len; at++) {
			decode_and_say_again(f, c->type, bytes, at);
			for (unsigned value = 0; value < 256; value++) {
				bytes[at] = (uint8_t)value;
				decode_and_say_again(f, c->type, bytes, c->len);
			}
			bytes[at] = (uint8_t)c->bytes[at];
		}
		free(bytes);
	}
}

static void test_proto_reads_as_protobuf_c_where_that_can(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct proto_case *c = &accepted[i];
		const void *bytes = c->bytes;
		ProtobufCMessage *theirs, *ours;
		size_t size;
		uint8_t *packed;

		if (c->not_written_so)
			continue;
		theirs = protobuf_c_message_unpack(c->type, NULL, c->len, bytes);
		assert_non_null(theirs);
		ours = decode_bytes(f, CODEC_PROTO, c->type, c->bytes, c->len);
		size = protobuf_c_message_get_packed_size(theirs);
		packed = xmalloc(size);
		protobuf_c_message_pack(theirs, packed);
		encode_proto(f, ours);
		assert_int_equal(f->out.len, size);
		if (size > 0)
			assert_memory_equal(f->out.data, packed, size);
		free(packed);
		protobuf_c_message_free_unpacked(theirs, NULL);
	}
}

/* Each level is a length and what is in it, or a group. */
static void wrap(struct buf *b, bool group)
{
	struct buf inner = *b;
	size_t len = inner.len;

	buf_init(b, CODEC_MESSAGE_MEMORY_MAX);
	buf_append_byte(b, group ? 0x23 : 0x12);
	for (; !group && len >= 0x80; len >>= 7)
		buf_append_byte(b, (uint8_t)(len | 0x80));
	if (!group)
		buf_append_byte(b, (uint8_t)len);
	buf_append(b, inner.data, inner.len);
	if (group)
		buf_append_byte(b, 0x24);
	buf_deinit(&inner);
}

static void test_proto_nesting_ends_at_the_limit(void **state)
{
	struct codec_fixture *f = *state;

	for (int group = 0; group <= 1; group++) {
		struct buf b = { 0 };

		for (unsigned i = 1; i < CODEC_PROTO_DEPTH_MAX; i++)
			wrap(&b, group);
		assert_non_null(decode_bytes(f, CODEC_PROTO, NESTED, b.data, b.len));
		wrap(&b, group);
		assert_null(decode_bytes(f, CODEC_PROTO, NESTED, b.data, b.len));
		assert_int_equal(f->e.kind, ERR_INVALID);
		for (unsigned i = 0; i < 10000; i++)
			wrap(&b, group);
		assert_null(decode_bytes(f, CODEC_PROTO, NESTED, b.data, b.len));
		buf_deinit(&b);
	}
}

/* Two bytes that become a pointer and a message each; and one that becomes four. */
static void test_proto_what_grows_ends_at_the_memory_limit(void **state)
{
	static const char bytes[] = "\x4A\x00";
	struct codec_fixture *f = *state;
	struct buf b;
	uint8_t *packed;

	buf_init(&b, SIZE_MAX / 4);
	for (int i = 0; i < 200000; i++)
		buf_append(&b, bytes, 2);
	assert_non_null(decode_bytes(f, CODEC_PROTO, LISTS, b.data, b.len));
	arena_deinit(&f->arena);
	arena_init(&f->arena, 8 * 1024 * 1024, NULL, 0);
	assert_null(decode_bytes(f, CODEC_PROTO, LISTS, b.data, b.len));
	assert_int_equal(f->e.kind, ERR_LIMIT);

	buf_reset(&b, SIZE_MAX);
	buf_append_text(&b, "\x0A\x80\x80\x80\x02"); /* 4 MiB */
	packed = buf_extend(&b, 4 * 1024 * 1024);
	assert_non_null(packed);
	memset(packed, 1, 4 * 1024 * 1024);
	assert_null(decode_bytes(f, CODEC_PROTO, LISTS, b.data, b.len));
	assert_int_equal(f->e.kind, ERR_LIMIT);
	buf_deinit(&b);
}

static void test_proto_every_allocation_failure_is_refused(void **state)
{
	struct codec_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
		const struct proto_case *c = &accepted[i];

		for (unsigned nth = 1;; nth++) {
			ProtobufCMessage *message;

			mem_fail_nth(nth);
			message = decode_bytes(f, CODEC_PROTO, c->type, c->bytes, c->len);
			if (!mem_fail_nth(0)) {
				assert_non_null(message);
				break;
			}
			assert_null(message);
			assert_int_equal(f->e.kind, ERR_LIMIT);
		}
	}
}

#define REPAIRED "a\xEF\xBF\xBD"

static void test_proto_invalid_text_is_repaired_wherever_it_is(void **state)
{
	struct codec_fixture *f = *state;
	Codec__Test__Nested inner = CODEC__TEST__NESTED__INIT, m = CODEC__TEST__NESTED__INIT;
	Codec__Test__Nested__ChildrenEntry entry = CODEC__TEST__NESTED__CHILDREN_ENTRY__INIT;
	Codec__Test__Nested__ChildrenEntry *entries[] = { &entry };
	char bad[] = "a\xFF", good[] = "g";

	inner.name = bad;
	m.name = good;
	m.child = &inner;
	entry.key = bad;
	entry.value = &inner;
	m.n_children = 1;
	m.children = entries;
	encode_proto(f, &m.base);
	assert_string_equal(
		encode_json(f, decode_bytes(f, CODEC_PROTO, NESTED, f->out.data, f->out.len)),
		"{\"name\":\"g\",\"child\":{\"name\":\"" REPAIRED "\"},\"children\":{\"" REPAIRED
		"\":{\"name\":\"" REPAIRED "\"}}}");
	assert_string_equal(inner.name, "a\xFF");
}

static void test_proto_repair_survives_every_allocation_failure(void **state)
{
	struct codec_fixture *f = *state;
	Codec__Test__Lists m = CODEC__TEST__LISTS__INIT;
	char bad[] = "a\xFF", good[] = "g";
	char *strings[] = { good, bad };

	m.n_strings = 2;
	m.strings = strings;
	for (unsigned nth = 1;; nth++) {
		buf_deinit(&f->out);
		buf_init(&f->out, 1000);
		mem_fail_nth(nth);
		assert_int_equal(codec_encode(CODEC_PROTO, &m.base, &f->out, &f->e), 0);
		if (!mem_fail_nth(0))
			break;
		assert_int_equal(buf_error(&f->out), -ENOMEM);
	}
	assert_int_equal(f->out.len, 9);
}

/* protobuf-c leaves out a oneof's string that is its own empty one; a decoded "" is another. */
static void test_proto_explicit_empty_text_is_kept(void **state)
{
	struct codec_fixture *f = *state;
	ProtobufCMessage *message = decode_json(f, OPTIONALS, "{\"aString\":\"\"}");

	encode_proto(f, message);
	assert_int_equal(f->out.len, 2);
	message = decode_bytes(f, CODEC_PROTO, OPTIONALS, f->out.data, f->out.len);
	encode_proto(f, message);
	assert_int_equal(f->out.len, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_proto_accepted_bytes_mean_what_json_says),
		TEST(test_proto_messages_are_written_as_expected),
		TEST(test_proto_refused_bytes_say_why),
		TEST(test_proto_mutated_and_truncated_bytes_are_safe),
		TEST(test_proto_reads_as_protobuf_c_where_that_can),
		TEST(test_proto_nesting_ends_at_the_limit),
		TEST(test_proto_what_grows_ends_at_the_memory_limit),
		TEST(test_proto_every_allocation_failure_is_refused),
		TEST(test_proto_invalid_text_is_repaired_wherever_it_is),
		TEST(test_proto_repair_survives_every_allocation_failure),
		TEST(test_proto_explicit_empty_text_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
