/*
 * Peers that send much, or slowly, or nothing: each is held within its limit or ended, and a
 * second, healthy client does not notice.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "http/conn.h"
#include "http/limits.h"
#include "http/server_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define HELLO     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void check_healthy(struct server_fixture *f)
{
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hello"));
	peer_expect(&p, HELLO);
	peer_close(&p);
}

static void test_h1_byte_a_second_ends_with_the_header_time(void **state)
{
	static const char request[] = GET("/hello") GET("/hello");
	struct server_fixture *f = *state;
	uint64_t ms = 0;
	struct peer p;

	peer_open(&p, f);
	for (; !p.ended && ms / 1000 < sizeof request; ms += 1000) {
		peer_send_bytes(&p, request + ms / 1000, 1);
		server_fixture_pass(f, ms);
		peer_settle(&p);
	}
	assert_true(p.ended);
	assert_in_range(ms, HTTP_HEADER_MS - 1000, HTTP_HEADER_MS + 2000);
	assert_non_null(strstr(peer_text(&p), "408 Request Timeout"));
	check_healthy(f);
	peer_close(&p);
}

#define N_BOMBS 100u

static void test_h1_header_bombs_together_stay_within_the_limit(void **state)
{
	struct server_fixture *f = *state;
	static struct peer bombs[N_BOMBS];
	size_t size = HTTP_HEADER_MAX - 1000;
	char *value = xmalloc(size + 1);
	unsigned n_refused = 0;

	memset(value, 'v', size);
	value[size] = '\0';
	for (unsigned i = 0; i < N_BOMBS; i++) {
		peer_open(&bombs[i], f);
		peer_send(&bombs[i], "GET /hello HTTP/1.1\r\nX: ");
		peer_send(&bombs[i], value);
		peer_settle(&bombs[i]);
		n_refused += strstr(peer_text(&bombs[i]), "503 Service Unavailable") ? 1 : 0;
	}
	assert_in_range(n_refused, N_BOMBS - SERVER_HEADS_MAX / size - 1,
	                N_BOMBS - SERVER_HEADS_MAX / size);
	check_healthy(f);
	for (unsigned i = 0; i < N_BOMBS; i++)
		peer_close(&bombs[i]);
	server_fixture_pass(f, HTTP_DRAIN_MS + 1);
	assert_true(server_charge_head(f->server, SERVER_HEADS_MAX));
	server_discharge_head(f->server, SERVER_HEADS_MAX);
	free(value);
}

static void send_large_request(struct peer *p, struct server_fixture *f)
{
	char value[20001];

	memset(value, 'v', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	peer_open(p, f);
	peer_send(p, "GET /hold HTTP/1.1\r\nHost: a\r\nX: ");
	peer_send(p, value);
	peer_send(p, "\r\n\r\n");
}

/* What a request keeps while it is served counts like what has come of one. */
static void test_h1_large_requests_that_are_held_stay_within_the_limit(void **state)
{
	struct server_fixture *f = *state;
	struct peer first, second;

	send_large_request(&first, f);
	assert_int_equal(f->n_held, 1);
	assert_false(server_charge_head(f->server, SERVER_HEADS_MAX - 20000));
	assert_true(server_charge_head(f->server, SERVER_HEADS_MAX - 50000));
	send_large_request(&second, f);
	assert_int_equal(f->n_held, 1);
	assert_non_null(strstr(peer_text(&second), "503 Service Unavailable"));
	peer_close(&second);
	held_finish(server_fixture_held(f));
	peer_settle(&first);
	assert_true(server_charge_head(f->server, 50000));
	server_discharge_head(f->server, SERVER_HEADS_MAX);
	peer_close(&first);
}

/* Its owner may take as long as it likes to let go. */
static void test_h1_large_request_of_a_gone_connection_is_not_charged(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	send_large_request(&p, f);
	server_close(TAKE_PTR(f->server), NULL, NULL); /* asserts that nothing is charged */
	peer_settle(&p);
	assert_int_equal(server_fixture_held(f)->n_stops, 1);
	f->closed = true;
	server_fixture_forget(f);
	peer_close(&p);
}

#define N_IDLE 5000u

