#include "http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "http/conn.h"
#include "http/limits.h"
#include "http/server_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define HELLO     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void listen_at(struct server_fixture *f, const char *where)
{
	struct err e = { 0 };

	if (server_listen(f->server, where, &e) < 0)
		fail_msg("%s", err_text(&e));
	err_clear(&e);
	assert_true(server_port(f->server) > 0);
}

/* A client over TCP. The connect is done by the kernel; the server need not have accepted yet. */
static void peer_connect(struct peer *p, struct server_fixture *f)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)server_port(f->server)),
		                  .sin_addr = { htonl(INADDR_LOOPBACK) } };

	*p = (struct peer){ .f = f, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	assert_true(p->fd >= 0);
	assert_int_equal(connect(p->fd, (struct sockaddr *)&to, sizeof to), 0);
	assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
	buf_init(&p->got, FIXTURE_BODY_MAX);
}

static bool waits_for_answer(void *arg)
{
	struct peer *p = arg;

	peer_settle(p);
	return p->got.len == 0 && !p->ended;
}

/* Over TCP, even on one machine, bytes may take a moment. */
static void peer_await(struct peer *p, const char *text)
{
	loop_fixture_run_while(p->f->loop, waits_for_answer, p);
	peer_expect(p, text);
}

static void test_server_listens_on_both_families_and_answers(void **state)
{
	struct peer p;

	listen_at(*state, "tcp::0");
	peer_connect(&p, *state);
	peer_send(&p, GET("/hello"));
	peer_await(&p, HELLO);
	peer_close(&p);
}

static void test_server_listens_where_it_is_told(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	listen_at(f, "tcp:127.0.0.1:0");
	peer_connect(&p, f);
	peer_send(&p, GET("/hello"));
	peer_await(&p, HELLO);
	peer_close(&p);
	listen_at(f, "tcp:[::1]:0");
}

static void test_server_refuses_what_is_no_address(void **state)
{
	static const char *const bad[] = { "",         "tcp:",         "tcp:80",
		                           "tcp::x",   "tcp::65536",   "tcp::-1",
		                           "udp::80",  "tcp:::1:80",   "tcp:[::1:80",
		                           "tcp:a:80", "tcp:1.2.3:80", "tcp:[1.2.3.4]:80" };
	struct server_fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };

		assert_int_equal(server_listen(f->server, bad[i], &e), -1);
		assert_int_equal(e.kind, ERR_INVALID);
		err_clear(&e);
	}
}

static void test_server_says_that_a_port_is_taken(void **state)
{
	struct server_fixture *f = *state;
	struct err e = { 0 };
	char where[64], text[128];

	listen_at(f, "tcp:127.0.0.1:0");
	snprintf(where, sizeof where, "tcp:127.0.0.1:%d", server_port(f->server));
	snprintf(text, sizeof text, "listen tcp 127.0.0.1:%d: bind: address already in use",
	         server_port(f->server));
	assert_int_equal(server_listen(f->server, where, &e), -1);
	assert_string_equal(err_text(&e), text);
	err_clear(&e);
}

/* The server's end of the only connection. */
static int server_side_fd(struct server_fixture *f)
{
	struct sockaddr_in addr = { 0 };
	socklen_t len;
	int found = -1;

	for (int fd = 3; fd < 256; fd++) {
		len = sizeof addr;
		if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
		    addr.sin_family == AF_INET && ntohs(addr.sin_port) == server_port(f->server) &&
		    getpeername(fd, (struct sockaddr *)&addr, &len) == 0)
			found = fd;
	}
	return found;
}

static int option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void test_server_sets_the_options_of_accepted_sockets(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;
	int fd;

	listen_at(f, "tcp:127.0.0.1:0");
	peer_connect(&p, f);
	peer_send(&p, GET("/hello"));
	peer_await(&p, HELLO);
	fd = server_side_fd(f);
	assert_true(fd >= 0);
	assert_true(option(fd, IPPROTO_TCP, TCP_NODELAY));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), HTTP_UNSENT_MAX);
	assert_true(option(fd, SOL_SOCKET, SO_KEEPALIVE));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), HTTP_KEEPALIVE_S);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), HTTP_KEEPALIVE_S);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), HTTP_KEEPALIVE_PROBES);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	peer_close(&p);
}

