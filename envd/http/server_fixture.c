#include "http/server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "http/conn.h"
#include "http/limits.h"
#include "loop/job.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

/* Turns after which nothing more happens by itself: read, task, task, close, closed, and room. */
#define FIXTURE_TURNS 8u

struct fixture_state {
	struct server_fixture f;
	void *loop_state;
};

/* ---- the handler ---- */

static void held_on_body(struct exchange *x, const uint8_t *data, size_t len)
{
	struct held *h = x->data;

	assert_false(h->ended);
	buf_append(&h->body, data, len);
	assert_int_not_equal(buf_error(&h->body), -ENOBUFS);
	if (h->consumes)
		exchange_consumed(x, len);
}

static void held_on_body_end(struct exchange *x, enum exchange_body_end how)
{
	struct held *h = x->data;
	struct http_field type = HTTP_FIELD("Content-Type", "text/plain");

	assert_false(h->ended);
	h->ended = true;
	h->how = how;
	if (h->answers_echo && how == EXCHANGE_BODY_COMPLETE)
		exchange_answer(&h->x, 200, &type, 1,
		                (struct span){ (const char *)h->body.data, h->body.len });
}

static void held_pour(struct held *h)
{
	static char piece[FIXTURE_POUR_PIECE];
	struct iovec iov = { piece, sizeof piece };

	while (h->n_to_pour > 0) {
		h->n_to_pour--;
		if (!exchange_send(h->x, &iov, 1))
			return;
	}
	exchange_finish(&h->x, NULL, 0);
}

static void held_on_proceed(struct exchange *x)
{
	struct held *h = x->data;

	h->n_proceeds++;
	if (strcmp(h->path, "/pour") == 0)
		held_pour(h);
}

static void held_on_file_sent(struct exchange *x, int error)
{
	struct held *h = x->data;

	h->n_files_sent++;
	h->file_error = error;
}

static void held_on_stop(struct exchange *x)
{
	struct held *h = x->data;

	assert_true(x->stopped);
	h->n_stops++;
	assert_int_equal(h->n_stops, 1);
}

static void held_on_hangup(struct exchange *x)
{
	struct held *h = x->data;

	assert_false(x->stopped);
	h->n_hangups++;
	assert_int_equal(h->n_hangups, 1);
}

static const struct exchange_ops held_ops = {
	.on_body = held_on_body,
	.on_body_end = held_on_body_end,
	.on_proceed = held_on_proceed,
	.on_file_sent = held_on_file_sent,
	.on_stop = held_on_stop,
	.on_hangup = held_on_hangup,
};

static struct held *fixture_hold(struct server_fixture *f, struct exchange *x)
{
	struct held *h = &f->held[f->n_held++];

	assert_true(f->n_held < FIXTURE_HELD_MAX);
	h->x = x;
	h->consumes = true;
	buf_init(&h->body, FIXTURE_BODY_MAX);
	exchange_own(x, &held_ops, h);
	return h;
}

static void fixture_note(struct server_fixture *f, const struct http_request *r)
{
	snprintf(f->last, sizeof f->last, "%.*s %.*s?%.*s host=%.*s fields=%zu", (int)r->method.len,
	         r->method.at, (int)r->path.len, r->path.at, (int)r->query.len,
	         r->query.len ? r->query.at : "", (int)r->host.len, r->host.len ? r->host.at : "",
	         r->n_fields);
}

/* As one that has much to encode. */
static void fixture_answer_slowly(struct exchange *x)
{
	uint64_t until_ns = uv_hrtime() + (HTTP_TURN_MS + 1) * 1000000u;

	while (uv_hrtime() < until_ns)
		;
	exchange_answer(&x, 200, NULL, 0, SPAN("slow"));
}

static void fixture_on_request(void *ctx, struct exchange *x)
{
	struct server_fixture *f = ctx;
	struct span path = x->request.path;
	struct held *h;

	fixture_note(f, &x->request);
	if (f->n_requests++ == 0)
		memcpy(f->first, f->last, sizeof f->first);
	if (span_equal(path, "/hello")) {
		exchange_answer(&x, 200, NULL, 0, SPAN("hello"));
		return;
	}
	if (span_equal(path, "/slow")) {
		fixture_answer_slowly(x);
		return;
	}
	if (span_equal(path, "/404") || path.len == 1 || path.at[0] != '/') {
		exchange_answer(&x, 404, NULL, 0, SPAN(""));
		return;
	}
	h = fixture_hold(f, x);
	snprintf(h->path, sizeof h->path, "%.*s", (int)path.len, path.at);
	h->answers_echo = span_equal(path, "/echo");
	h->consumes = !span_equal(path, "/greedy");
	if (span_equal(path, "/drop")) {
		exchange_abort(&h->x);
		return;
	}
	if (span_equal(path, "/pour")) {
		h->n_to_pour = FIXTURE_POURS;
		exchange_begin(x, 200, NULL, 0, FIXTURE_POURED);
		held_pour(h);
		return;
	}
	if (span_equal(path, "/begin"))
		exchange_begin(x, 200, NULL, 0, -1);
	else if (!span_equal(path, "/hold"))
		exchange_read(x);
}

