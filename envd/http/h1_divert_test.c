/*
 * Bodies that go around the connection: exchange_divert.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/limits.h"
#include "http/server_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define HEAD            "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
#define HELLO           "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define HELLO_ANSWER    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define DONE            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"
#define DONE_AND_CLOSED "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone"

/* An owner that reads by itself. */
struct diverter {
	struct peer peer;
	struct exchange *x;
	int fd;
	uint64_t left;
	unsigned n_readable, n_ends, n_stops;
	enum exchange_body_end how;
	char body[64]; /* that came by on_body */
	size_t n_body;
};

static void on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct diverter *d = x->data;

	assert_true(d->n_body + len < sizeof d->body);
	memcpy(d->body + d->n_body, data, len);
	d->n_body += len;
	exchange_consumed(x, len);
}

static void on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct diverter *d = x->data;

	d->n_ends++;
	d->how = how;
}

static void on_readable(struct exchange *x)
{
	struct diverter *d = x->data;

	d->n_readable++;
}

static void on_stop(struct exchange *x)
{
	struct diverter *d = x->data;

	d->n_stops++;
}

static const struct exchange_ops ops = {
	.on_body = on_body,
	.on_body_end = on_body_end,
	.on_stop = on_stop,
	.on_readable = on_readable,
};

/* A request whose owner has asked for its body, of which some has come with the head. */
static void begin(struct diverter *d, void **state, const char *input)
{
	struct server_fixture *f = *state;
	struct held *h;

	*d = (struct diverter){ .fd = -1 };
	peer_open(&d->peer, f);
	peer_send(&d->peer, input);
	peer_settle(&d->peer);
	h = server_fixture_held(f);
	d->x = TAKE_PTR(h->x);
	exchange_own(d->x, &ops, d);
	exchange_read(d->x);
	peer_settle(&d->peer);
}

static void divert(struct diverter *d)
{
	d->fd = exchange_divert(d->x, &d->left);
	assert_true(d->fd >= 0);
	assert_int_equal(d->left, 10 - d->n_body);
}

static void end(struct diverter *d)
{
	close_fdp(&d->fd);
	if (d->x)
		exchange_abort(&d->x);
	peer_close(&d->peer);
}

static void send_settled(struct diverter *d, const char *text)
{
	peer_send(&d->peer, text);
	peer_settle(&d->peer);
}

static void check_read(struct diverter *d, const char *text)
{
	char got[64];
	ssize_t n = recv(d->fd, got, MIN(sizeof got, d->left), MSG_DONTWAIT);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
	d->left -= (uint64_t)n;
}

static void answer(struct diverter *d, const char *expected)
{
	exchange_answer(&d->x, 200, NULL, 0, SPAN("done"));
	peer_expect(&d->peer, expected);
}

static void test_divert_rest_of_a_body_is_read_by_its_owner(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD "abc");
	assert_int_equal(d.n_body, 3);
	divert(&d);
	peer_settle(&d.peer);
	assert_int_equal(d.n_readable, 0);
	send_settled(&d, "de");
	assert_int_equal(d.n_readable, 1);
	send_settled(&d, "fg"); /* it is told once */
	assert_int_equal(d.n_readable, 1);
	check_read(&d, "defg");
	exchange_diverted(d.x, 4, true);
	send_settled(&d, "hij" HELLO);
	assert_int_equal(d.n_readable, 2);
	check_read(&d, "hij");
	exchange_diverted(d.x, 3, true);
	assert_int_equal(d.n_ends, 0);
	peer_settle(&d.peer);
	assert_int_equal(d.n_ends, 1);
	assert_int_equal(d.how, EXCHANGE_BODY_COMPLETE);
	assert_int_equal(d.n_body, 3);
	answer(&d, DONE HELLO_ANSWER);
	assert_false(d.peer.ended);
	end(&d);
}

static void test_divert_answer_in_the_turn_of_the_last_byte_keeps_the_connection(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "0123456789" HELLO);
	check_read(&d, "0123456789");
	exchange_diverted(d.x, 10, false);
	answer(&d, DONE HELLO_ANSWER);
	assert_int_equal(d.n_ends, 0);
	end(&d);
}