static void test_server_reset_by_the_peer_stops_the_exchange(void **state)
{
	struct linger at_once = { .l_onoff = 1 };
	struct server_fixture *f = *state;
	struct peer p;

	listen_at(f, "tcp:127.0.0.1:0");
	peer_connect(&p, f);
	peer_send(&p, GET("/hold"));
	while (f->n_held == 0)
		peer_settle(&p);
	setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	peer_close(&p);
	while (server_fixture_held(f)->n_stops == 0)
		loop_fixture_turn(f->loop, 1);
}

static void test_server_without_descriptors_pauses_and_goes_on(void **state)
{
	struct server_fixture *f = *state;
	struct rlimit before, none;
	struct peer p;

	listen_at(f, "tcp:127.0.0.1:0");
	peer_connect(&p, f);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3; /* below every number that could be given */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	loop_fixture_turn(f->loop, 20);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(server_n_connections(f->server), 0);
	loop_fixture_turn(f->loop, 20);
	assert_int_equal(server_n_connections(f->server), 0); /* it waits */
	server_fixture_pass(f, HTTP_ACCEPT_BACKOFF_MS);
	peer_send(&p, GET("/hello"));
	peer_await(&p, HELLO);
	peer_close(&p);
}

#define N_MANY (HTTP_CONNECTIONS_MAX - 1)

static void test_server_at_its_limit_accepts_when_one_leaves(void **state)
{
	struct server_fixture *f = *state;
	static struct peer many[N_MANY];
	struct rlimit limit;
	struct peer last, waiting;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < 2 * HTTP_CONNECTIONS_MAX + 100)
		skip();
	listen_at(f, "tcp:127.0.0.1:0");
	for (unsigned i = 0; i < N_MANY; i++)
		peer_open(&many[i], f);
	peer_connect(&last, f);
	peer_send(&last, GET("/hello"));
	peer_await(&last, HELLO);
	assert_int_equal(server_n_connections(f->server), HTTP_CONNECTIONS_MAX);
	peer_connect(&waiting, f);
	peer_send(&waiting, GET("/hello"));
	peer_expect(&waiting, "");
	assert_int_equal(server_n_connections(f->server), HTTP_CONNECTIONS_MAX);
	peer_close(&many[0]);
	peer_await(&waiting, HELLO);
	for (unsigned i = 1; i < N_MANY; i++) {
		close(many[i].fd);
		buf_deinit(&many[i].got);
	}
	peer_close(&last);
	peer_close(&waiting);
}

static void test_server_drained_accepts_no_more(void **state)
{
	struct server_fixture *f = *state;
	struct sockaddr_in to;
	struct peer p;
	int fd;

	listen_at(f, "tcp:127.0.0.1:0");
	peer_connect(&p, f);
	peer_send(&p, GET("/hello"));
	peer_await(&p, HELLO);
	server_drain(f->server);
	assert_true(server_is_draining(f->server));
	loop_fixture_run_while(f->loop, waits_for_answer, &p);
	assert_true(p.ended);
	to = (struct sockaddr_in){ .sin_family = AF_INET,
		                   .sin_port = htons((uint16_t)server_port(f->server)),
		                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), -1);
	close(fd);
	peer_close(&p);
}

static void set_true(void *flag)
{
	*(bool *)flag = true;
}

static void test_server_says_when_the_last_connection_of_a_drain_has_gone(void **state)
{
	struct server_fixture *f = *state;
	bool is_drained = false;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	peer_settle(&p);
	server_set_on_drained(f->server, set_true, &is_drained);
	server_drain(f->server);
	loop_fixture_turn(f->loop, 3);
	assert_false(is_drained);
	held_finish(server_fixture_held(f));
	loop_fixture_run_until(f->loop, &is_drained);
	assert_int_equal(server_n_connections(f->server), 0);
	peer_close(&p);
}

static void test_server_without_connections_is_drained_but_not_inside_the_call(void **state)
{
	struct server_fixture *f = *state;
	bool is_drained = false;

	server_set_on_drained(f->server, set_true, &is_drained);
	server_drain(f->server);
	assert_false(is_drained);
	loop_fixture_run_until(f->loop, &is_drained);
}

