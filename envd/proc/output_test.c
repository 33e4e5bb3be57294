#include "proc/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/mem.h"
#include "tests/support/test.h"

#define CHUNK 32768u

/* A subscriber that notes what it got; it takes `takes` chunks before it says "wait". */
struct reader {
	struct subscriber sub;
	struct buf got;
	unsigned n_chunks;
	unsigned takes;
	bool has_ended;
	enum err_kind why;
	char text[128];
};

struct source {
	struct output output;
	struct timers timers;
	uint64_t now_ms;
	bool is_reading;
	unsigned n_idle;
};

static uint8_t bytes[CHUNK];

static bool reader_on_chunk(struct subscriber *sub, enum output_stream stream, const uint8_t *data,
                            size_t len)
{
	struct reader *r = CONTAINER_OF(sub, struct reader, sub);

	buf_append_byte(&r->got, stream == OUTPUT_STDOUT ? 'o' : 'e');
	buf_append(&r->got, data, len);
	r->n_chunks++;
	if (r->takes > 0)
		r->takes--;
	return r->takes > 0;
}

static void reader_on_end(struct subscriber *sub, struct err *why)
{
	struct reader *r = CONTAINER_OF(sub, struct reader, sub);

	assert_false(r->has_ended);
	r->has_ended = true;
	r->why = why ? why->kind : ERR_NONE;
	(void)snprintf(r->text, sizeof r->text, "%s", why ? err_text(why) : "");
}

static const struct subscriber_ops reader_ops = { reader_on_chunk, reader_on_end };

static void source_set_reading(struct output *o, bool reading)
{
	CONTAINER_OF(o, struct source, output)->is_reading = reading;
}

static void source_on_idle(struct output *o)
{
	CONTAINER_OF(o, struct source, output)->n_idle++;
}

static int setup(void **state)
{
	static struct source s;

	s = (struct source){ .is_reading = true, .now_ms = 1000 };
	timers_init(&s.timers, NULL);
	timers_advance(&s.timers, s.now_ms);
	output_init(&s.output, &s.timers, source_set_reading, source_on_idle);
	*state = &s;
	return 0;
}

static int teardown(void **state)
{
	struct source *s = *state;

	output_deinit(&s->output);
	timers_deinit(&s->timers);
	return 0;
}

static void advance(struct source *s, uint64_t ms)
{
	s->now_ms += ms;
	timers_advance(&s->timers, s->now_ms);
}

static void reader_join(struct source *s, struct reader *r, unsigned takes)
{
	CLEANUP(err_clear) struct err e = { 0 };

	*r = (struct reader){ .sub.ops = &reader_ops, .takes = takes };
	buf_init(&r->got, 64u * 1024u * 1024u);
	assert_int_equal(output_subscribe(&s->output, &r->sub, &e), 0);
}

static void reader_leave(struct reader *r)
{
	output_unsubscribe(&r->sub);
	buf_deinit(&r->got);
}

static void say(struct source *s, const char *text)
{
	output_append(&s->output, OUTPUT_STDOUT, (const uint8_t *)text, strlen(text));
}

static void reader_expect(const struct reader *r, const char *text)
{
	assert_int_equal(r->got.len, strlen(text));
	assert_memory_equal(r->got.data, text, r->got.len);
}

/* The process writes as long as it is read; returns how many chunks that were. */
static unsigned flood(struct source *s, unsigned n_max)
{
	unsigned n = 0;

	for (; s->is_reading && n < n_max; n++)
		output_append(&s->output, OUTPUT_STDOUT, bytes, sizeof bytes);
	return n;
}

static void test_output_without_subscriber_drops_bytes(void **state)
{
	struct source *s = *state;

	assert_int_equal(flood(s, 100), 100);
	assert_int_equal(s->output.window_bytes, 0);
}

static void test_output_reader_that_keeps_up_is_given_every_chunk_and_nothing_is_kept(void **state)
{
	struct source *s = *state;
	struct reader r;

	say(s, "before");
	reader_join(s, &r, 1000);
	say(s, "a");
	output_append(&s->output, OUTPUT_STDERR, (const uint8_t *)"b", 1);
	say(s, "c");
	reader_expect(&r, "oaeboc");
	assert_int_equal(s->output.window_bytes, 0);
	assert_true(s->is_reading);
	reader_leave(&r);
}

static void test_output_lone_reader_that_waits_pauses_the_source_at_once(void **state)
{
	struct source *s = *state;
	struct reader r;

	reader_join(s, &r, 1);
	assert_int_equal(flood(s, 100), 1);
	assert_int_equal(s->output.window_bytes, 0);
	r.takes = 1;
	subscriber_proceed(&r.sub);
	assert_true(s->is_reading);
	reader_leave(&r);
}