static void test_h1_idle_connections_are_held_and_end_in_time(void **state)
{
	struct server_fixture *f = *state;
	static struct peer idle[N_IDLE];
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 2 * N_IDLE + 100)
		skip();
	for (unsigned i = 0; i < N_IDLE; i++)
		peer_open(&idle[i], f);
	for (unsigned i = 0; i < N_IDLE; i += 100) {
		peer_send(&idle[i], GET("/hello"));
		peer_expect(&idle[i], HELLO);
	}
	check_healthy(f);
	assert_int_equal(server_n_connections(f->server), N_IDLE);
	server_fixture_pass(f, HTTP_IDLE_MS + 1);
	for (unsigned i = 0; i < N_IDLE; i++)
		assert_int_equal(close(idle[i].fd), 0);
	server_fixture_pass(f, HTTP_IDLE_MS + 1);
	assert_int_equal(server_n_connections(f->server), 0);
	for (unsigned i = 0; i < N_IDLE; i++)
		buf_deinit(&idle[i].got);
}

static void test_h1_pipelined_flood_stays_in_the_kernel(void **state)
{
	static const char request[] = GET("/hello");
	const size_t n = 20000, size = n * (sizeof request - 1);
	struct server_fixture *f = *state;
	char *flood = xmalloc(size);
	size_t sent;
	struct conn *c;
	struct peer p;

	for (size_t i = 0; i < n; i++)
		memcpy(flood + i * (sizeof request - 1), request, sizeof request - 1);
	c = peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	sent = peer_send_bytes(&p, flood, size);
	assert_true(sent < size);
	assert_true(conn_kept(c) <= HTTP_PENDING_MAX);
	assert_int_equal(f->n_requests, 1);
	check_healthy(f);
	f->n_requests = 0;
	held_finish(server_fixture_held(f));
	peer_settle(&p);
	sent += peer_send_bytes(&p, flood + sent, size - sent);
	peer_settle(&p);
	assert_int_equal(sent, size);
	assert_int_equal(f->n_requests, n);
	free(flood);
	peer_close(&p);
}

static void test_h1_slow_pipelined_requests_let_others_have_a_turn(void **state)
{
	static const char requests[] = GET("/slow") GET("/slow") GET("/slow");
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	assert_int_equal(send(p.fd, requests, sizeof requests - 1, 0), sizeof requests - 1);
	loop_fixture_turn(f->loop, 1);
	assert_int_equal(f->n_requests, 1);
	loop_fixture_turn(f->loop, 1);
	assert_int_equal(f->n_requests, 2);
	peer_settle(&p);
	assert_int_equal(f->n_requests, 3);
	peer_close(&p);
}

/* It asks and asks, and reads no answer: what is queued for it stops its requests. */
static void test_h1_client_that_reads_nothing_is_not_served_for_ever(void **state)
{
	static const char request[] = GET("/hello");
	struct server_fixture *f = *state;
	struct conn *c;
	struct peer p;

	c = peer_open(&p, f);
	for (unsigned i = 0; i < 200000; i++) {
		if (send(p.fd, request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			continue;
		loop_fixture_turn(f->loop, 3);
		if (send(p.fd, request, sizeof request - 1, MSG_NOSIGNAL | MSG_DONTWAIT) <= 0)
			break;
	}
	assert_true(conn_queued(c) < 4 * HTTP_PENDING_MAX);
	assert_true(f->n_requests < 100000);
	check_healthy(f);
	server_fixture_pass(f, HTTP_WRITE_STALL_MS + 1);
	peer_settle(&p);
	assert_true(p.ended);
	peer_close(&p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_h1_byte_a_second_ends_with_the_header_time),
		T(test_h1_header_bombs_together_stay_within_the_limit),
		T(test_h1_large_requests_that_are_held_stay_within_the_limit),
		T(test_h1_large_request_of_a_gone_connection_is_not_charged),
		T(test_h1_idle_connections_are_held_and_end_in_time),
		T(test_h1_pipelined_flood_stays_in_the_kernel),
		T(test_h1_slow_pipelined_requests_let_others_have_a_turn),
		T(test_h1_client_that_reads_nothing_is_not_served_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