/* A job that works for it is in no hurry. */
static void test_server_closed_before_an_exchange_is_given_back_is_not_needed_for_it(void **state)
{
	struct server_fixture *f = *state;
	struct peer p;

	peer_open(&p, f);
	peer_send(&p, GET("/hold"));
	peer_settle(&p);
	server_close(TAKE_PTR(f->server), set_true, &f->closed);
	loop_fixture_run_until(f->loop, &f->closed);
	server_fixture_forget(f);
	peer_close(&p);
}

static void test_server_blocks_are_used_again(void **state)
{
	struct server_fixture *f = *state;
	void *first = server_take_block(f->server), *second = server_take_block(f->server);

	assert_true(first && second && first != second);
	server_give_block(f->server, second);
	assert_ptr_equal(server_take_block(f->server), second);
	server_give_block(f->server, second);
	server_give_block(f->server, first);
}

static void test_server_spare_memory_is_used_again(void **state)
{
	struct server_fixture *f = *state;
	struct buf first, second;
	const uint8_t *memory;

	buf_init(&first, HTTP_QUEUE_MAX);
	buf_init(&second, HTTP_QUEUE_MAX);
	server_take_spare(f->server, &first);
	assert_null(first.data);
	buf_append_text(&first, "something");
	memory = first.data;
	server_give_spare(f->server, &first);
	assert_null(first.data);
	server_take_spare(f->server, &second);
	assert_ptr_equal(second.data, memory);
	assert_int_equal(second.len, 0);
	server_take_spare(f->server, &second);
	assert_ptr_equal(second.data, memory);
	server_give_spare(f->server, &second);
}

static void test_server_keeps_little_spare_memory(void **state)
{
	struct server_fixture *f = *state;
	struct buf bufs[SERVER_SPARES + 2];

	for (size_t i = 0; i < ARRAY_SIZE(bufs); i++) {
		buf_init(&bufs[i], HTTP_QUEUE_MAX);
		assert_int_equal(buf_reserve(&bufs[i], i == 0 ? SERVER_SPARE_MAX + 1 : 1), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bufs); i++)
		server_give_spare(f->server, &bufs[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bufs); i++) {
		server_take_spare(f->server, &bufs[i]);
		assert_true(bufs[i].cap <= SERVER_SPARE_MAX);
		assert_int_equal(bufs[i].data != NULL, i < SERVER_SPARES);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bufs); i++)
		buf_deinit(&bufs[i]);
}

static void test_server_charges_heads_up_to_its_limit(void **state)
{
	struct server_fixture *f = *state;

	assert_true(server_charge_head(f->server, SERVER_HEADS_MAX - 1));
	assert_true(server_charge_head(f->server, 1));
	assert_false(server_charge_head(f->server, 1));
	server_discharge_head(f->server, SERVER_HEADS_MAX);
}

static void test_server_charges_queues_up_to_its_limit(void **state)
{
	struct server_fixture *f = *state;

	assert_true(server_charge_queue(f->server, SERVER_QUEUES_MAX - 1));
	assert_true(server_charge_queue(f->server, 1));
	assert_false(server_charge_queue(f->server, 1));
	server_discharge_queue(f->server, SERVER_QUEUES_MAX);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_listens_on_both_families_and_answers),
		T(test_server_listens_where_it_is_told),
		T(test_server_refuses_what_is_no_address),
		T(test_server_says_that_a_port_is_taken),
		T(test_server_sets_the_options_of_accepted_sockets),
		T(test_server_reset_by_the_peer_stops_the_exchange),
		T(test_server_without_descriptors_pauses_and_goes_on),
		T(test_server_at_its_limit_accepts_when_one_leaves),
		T(test_server_drained_accepts_no_more),
		T(test_server_says_when_the_last_connection_of_a_drain_has_gone),
		T(test_server_without_connections_is_drained_but_not_inside_the_call),
		T(test_server_closed_before_an_exchange_is_given_back_is_not_needed_for_it),
		T(test_server_blocks_are_used_again),
		T(test_server_spare_memory_is_used_again),
		T(test_server_keeps_little_spare_memory),
		T(test_server_charges_heads_up_to_its_limit),
		T(test_server_charges_queues_up_to_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