static void test_output_slow_subscriber_pauses_source_at_high_mark(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;
	unsigned n;

	reader_join(s, &fast, 1000);
	reader_join(s, &slow, 1);
	n = flood(s, 100);
	assert_false(s->is_reading);
	assert_int_equal(fast.n_chunks, n);
	assert_int_equal(slow.n_chunks, 1);
	assert_in_range(s->output.window_bytes, OUTPUT_HIGH, OUTPUT_HIGH + CHUNK);
	reader_leave(&slow);
	assert_true(s->is_reading);
	reader_leave(&fast);
}

static void test_output_resumes_below_low_mark(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;

	reader_join(s, &fast, 1000);
	reader_join(s, &slow, 1);
	(void)flood(s, 100);
	while (s->output.window_bytes >= OUTPUT_LOW) {
		assert_false(s->is_reading);
		slow.takes = 1;
		subscriber_proceed(&slow.sub);
	}
	assert_true(s->is_reading);
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_readers_of_different_speed_see_the_same_bytes(void **state)
{
	struct source *s = *state;
	struct reader r[3];

	reader_join(s, &r[0], 100000);
	reader_join(s, &r[1], 1);
	reader_join(s, &r[2], 3);
	for (unsigned i = 0; i < 1000; i++) {
		bytes[0] = (uint8_t)i;
		output_append(&s->output, i % 3 ? OUTPUT_STDOUT : OUTPUT_STDERR, bytes, 1 + i % 7);
		for (unsigned k = 1; k < 3; k++) {
			if (i % (k + 1) != 0)
				continue;
			r[k].takes = k + 1;
			subscriber_proceed(&r[k].sub);
		}
	}
	for (unsigned k = 1; k < 3; k++) {
		r[k].takes = 100000;
		subscriber_proceed(&r[k].sub);
		assert_int_equal(r[k].got.len, r[0].got.len);
		assert_memory_equal(r[k].got.data, r[0].got.data, r[0].got.len);
	}
	assert_int_equal(s->output.window_bytes, 0);
	for (unsigned k = 0; k < 3; k++)
		reader_leave(&r[k]);
}

static void test_output_tiny_chunks_are_charged_with_their_header(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;
	unsigned n = 0;

	reader_join(s, &fast, 1000000);
	reader_join(s, &slow, 1);
	for (; s->is_reading; n++)
		say(s, "x");
	assert_in_range(n, 1000, OUTPUT_HIGH / sizeof(struct list));
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_stuck_subscriber_ends_with_limit_after_stall_ms(void **state)
{
	struct source *s = *state;
	struct reader fast, stuck;

	reader_join(s, &fast, 1000);
	reader_join(s, &stuck, 1);
	(void)flood(s, 100);
	advance(s, OUTPUT_STALL_MS - 1);
	assert_false(stuck.has_ended);
	assert_false(s->is_reading);
	advance(s, 1);
	assert_true(stuck.has_ended);
	assert_int_equal(stuck.why, ERR_LIMIT);
	assert_string_equal(stuck.text, "the stream took no output for 2 s while others waited");
	assert_true(s->is_reading);
	assert_int_equal(s->output.window_bytes, 0);
	assert_false(fast.has_ended);
	reader_leave(&stuck);
	reader_leave(&fast);
}

/* What it took may all lie in buffers that it reads from until it can take more. */
static void test_output_subscriber_that_took_much_has_longer_but_not_for_ever(void **state)
{
	struct source *s = *state;
	struct reader fast, stuck;

	reader_join(s, &fast, 1000);
	reader_join(s, &stuck, 100);
	(void)flood(s, 200);
	advance(s, OUTPUT_STALL_MAX_MS - 1);
	assert_false(stuck.has_ended);
	advance(s, 1);
	assert_true(stuck.has_ended);
	assert_string_equal(stuck.text, "the stream took no output for 20 s while others waited");
	reader_leave(&stuck);
	reader_leave(&fast);
}

/* Steps of 128 and of 384 KiB, each when the last one has been read. */
static void test_output_subscriber_of_the_least_rate_is_never_stuck(void **state)
{
	struct source *s = *state;

	for (unsigned step = 4; step <= 12; step += 8) {
		struct reader fast, slow;

		reader_join(s, &fast, 100000);
		reader_join(s, &slow, step);
		for (unsigned i = 0; i < 100; i++) {
			(void)flood(s, 100);
			advance(s, step * CHUNK * 1000ull / OUTPUT_RATE_MIN - 1);
			slow.takes = step;
			subscriber_proceed(&slow.sub);
		}
		assert_false(slow.has_ended);
		assert_true(fast.n_chunks > 100 * step);
		reader_leave(&slow);
		reader_leave(&fast);
	}
}

static void
test_output_subscriber_that_was_slow_alone_has_all_the_time_when_others_come(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;

	reader_join(s, &slow, 1);
	reader_join(s, &fast, 1);
	(void)flood(s, 100);
	say(s, "of which one chunk waits");
	advance(s, 100 * OUTPUT_STALL_MAX_MS);
	assert_false(slow.has_ended);
	fast.takes = 1000;
	subscriber_proceed(&fast.sub);
	(void)flood(s, 100);
	assert_false(s->is_reading);
	advance(s, OUTPUT_STALL_MS - 1);
	assert_false(slow.has_ended);
	advance(s, 1);
	assert_true(slow.has_ended);
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_grace_of_a_stuck_subscriber_is_not_renewed_by_others(void **state)
{
	struct source *s = *state;
	struct reader fast, slow, stuck, guest;

	reader_join(s, &fast, 1000);
	reader_join(s, &stuck, 1);
	reader_join(s, &slow, 1);
	(void)flood(s, 100);
	for (unsigned i = 0; i < 4; i++) {
		slow.takes = 1;
		subscriber_proceed(&slow.sub);
		reader_join(s, &guest, 1);
		advance(s, OUTPUT_STALL_MS / 4);
		reader_leave(&guest);
	}
	assert_true(stuck.has_ended);
	assert_false(slow.has_ended);
	assert_false(fast.has_ended);
	reader_leave(&stuck);
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_every_stuck_subscriber_ends_at_its_own_time(void **state)
{
	struct source *s = *state;
	struct reader fast, early, late;

	reader_join(s, &fast, 1000);
	reader_join(s, &early, 1);
	reader_join(s, &late, 6);
	(void)flood(s, 100);
	advance(s, OUTPUT_STALL_MS);
	assert_true(early.has_ended);
	assert_false(late.has_ended);
	(void)flood(s, 100);
	assert_false(s->is_reading);
	advance(s, 6 * CHUNK * 1000ull / OUTPUT_RATE_MIN - OUTPUT_STALL_MS);
	assert_false(late.has_ended);
	advance(s, OUTPUT_STALL_MS);
	assert_true(late.has_ended);
	assert_true(s->is_reading);
	reader_leave(&late);
	reader_leave(&early);
	reader_leave(&fast);
}

static void test_output_lone_stuck_subscriber_is_waited_for(void **state)
{
	struct source *s = *state;
	struct reader stuck;

	reader_join(s, &stuck, 1);
	(void)flood(s, 100);
	advance(s, 100 * OUTPUT_STALL_MAX_MS);
	assert_false(stuck.has_ended);
	assert_false(s->is_reading);
	reader_leave(&stuck);
}

static void test_output_subscriber_leaving_with_a_backlog_frees_only_its_own(void **state)
{
	struct source *s = *state;
	struct reader fast, a, b;

	reader_join(s, &fast, 1000);
	reader_join(s, &a, 1);
	reader_join(s, &b, 2);
	say(s, "1");
	say(s, "2");
	say(s, "3");
	reader_leave(&a);
	b.takes = 10;
	subscriber_proceed(&b.sub);
	reader_expect(&b, "o1o2o3");
	assert_int_equal(s->output.window_bytes, 0);
	reader_leave(&b);
	reader_leave(&fast);
}

static void test_output_end_comes_after_the_backlog(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;

	reader_join(s, &fast, 1000);
	reader_join(s, &slow, 1);
	say(s, "1");
	say(s, "2");
	output_end(&s->output);
	assert_true(fast.has_ended);
	assert_false(slow.has_ended);
	assert_int_equal(s->n_idle, 0);
	slow.takes = 10;
	subscriber_proceed(&slow.sub);
	assert_true(slow.has_ended);
	assert_int_equal(slow.why, ERR_NONE);
	reader_expect(&slow, "o1o2");
	assert_int_equal(s->n_idle, 1);
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_after_the_end_refuses_subscribers_and_drops_bytes(void **state)
{
	struct source *s = *state;
	struct reader r = { .sub.ops = &reader_ops };
	CLEANUP(err_clear) struct err e = { 0 };

	output_end(&s->output);
	say(s, "late");
	assert_int_equal(output_subscribe(&s->output, &r.sub, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
}

/* What a descendant says then is for nobody, or a slow reader would have its end put off for ever. */
static void test_output_after_the_end_a_slow_subscriber_gets_no_more_than_its_backlog(void **state)
{
	struct source *s = *state;
	struct reader slow;

	reader_join(s, &slow, 1);
	say(s, "1");
	say(s, "2");
	output_end(&s->output);
	assert_int_equal(flood(s, 100), 100);
	assert_true(s->output.window_bytes < CHUNK);
	slow.takes = 1000;
	subscriber_proceed(&slow.sub);
	assert_true(slow.has_ended);
	reader_expect(&slow, "o1o2");
	reader_leave(&slow);
}

static void test_output_end_resumes_a_paused_source(void **state)
{
	struct source *s = *state;
	struct reader r;

	reader_join(s, &r, 1);
	(void)flood(s, 100);
	assert_false(s->is_reading);
	output_end(&s->output);
	assert_true(s->is_reading);
	reader_leave(&r);
}

static void test_output_abort_ends_everybody_with_the_reason(void **state)
{
	struct source *s = *state;
	struct reader fast, slow;
	CLEANUP(err_clear) struct err why = { 0 };

	reader_join(s, &fast, 1000);
	reader_join(s, &slow, 1);
	say(s, "1");
	say(s, "2");
	(void)!err_set(&why, ERR_UNAVAILABLE, "gone");
	output_abort(&s->output, &why);
	assert_int_equal(fast.why, ERR_UNAVAILABLE);
	assert_int_equal(slow.why, ERR_UNAVAILABLE);
	reader_leave(&slow);
	reader_leave(&fast);
}

static void test_output_refuses_one_subscriber_too_many(void **state)
{
	struct source *s = *state;
	struct reader *r = xcalloc(OUTPUT_SUBSCRIBERS_MAX, sizeof *r);
	struct reader more = { .sub.ops = &reader_ops };
	CLEANUP(err_clear) struct err e = { 0 };

	for (unsigned i = 0; i < OUTPUT_SUBSCRIBERS_MAX; i++)
		reader_join(s, &r[i], 10);
	assert_int_equal(output_subscribe(&s->output, &more.sub, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	for (unsigned i = 0; i < OUTPUT_SUBSCRIBERS_MAX; i++)
		reader_leave(&r[i]);
	free(r);
}

static void test_output_every_allocation_failure_ends_only_whom_it_concerns(void **state)
{
	struct source *s = *state;

	for (unsigned nth = 1;; nth++) {
		struct reader fast, slow;
		int has_failed;

		reader_join(s, &fast, 1000);
		reader_join(s, &slow, 1);
		say(s, "1");
		mem_fail_nth(nth);
		say(s, "2");
		say(s, "3");
		has_failed = mem_fail_nth(0);
		reader_expect(&fast, "o1o2o3");
		assert_int_equal(slow.has_ended, has_failed);
		assert_int_equal(slow.why, has_failed ? ERR_LIMIT : ERR_NONE);
		reader_leave(&slow);
		reader_leave(&fast);
		assert_int_equal(s->output.window_bytes, 0);
		if (!has_failed)
			break;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_output_without_subscriber_drops_bytes),
		TEST(test_output_reader_that_keeps_up_is_given_every_chunk_and_nothing_is_kept),
		TEST(test_output_lone_reader_that_waits_pauses_the_source_at_once),
		TEST(test_output_slow_subscriber_pauses_source_at_high_mark),
		TEST(test_output_resumes_below_low_mark),
		TEST(test_output_readers_of_different_speed_see_the_same_bytes),
		TEST(test_output_tiny_chunks_are_charged_with_their_header),
		TEST(test_output_stuck_subscriber_ends_with_limit_after_stall_ms),
		TEST(test_output_subscriber_that_took_much_has_longer_but_not_for_ever),
		TEST(test_output_subscriber_of_the_least_rate_is_never_stuck),
		TEST(test_output_subscriber_that_was_slow_alone_has_all_the_time_when_others_come),
		TEST(test_output_grace_of_a_stuck_subscriber_is_not_renewed_by_others),
		TEST(test_output_every_stuck_subscriber_ends_at_its_own_time),
		TEST(test_output_lone_stuck_subscriber_is_waited_for),
		TEST(test_output_subscriber_leaving_with_a_backlog_frees_only_its_own),
		TEST(test_output_end_comes_after_the_backlog),
		TEST(test_output_after_the_end_refuses_subscribers_and_drops_bytes),
		TEST(test_output_after_the_end_a_slow_subscriber_gets_no_more_than_its_backlog),
		TEST(test_output_end_resumes_a_paused_source),
		TEST(test_output_abort_ends_everybody_with_the_reason),
		TEST(test_output_refuses_one_subscriber_too_many),
		TEST(test_output_every_allocation_failure_ends_only_whom_it_concerns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