static void test_divert_only_what_has_been_read_already_is_told(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD "0123456789");
	assert_int_equal(d.n_ends, 1);
	assert_int_equal(exchange_divert(d.x, &d.left), -1);
	end(&d);
	begin(&d, state, "POST /hold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(exchange_divert(d.x, &d.left), -1);
	end(&d);
}

static void test_divert_before_the_owner_reads_is_refused(void **state)
{
	struct server_fixture *f = *state;
	struct diverter d = { .fd = -1 };

	peer_open(&d.peer, f);
	peer_send(&d.peer, HEAD);
	peer_settle(&d.peer);
	d.x = TAKE_PTR(server_fixture_held(f)->x);
	exchange_own(d.x, &ops, &d);
	assert_int_equal(exchange_divert(d.x, &d.left), -1);
	end(&d);
}

static void test_divert_that_is_over_comes_by_on_body_again(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "012");
	check_read(&d, "012");
	exchange_diverted(d.x, 3, false);
	send_settled(&d, "3456789" HELLO);
	assert_int_equal(d.n_readable, 1);
	assert_int_equal(d.n_body, 7);
	assert_memory_equal(d.body, "3456789", 7);
	assert_int_equal(d.how, EXCHANGE_BODY_COMPLETE);
	answer(&d, DONE HELLO_ANSWER);
	end(&d);
}

static void test_divert_peer_that_ends_its_side_has_cut_the_body(void **state)
{
	struct diverter d;
	char byte;

	begin(&d, state, HEAD);
	divert(&d);
	peer_send(&d.peer, "012");
	peer_end(&d.peer);
	peer_settle(&d.peer);
	check_read(&d, "012");
	exchange_diverted(d.x, 3, true);
	peer_settle(&d.peer);
	assert_int_equal(d.n_readable, 2);
	assert_int_equal(recv(d.fd, &byte, 1, MSG_DONTWAIT), 0);
	exchange_diverted(d.x, 0, false);
	peer_settle(&d.peer);
	assert_int_equal(d.n_ends, 1);
	assert_int_equal(d.how, EXCHANGE_BODY_CUT);
	assert_int_equal(d.n_stops, 0);
	exchange_answer(&d.x, 200, NULL, 0, SPAN("done"));
	close_fdp(&d.fd); /* or the peer would not see the end */
	peer_expect_end(&d.peer, DONE_AND_CLOSED);
	end(&d);
}

/* A socket of ours is reset by one who leaves something unread: the leave to send. */
static void test_divert_peer_that_resets_while_its_bytes_are_lent_stops_the_owner(void **state)
{
	struct server_fixture *f = *state;
	struct diverter d = { .fd = -1 };

	peer_open(&d.peer, f);
	peer_send(&d.peer, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"
	                   "Expect: 100-continue\r\n\r\n");
	peer_settle(&d.peer);
	d.x = TAKE_PTR(server_fixture_held(f)->x);
	exchange_own(d.x, &ops, &d);
	exchange_read(d.x);
	divert(&d);
	assert_int_equal(send(d.peer.fd, "012", 3, 0), 3);
	while (d.n_readable == 0)
		loop_fixture_turn(f->loop, 1);
	close_fdp(&d.peer.fd);
	while (d.n_stops == 0)
		loop_fixture_turn(f->loop, 1);
	/* It may not know yet. */
	exchange_diverted(d.x, 3, true);
	assert_int_equal(exchange_divert(d.x, &d.left), -1);
	end(&d);
}

static void test_divert_reading_may_take_its_time(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "0");
	server_fixture_pass(d.peer.f, 2ull * HTTP_BODY_IDLE_MS);
	assert_int_equal(d.n_stops, 0);
	check_read(&d, "0");
	exchange_diverted(d.x, 1, true);
	server_fixture_pass(d.peer.f, HTTP_BODY_IDLE_MS - 1000);
	assert_int_equal(d.n_stops, 0);
	server_fixture_pass(d.peer.f, HTTP_BODY_IDLE_MS + 1);
	assert_int_equal(d.n_stops, 1);
	end(&d);
}

