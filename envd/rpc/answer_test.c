/*
 * An answer that is encoded piece by piece says the same as one that is encoded as a whole.
 */
#include "rpc/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "codec_test.pb-c.h"
#include "http/coding.h"
#include "rpc/envelope.h"
#include "tests/support/test.h"

#define N_ENTRIES 3u

#define MIB (1024u * 1024u)

static void freep_answer(struct answer **a)
{
	answer_free(*a);
}

static Codec__Test__Nested *entry_named(Codec__Test__Nested *room, char *name)
{
	codec__test__nested__init(room);
	room->name = name;
	return room;
}

struct directory {
	Codec__Test__Nested rooms[N_ENTRIES];
	Codec__Test__Nested *entries[N_ENTRIES];
	Codec__Test__Directory message;
};

/* One of them is a name of bytes that are no text. */
static void directory_init(struct directory *d, size_t n)
{
	static char first[] = "a \"b\"", second[] = "\xFF\xFE", third[] = "";
	char *names[N_ENTRIES] = { first, second, third };

	codec__test__directory__init(&d->message);
	for (size_t i = 0; i < n; i++)
		d->entries[i] = entry_named(&d->rooms[i], names[i]);
	d->message.the_entries = d->entries;
	d->message.n_the_entries = n;
}

static const struct answer_form forms[] = {
	{ &codec__test__directory__descriptor, CODEC_JSON, false, false },
	{ &codec__test__directory__descriptor, CODEC_JSON, false, true },
	{ &codec__test__directory__descriptor, CODEC_JSON, true, false },
	{ &codec__test__directory__descriptor, CODEC_PROTO, false, false },
	{ &codec__test__directory__descriptor, CODEC_PROTO, true, true },
};

/* The message's bytes of a sealed answer, out of their frame and unpacked. */
static void read_back(struct answer *a, const struct answer_form *form, struct buf *out)
{
	struct span rest = answer_rest(a);

	if (form->enveloped) {
		uint8_t header[ENVELOPE_HEADER];

		envelope_put_header(header, form->gzip ? ENVELOPE_COMPRESSED : 0,
		                    (uint32_t)(rest.len - ENVELOPE_HEADER));
		assert_memory_equal(rest.at, header, sizeof header);
		rest.at += ENVELOPE_HEADER;
		rest.len -= ENVELOPE_HEADER;
	}
	buf_init(out, MIB);
	if (form->gzip)
		assert_int_equal(gzip_decompress(out, rest.at, rest.len), 0);
	else if (rest.len > 0)
		buf_append(out, rest.at, rest.len);
}

static void check_same(const struct answer_form *form, size_t n_entries)
{
	CLEANUP(freep_answer) struct answer *whole = answer_new(form);
	CLEANUP(freep_answer) struct answer *list = answer_new(form);
	CLEANUP(buf_deinit) struct buf a = { 0 };
	CLEANUP(buf_deinit) struct buf b = { 0 };
	struct directory d;
	struct err e = { 0 };

	directory_init(&d, n_entries);
	assert_int_equal(answer_put(whole, &d.message.base, &e), 0);
	assert_int_equal(answer_seal(whole, &e), 0);
	for (size_t i = 0; i < n_entries; i++)
		assert_int_equal(answer_add(list, &d.entries[i]->base, &e), 0);
	assert_int_equal(answer_seal(list, &e), 0);
	read_back(whole, form, &a);
	read_back(list, form, &b);
	assert_int_equal(a.len, b.len);
	if (a.len > 0)
		assert_memory_equal(a.data, b.data, a.len);
}

static void test_answer_of_elements_is_that_of_the_whole_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		for (size_t n = 0; n <= N_ENTRIES; n++)
			check_same(&forms[i], n);
	}
}

static void test_answer_of_no_elements_is_an_empty_object(void **state)
{
	CLEANUP(freep_answer) struct answer *a = answer_new(&forms[0]);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(answer_seal(a, &e), 0);
	assert_int_equal(answer_rest(a).len, 2);
	assert_memory_equal(answer_rest(a).at, "{}", 2);
}

static void test_answer_is_taken_piece_by_piece(void **state)
{
	CLEANUP(freep_answer) struct answer *a = answer_new(&forms[0]);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(answer_seal(a, &e), 0);
	answer_take(a, 1);
	assert_int_equal(answer_rest(a).len, 1);
	assert_memory_equal(answer_rest(a).at, "}", 1);
	answer_take(a, 1);
	assert_int_equal(answer_rest(a).len, 0);
}

