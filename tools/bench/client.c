#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX  127u /* bytes of each part of a request: a length of one byte in protobuf */
#define ENVELOPE_END 0x02

_Noreturn void fail(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, format, list);
	fprintf(stderr, "\n");
	va_end(list);
	exit(1);
}

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void print_ms(const char *name, const double *seconds, int n)
{
	printf("%s", name);
	for (int i = 0; i < n; i++)
		printf(" %.4f", seconds[i] * 1e3);
	printf("\n");
}

struct sockaddr_in address_of(const char *host, const char *port)
{
	struct sockaddr_in where = { .sin_family = AF_INET };

	where.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, host, &where.sin_addr) != 1)
		fail("%s is not an IPv4 address", host);
	return where;
}

enum codec codec_of(const char *name)
{
	return strcmp(name, "proto") == 0 ? CODEC_PROTO : CODEC_JSON;
}

int call_open(const struct sockaddr_in *where)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (const struct sockaddr *)where, sizeof(*where)) < 0)
		fail("connect: %s", strerror(errno));
	return fd;
}

/* ---------------------------------------------------------------- requests */

struct bytes {
	char at[4 * MESSAGE_MAX];
	size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
	if (len > sizeof(b->at) - b->len)
		fail("the request is too long");
	memcpy(b->at + b->len, data, len);
	b->len += len;
}

static void put_text(struct bytes *b, const char *text)
{
	put(b, text, strlen(text));
}

/* A protobuf field of the length-delimited kind. */
static void put_field(struct bytes *b, unsigned number, const void *data, size_t len)
{
	char head[2] = { (char)(number << 3 | 2), (char)len };

	if (len > MESSAGE_MAX)
		fail("the request is too long");
	put(b, head, sizeof(head));
	put(b, data, len);
}

static void post(int fd, const char *method, const char *type, const struct bytes *body)
{
	char request[1024];
	int len = snprintf(request, sizeof(request),
	                   "POST /%s HTTP/1.1\r\nHost: envd\r\nContent-Type: %s\r\n"
	                   "Connect-Protocol-Version: 1\r\nContent-Length: %zu\r\n\r\n",
	                   method, type, body->len);

	memcpy(request + len, body->at, body->len);
	send_all(fd, request, (size_t)len + body->len, 0);
}

static void stream_post(struct stream *s, const char *method, const struct bytes *message)
{
	const char *type =
		s->codec == CODEC_JSON ? "application/connect+json" : "application/connect+proto";
	struct bytes body = { .len = 0 };
	char envelope[5] = { 0, 0, 0, (char)(message->len >> 8), (char)message->len };

	put(&body, envelope, sizeof(envelope));
	put(&body, message->at, message->len);
	s->pid = 0;
	s->n_bytes = 0;
	s->has_end = false;
	s->is_armed = false;
	s->n_created = 0;
	s->n_written = 0;
	response_begin(&s->response, s->response.fd);
	post(s->response.fd, method, type, &body);
}

/* The texts hold nothing that JSON escapes. */
static void put_start_json(struct bytes *b, char *const argv[], bool has_stdin)
{
	put_text(b, "{\"process\":{\"cmd\":\"");
	put_text(b, argv[0]);
	put_text(b, "\",\"args\":[");
	for (int i = 1; argv[i]; i++) {
		put_text(b, i > 1 ? ",\"" : "\"");
		put_text(b, argv[i]);
		put_text(b, "\"");
	}
	put_text(b, has_stdin ? "]},\"stdin\":true}" : "]},\"stdin\":false}");
}

static void put_start_proto(struct bytes *b, char *const argv[], bool has_stdin)
{
	struct bytes config = { .len = 0 };
	char flag[2] = { 4 << 3, has_stdin };

	for (int i = 0; argv[i]; i++)
		put_field(&config, i == 0 ? 1 : 2, argv[i], strlen(argv[i]));
	put_field(b, 1, config.at, config.len);
	put(b, flag, sizeof(flag));
}