static void keep_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct diverter *d = x->data;

	UNUSED(data);
	d->n_body += len;
}

/* What came before is written only now, which opens a window that was full. */
static void test_divert_reading_may_take_its_time_when_a_full_window_opens(void **state)
{
	static const struct exchange_ops keeping = {
		.on_body = keep_body,
		.on_body_end = on_body_end,
		.on_stop = on_stop,
		.on_readable = on_readable,
	};
	char piece[4096 + 1];
	struct diverter d;

	memset(piece, 'x', sizeof piece - 1);
	piece[sizeof piece - 1] = '\0';
	begin(&d, state, "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
	exchange_own(d.x, &keeping, &d);
	while (d.n_body < EXCHANGE_WINDOW)
		send_settled(&d, piece);
	d.fd = exchange_divert(d.x, &d.left);
	assert_true(d.fd >= 0);
	send_settled(&d, "0");
	assert_int_equal(d.n_readable, 1);
	exchange_consumed(d.x, EXCHANGE_WINDOW);
	server_fixture_pass(d.peer.f, 2ull * HTTP_BODY_IDLE_MS);
	assert_int_equal(d.n_stops, 0);
	end(&d);
}

/* Its last bytes are there: only how long they take to be written is not its time. */
static void test_divert_peer_that_ends_its_side_while_its_bytes_are_lent_may_wait(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "01");
	peer_send(&d.peer, "23456789");
	peer_end(&d.peer);
	peer_settle(&d.peer);
	server_fixture_pass(d.peer.f, 2ull * HTTP_HANGUP_MS);
	assert_int_equal(d.n_stops, 0);
	check_read(&d, "0123456789");
	exchange_diverted(d.x, 10, true);
	peer_settle(&d.peer);
	assert_int_equal(d.how, EXCHANGE_BODY_COMPLETE);
	exchange_answer(&d.x, 200, NULL, 0, SPAN("done"));
	close_fdp(&d.fd);
	peer_expect_end(&d.peer, DONE_AND_CLOSED);
	end(&d);
}

/* The owner's job may be stuck in a file system, and its descriptor with it. */
static void test_divert_connection_ends_although_the_owner_has_its_descriptor_still(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	server_fixture_pass(d.peer.f, HTTP_BODY_IDLE_MS + 1);
	assert_int_equal(d.n_stops, 1);
	peer_expect_end(&d.peer, "");
	end(&d);
}

/* The rest is dropped, as that of any body that nobody wants. */
static void test_divert_early_answer_keeps_the_connection(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "012");
	check_read(&d, "012");
	exchange_diverted(d.x, 3, false);
	answer(&d, DONE);
	send_settled(&d, "3456789" HELLO);
	peer_expect(&d.peer, HELLO_ANSWER);
	end(&d);
}

static void test_divert_answer_to_bytes_that_nobody_has_read_drops_them(void **state)
{
	struct diverter d;

	begin(&d, state, HEAD);
	divert(&d);
	send_settled(&d, "0123456789" HELLO);
	assert_int_equal(d.n_readable, 1);
	answer(&d, DONE HELLO_ANSWER);
	end(&d);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_divert_rest_of_a_body_is_read_by_its_owner),
		T(test_divert_answer_in_the_turn_of_the_last_byte_keeps_the_connection),
		T(test_divert_only_what_has_been_read_already_is_told),
		T(test_divert_before_the_owner_reads_is_refused),
		T(test_divert_that_is_over_comes_by_on_body_again),
		T(test_divert_peer_that_ends_its_side_has_cut_the_body),
		T(test_divert_peer_that_resets_while_its_bytes_are_lent_stops_the_owner),
		T(test_divert_reading_may_take_its_time),
		T(test_divert_reading_may_take_its_time_when_a_full_window_opens),
		T(test_divert_peer_that_ends_its_side_while_its_bytes_are_lent_may_wait),
		T(test_divert_connection_ends_although_the_owner_has_its_descriptor_still),
		T(test_divert_early_answer_keeps_the_connection),
		T(test_divert_answer_to_bytes_that_nobody_has_read_drops_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