/* An element of a MiB, and a bit. */
static Codec__Test__Nested *large_entry(Codec__Test__Nested *room, char *name)
{
	memset(name, 'x', MIB);
	name[MIB] = '\0';
	return entry_named(room, name);
}

static void test_answer_that_grows_too_large_is_refused(void **state)
{
	CLEANUP(freep_answer) struct answer *a = answer_new(&forms[0]);
	CLEANUP(freep) char *name = xmalloc(MIB + 1);
	CLEANUP(err_clear) struct err e = { 0 };
	Codec__Test__Nested room, *entry = large_entry(&room, name);
	size_t n = 0;

	(void)state;
	while (answer_add(a, &entry->base, &e) == 0)
		n++;
	assert_int_equal(n, ANSWER_MAX / MIB - 1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(err_text(&e), "message is larger than configured max 134217728");
}

static void test_answers_are_limited_together_and_small_ones_free(void **state)
{
	struct answer *answers[ANSWER_TOTAL_MAX / ANSWER_MAX + 1];
	CLEANUP(freep_answer) struct answer *small = answer_new(&forms[0]);
	CLEANUP(freep) char *name = xmalloc(MIB + 1);
	CLEANUP(err_clear) struct err e = { 0 };
	Codec__Test__Nested room, *entry = large_entry(&room, name);
	size_t n = 0;
	char short_name[] = "a";

	(void)state;
	assert_int_equal(answer_charged(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		answers[i] = answer_new(&forms[0]);
		while (e.kind == ERR_NONE && n < (i + 1) * (ANSWER_MAX / MIB - 1)) {
			if (answer_add(answers[i], &entry->base, &e) == 0)
				n++;
		}
	}
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_string_equal(err_text(&e), "too many large answers at once");
	assert_true(answer_charged() <= ANSWER_TOTAL_MAX);
	entry = entry_named(&room, short_name);
	assert_int_equal(answer_add(small, &entry->base, &e), 0);
	assert_int_equal(answer_seal(small, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		answer_free(answers[i]);
	assert_int_equal(answer_charged(), 0);
}

static void test_answer_that_is_compressed_costs_what_is_left_of_it(void **state)
{
	CLEANUP(freep_answer) struct answer *a = answer_new(&forms[2]);
	CLEANUP(freep) char *name = xmalloc(MIB + 1);
	Codec__Test__Nested room, *entry = large_entry(&room, name);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(answer_add(a, &entry->base, &e), 0);
	assert_true(answer_charged() >= MIB - ANSWER_FREE_MAX);
	assert_int_equal(answer_seal(a, &e), 0);
	assert_true(answer_charged() <= answer_rest(a).len);
}

static int make_answer(const struct answer_form *form, struct err *e)
{
	CLEANUP(freep_answer) struct answer *a = answer_new(form);
	struct directory d;

	directory_init(&d, N_ENTRIES);
	for (size_t i = 0; i < N_ENTRIES; i++) {
		if (answer_add(a, &d.entries[i]->base, e) < 0)
			return -1;
	}
	return answer_seal(a, e);
}

static void test_answer_every_allocation_failure_is_refused_cleanly(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		for (unsigned nth = 1;; nth++) {
			CLEANUP(err_clear) struct err e = { 0 };
			int rc;

			(void)mem_fail_nth(nth);
			rc = make_answer(&forms[i], &e);
			if (!mem_fail_nth(0)) {
				assert_int_equal(rc, 0);
				break;
			}
			assert_int_equal(rc, -1);
			assert_int_equal(e.kind, ERR_LIMIT);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_of_elements_is_that_of_the_whole_message),
		cmocka_unit_test(test_answer_of_no_elements_is_an_empty_object),
		cmocka_unit_test(test_answer_is_taken_piece_by_piece),
		cmocka_unit_test(test_answer_that_grows_too_large_is_refused),
		cmocka_unit_test(test_answers_are_limited_together_and_small_ones_free),
		cmocka_unit_test(test_answer_that_is_compressed_costs_what_is_left_of_it),
		cmocka_unit_test(test_answer_every_allocation_failure_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