void stream_start(struct stream *s, char *const argv[], bool has_stdin)
{
	struct bytes message = { .len = 0 };

	if (s->codec == CODEC_JSON)
		put_start_json(&message, argv, has_stdin);
	else
		put_start_proto(&message, argv, has_stdin);
	stream_post(s, "process.Process/Start", &message);
}

static void put_selector_proto(struct bytes *b, unsigned pid)
{
	char selector[6] = { 1 << 3 };
	size_t len = 1;

	for (; pid > 0x7f; pid >>= 7)
		selector[len++] = (char)(pid | 0x80);
	selector[len++] = (char)pid;
	put_field(b, 1, selector, len);
}

static void put_selector_json(struct bytes *b, unsigned pid)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"process\":{\"pid\":%u}", pid);
	put_text(b, text);
}

void stream_connect(struct stream *s, unsigned pid)
{
	struct bytes message = { .len = 0 };

	if (s->codec == CODEC_PROTO) {
		put_selector_proto(&message, pid);
	} else {
		put_selector_json(&message, pid);
		put_text(&message, "}");
	}
	stream_post(s, "process.Process/Connect", &message);
}

void stream_watch(struct stream *s, const char *path, bool is_recursive)
{
	struct bytes message = { .len = 0 };

	put_text(&message, "{\"path\":\"");
	put_text(&message, path);
	put_text(&message, is_recursive ? "\",\"recursive\":true}" : "\"}");
	stream_post(s, "filesystem.Filesystem/WatchDir", &message);
	while (!s->is_armed)
		stream_read(s, READ_MAX);
}

void call_send_input(int fd, unsigned pid, const char *base64)
{
	struct bytes message = { .len = 0 };

	put_selector_json(&message, pid);
	put_text(&message, ",\"input\":{\"stdin\":\"");
	put_text(&message, base64);
	put_text(&message, "\"}}");
	post(fd, "process.Process/SendInput", "application/json", &message);
}

void call_kill(int fd, unsigned pid)
{
	struct bytes message = { .len = 0 };

	put_selector_json(&message, pid);
	put_text(&message, ",\"signal\":\"SIGNAL_SIGKILL\"}");
	post(fd, "process.Process/SendSignal", "application/json", &message);
}

void call_list_dir(int fd, enum codec codec, const char *path)
{
	struct bytes message = { .len = 0 };

	if (codec == CODEC_PROTO) {
		put_field(&message, 1, path, strlen(path));
	} else {
		put_text(&message, "{\"path\":\"");
		put_text(&message, path);
		put_text(&message, "\"}");
	}
	post(fd, "filesystem.Filesystem/ListDir",
	     codec == CODEC_PROTO ? "application/proto" : "application/json", &message);
}

/* ---------------------------------------------------------------- what a message says */

/* Bytes of output in {"event":{"data":{"stdout":"<base64>"}}}. */
static size_t data_len_json(const struct stream *s, size_t prefix)
{
	static const char end[] = "\"}}}";
	const char *text = memchr(s->head + prefix, ':', MESSAGE_HEAD - prefix);
	const char *padding = s->tail + MESSAGE_TAIL - (sizeof(end) - 1);
	size_t base64;

	if (!text || memcmp(padding, end, sizeof(end) - 1) != 0)
		fail("a data event is not as expected: %s", s->head);
	base64 = s->n_message - (size_t)(text + 2 - s->head) - (sizeof(end) - 1);
	return base64 / 4 * 3 - (padding[-1] == '=') - (padding[-2] == '=');
}

static void watch_event_json(struct stream *s)
{
	if (strncmp(s->head, "{\"start\":", strlen("{\"start\":")) == 0)
		s->is_armed = true;
	else if (strstr(s->head, "EVENT_TYPE_CREATE"))
		s->n_created++;
	else if (strstr(s->head, "EVENT_TYPE_WRITE"))
		s->n_written++;
}