struct held *server_fixture_held(struct server_fixture *f)
{
	assert_true(f->n_held > 0);
	return &f->held[f->n_held - 1];
}

void held_finish(struct held *h)
{
	if (h->x->answered)
		exchange_finish(&h->x, NULL, 0);
	else
		exchange_answer(&h->x, 200, NULL, 0, SPAN("done"));
}

/* ---- the server ---- */

int server_fixture_setup(void **state)
{
	struct fixture_state *s = xcalloc(1, sizeof *s);

	(void)signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	loop_fixture_setup(&s->loop_state);
	s->f.loop = loop_fixture_loop(&s->loop_state);
	s->f.server = server_new(s->f.loop, fixture_on_request, &s->f);
	*state = s;
	return 0;
}

static void fixture_on_closed(void *ctx)
{
	struct server_fixture *f = ctx;

	f->closed = true;
}

void server_fixture_forget(struct server_fixture *f)
{
	for (unsigned i = 0; i < f->n_held; i++) {
		if (f->held[i].x)
			exchange_abort(&f->held[i].x);
		buf_deinit(&f->held[i].body);
		f->held[i] = (struct held){ 0 };
	}
	f->n_held = 0;
}

int server_fixture_teardown(void **state)
{
	struct fixture_state *s = *state;
	struct server_fixture *f = &s->f;

	server_fixture_forget(f);
	if (f->server)
		server_close(TAKE_PTR(f->server), fixture_on_closed, f);
	loop_fixture_run_until(f->loop, &f->closed);
	loop_fixture_teardown(&s->loop_state);
	free(s);
	return 0;
}

void server_fixture_pass(struct server_fixture *f, uint64_t ms)
{
	uv_update_time(&f->loop->uv);
	timers_advance(&f->loop->timers, loop_now_ms(f->loop) + ms);
	loop_fixture_turn(f->loop, FIXTURE_TURNS);
}

/* ---- the peer ---- */

struct conn *peer_open(struct peer *p, struct server_fixture *f)
{
	struct conn *c;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	*p = (struct peer){ .f = f, .fd = fds[1] };
	assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
	buf_init(&p->got, FIXTURE_BODY_MAX);
	assert_int_equal(buf_reserve(&p->got, 4096), 0); /* before a test makes allocations fail */
	c = conn_new(f->server, fds[0]);
	assert_non_null(c);
	return c;
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(TAKE_FD(p->fd));
	buf_deinit(&p->got);
	loop_fixture_turn(p->f->loop, FIXTURE_TURNS);
}

void peer_reset(struct peer *p)
{
	peer_close(p); /* a Unix socket that is closed makes writing fail, as a reset does */
}

void peer_end(struct peer *p)
{
	assert_int_equal(shutdown(p->fd, SHUT_WR), 0);
	peer_settle(p);
}

static void peer_receive(struct peer *p)
{
	char data[16384];
	ssize_t n;

	while ((n = recv(p->fd, data, sizeof data, 0)) > 0)
		buf_append(&p->got, data, (size_t)n);
	assert_int_equal(buf_error(&p->got), 0);
	p->reset |= n < 0 && errno != EAGAIN;
	p->ended |= n == 0 || p->reset;
}

void peer_settle(struct peer *p)
{
	size_t before;

	do {
		before = p->got.len;
		loop_fixture_turn(p->f->loop, FIXTURE_TURNS);
		peer_receive(p);
		if (p->got.len == before && job_count(p->f->loop) > 0) {
			loop_fixture_run_jobs(p->f->loop);
			peer_receive(p);
		}
	} while (p->got.len != before);
}

size_t peer_send_slowly(struct peer *p, const void *data, size_t len, size_t step)
{
	unsigned n_stuck = 0;
	size_t at = 0;

	while (at < len && n_stuck < FIXTURE_TURNS) {
		ssize_t n = send(p->fd, (const char *)data + at, MIN(step, len - at), MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		n_stuck = n < 0 ? n_stuck + 1 : 0;
		at += n < 0 ? 0 : (size_t)n;
		peer_settle(p);
	}
	return at;
}

size_t peer_send_bytes(struct peer *p, const void *data, size_t len)
{
	return peer_send_slowly(p, data, len, len);
}

void peer_send(struct peer *p, const char *text)
{
	peer_send_bytes(p, text, strlen(text));
}

const char *peer_text(struct peer *p)
{
	char *date;

	buf_append_byte(&p->got, '\0');
	assert_int_equal(buf_error(&p->got), 0);
	p->got.len = 0;
	while ((date = strstr((char *)p->got.data, "Date: "))) {
		char *end = strchr(date, '\n');

		assert_non_null(end);
		memmove(date, end + 1, strlen(end + 1) + 1);
	}
	return (char *)p->got.data;
}

void peer_expect(struct peer *p, const char *text)
{
	peer_settle(p);
	assert_string_equal(peer_text(p), text);
}

void peer_expect_end(struct peer *p, const char *text)
{
	peer_expect(p, text);
	assert_true(p->ended);
}
