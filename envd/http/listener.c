#include "http/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "http/limits.h"

/* Connections accepted in one turn, so that those that are open are served in between. */
#define LISTENER_ACCEPTS_PER_TURN 64u

/* ---- the address ---- */

struct listener_address {
	struct sockaddr_storage addr;
	socklen_t len;
	bool any; /* no address was named: IPv6 and IPv4 */
};

static void listener_set_ipv4(struct listener_address *a, struct in_addr host, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_port = htons(port),
		                  .sin_addr = host };

	memcpy(&a->addr, &in, sizeof in);
	a->len = sizeof in;
}

static void listener_set_ipv6(struct listener_address *a, struct in6_addr host, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		                    .sin6_port = htons(port),
		                    .sin6_addr = host };

	memcpy(&a->addr, &in6, sizeof in6);
	a->len = sizeof in6;
}

/* "HOST:PORT", "[HOST]:PORT" or ":PORT" */
static int listener_parse(const char *text, struct listener_address *out)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2] = "";
	size_t host_len;
	struct in6_addr v6 = IN6ADDR_ANY_INIT;
	struct in_addr v4;
	uint64_t port;

	if (!colon || parse_u64(span_of(colon + 1), &port) < 0 || port > UINT16_MAX)
		return -EINVAL;
	host_len = (size_t)(colon - text);
	if (host_len >= sizeof host)
		return -EINVAL;
	memcpy(host, text, host_len);
	out->any = host_len == 0;
	if (out->any) {
		listener_set_ipv6(out, v6, (uint16_t)port);
		return 0;
	}
	if (host[0] == '[' && host[host_len - 1] == ']') {
		host[host_len - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &v6) != 1)
			return -EINVAL;
		listener_set_ipv6(out, v6, (uint16_t)port);
		return 0;
	}
	if (inet_pton(AF_INET, host, &v4) != 1)
		return -EINVAL;
	listener_set_ipv4(out, v4, (uint16_t)port);
	return 0;
}

/* ---- the socket ---- */

/* What is accepted inherits them, which saves each connection six calls. */
static void listener_set_options(int fd)
{
	const int on = 1, idle_s = HTTP_KEEPALIVE_S, probes = HTTP_KEEPALIVE_PROBES;
	const int unsent_max = HTTP_UNSENT_MAX;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_s, sizeof idle_s);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int listener_bind(const struct listener_address *a, int *out_fd, const char **out_step)
{
	CLEANUP(close_fdp) int fd = -1;
	int on = 1, off = 0;

	*out_step = "socket";
	fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	listener_set_options(fd);
	if (a->addr.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, a->any ? &off : &on, sizeof on);
	*out_step = "bind";
	if (bind(fd, (const struct sockaddr *)&a->addr, a->len) < 0)
		return -errno;
	*out_step = "listen";
	if (listen(fd, HTTP_BACKLOG) < 0)
		return -errno;
	*out_fd = TAKE_FD(fd);
	return 0;
}

/* Without IPv6 in the kernel there is no such socket; switched off, there is no such address. */
static bool listener_lacks_ipv6(int errnum)
{
	return errnum == -EAFNOSUPPORT || errnum == -EADDRNOTAVAIL;
}

static int listener_bind_any(struct listener_address *a, int *out_fd, const char **out_step)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->addr;
	int rc = listener_bind(a, out_fd, out_step);

	if (rc == 0 || !a->any || !listener_lacks_ipv6(rc))
		return rc;
	listener_set_ipv4(a, (struct in_addr){ htonl(INADDR_ANY) }, ntohs(in6->sin6_port));
	return listener_bind(a, out_fd, out_step);
}

static int listener_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr = { .in6 = { .sin6_port = 0 } };
	socklen_t len = sizeof addr;

	if (getsockname(fd, &addr.any, &len) < 0)
		return 0;
	return ntohs(addr.any.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}

/* ---- accepting ---- */

static void listener_on_poll(uv_poll_t *poll, int status, int events);

static void listener_watch(struct listener *l)
{
	if (!l->closed && !l->paused && !timer_is_running(&l->backoff))
		(void)uv_poll_start(&l->poll, UV_READABLE, listener_on_poll);
	else if (!l->closed)
		(void)uv_poll_stop(&l->poll);
}

static void listener_on_backoff(struct timer *timer)
{
	listener_watch(CONTAINER_OF(timer, struct listener, backoff));
}

/* Returns whether another one may be waiting. */
static bool listener_accept(struct listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->ops->on_accept(l, fd);
		return true;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		log_event_limited(LOG_WARNING, "http", "cannot accept connections, waiting",
		                  log_str("error", errno_text(errno)));
		timer_start(&l->loop->timers, &l->backoff, HTTP_ACCEPT_BACKOFF_MS);
		listener_watch(l);
		return false;
	case EAGAIN:
		return false;
	default:
		return true; /* that connection is gone already, or EINTR */
	}
}

static void listener_on_poll(uv_poll_t *poll, int status, int events)
{
	struct listener *l = CONTAINER_OF(poll, struct listener, poll);

	UNUSED(status);
	UNUSED(events);
	for (unsigned i = 0; i < LISTENER_ACCEPTS_PER_TURN && !l->paused && !l->closed; i++) {
		if (!listener_accept(l))
			return;
	}
}

/* ---- making and ending ---- */

struct listener *listener_open(struct loop *loop, const char *where, const struct listener_ops *ops,
                               void *owner, struct err *e)
{
	CLEANUP(close_fdp) int fd = -1;
	struct listener_address address = { 0 };
	struct listener *l;
	const char *step;
	int rc;

	if (strncmp(where, "tcp:", 4) != 0 || listener_parse(where + 4, &address) < 0) {
		(void)err_set(e, ERR_INVALID, "listen '%s': not tcp:ADDR:PORT", where);
		return NULL;
	}
	rc = listener_bind_any(&address, &fd, &step);
	if (rc < 0) {
		(void)err_sys(e, -rc, "listen tcp %s: %s", where + 4, step);
		return NULL;
	}
	l = xcalloc(1, sizeof *l);
	*l = (struct listener){
		.loop = loop, .ops = ops, .owner = owner, .port = listener_port(fd)
	};
	l->backoff.on_due = listener_on_backoff;
	rc = uv_poll_init(&loop->uv, &l->poll, fd);
	if (rc < 0) {
		free(l);
		(void)err_sys(e, -rc, "listen tcp %s: poll", where + 4);
		return NULL;
	}
	l->fd = TAKE_FD(fd);
	listener_watch(l);
	return l;
}

static void listener_on_closed(uv_handle_t *handle)
{
	struct listener *l = CONTAINER_OF((uv_poll_t *)handle, struct listener, poll);

	l->ops->on_closed(l);
	free(l);
}

void listener_close(struct listener *l)
{
	if (l->closed)
		return;
	l->closed = true;
	timer_stop(&l->loop->timers, &l->backoff);
	uv_close((uv_handle_t *)&l->poll, listener_on_closed);
	close_fdp(&l->fd);
}

void listener_pause(struct listener *l)
{
	if (l->paused)
		return;
	l->paused = true;
	listener_watch(l);
}

void listener_resume(struct listener *l)
{
	if (!l->paused)
		return;
	l->paused = false;
	listener_watch(l);
}