static void event_json(struct stream *s)
{
	static const char start[] = "{\"event\":{\"start\":{\"pid\":",
			  end[] = "{\"event\":{\"end\":", data[] = "{\"event\":{\"data\":{";

	if (strncmp(s->head, start, sizeof(start) - 1) == 0)
		s->pid = (unsigned)strtoul(s->head + sizeof(start) - 1, NULL, 10);
	else if (strncmp(s->head, data, sizeof(data) - 1) == 0)
		s->n_bytes += data_len_json(s, sizeof(data) - 1);
	else if (strncmp(s->head, end, sizeof(end) - 1) == 0)
		s->has_end = true;
	else
		watch_event_json(s);
}

static uint64_t take_varint(const char **at)
{
	uint64_t value = 0;
	unsigned shift = 0;

	for (; **at & 0x80; shift += 7)
		value |= (uint64_t)(*(*at)++ & 0x7f) << shift;
	return value | (uint64_t) * (*at)++ << shift;
}

/* Each level is one field: a tag, a length (or for the pid its value), what is in it. */
static void event_proto(struct stream *s)
{
	const char *at = s->head + 1;
	char event;

	take_varint(&at);
	event = *at++;
	take_varint(&at);
	at++;
	if (event == (1 << 3 | 2))
		s->pid = (unsigned)take_varint(&at);
	else if (event == (2 << 3 | 2))
		s->n_bytes += take_varint(&at);
	else if (event == (3 << 3 | 2))
		s->has_end = true;
}

static void stream_on_message(struct stream *s)
{
	s->head[s->n_message < MESSAGE_HEAD ? s->n_message : MESSAGE_HEAD] = '\0';
	if ((s->envelope[0] & ENVELOPE_END) && strstr(s->head, "error"))
		fail("a stream failed: %s", s->head);
	if (s->envelope[0] & ENVELOPE_END)
		return;
	if (s->codec == CODEC_JSON)
		event_json(s);
	else
		event_proto(s);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* The last MESSAGE_TAIL bytes of all that has come. */
static void tail_add(struct stream *s, const char *data, size_t len)
{
	size_t n = least(len, MESSAGE_TAIL);

	memmove(s->tail, s->tail + n, MESSAGE_TAIL - n);
	memcpy(s->tail + MESSAGE_TAIL - n, data + len - n, n);
}

static size_t message_len(const struct stream *s)
{
	const uint8_t *e = s->envelope;

	return (size_t)e[1] << 24 | (size_t)e[2] << 16 | (size_t)e[3] << 8 | e[4];
}

static void stream_add_body(void *stream, const char *data, size_t len)
{
	struct stream *s = stream;

	while (len > 0) {
		size_t n;

		if (s->n_envelope < sizeof(s->envelope)) {
			s->envelope[s->n_envelope++] = (uint8_t)*data++;
			len--;
			s->n_message = 0;
		}
		if (s->n_envelope < sizeof(s->envelope))
			continue;
		n = least(len, message_len(s) - s->n_message);
		if (s->n_message < MESSAGE_HEAD)
			memcpy(s->head + s->n_message, data, least(n, MESSAGE_HEAD - s->n_message));
		tail_add(s, data, n);
		s->n_message += n;
		data += n;
		len -= n;
		if (s->n_message == message_len(s)) {
			stream_on_message(s);
			s->n_envelope = 0;
		}
	}
}

void stream_read(struct stream *s, size_t len)
{
	response_read(&s->response, len, stream_add_body, s);
}

void stream_wait_start(struct stream *s)
{
	while (s->pid == 0)
		stream_read(s, READ_MAX);
}

void stream_wait_over(struct stream *s)
{
	while (!s->response.is_over)
		stream_read(s, READ_MAX);
	if (!s->has_end)
		fail("a stream ended without an end event");
}

void stream_open(struct stream *s, const struct sockaddr_in *where, enum codec codec)
{
	*s = (struct stream){ .codec = codec };
	response_begin(&s->response, call_open(where));
}

void stream_close(struct stream *s)
{
	close(s->response.fd);
}
