/*
 * A client of the services that costs little: Connect over HTTP/1.1 on blocking sockets, requests
 * written in one piece, responses parsed as they arrive and counted, not kept.
 *
 * Whatever goes wrong ends the program with a line on stderr: a figure of a failed run is none.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http1.h"

enum codec { CODEC_JSON, CODEC_PROTO };

/* ---------------------------------------------------------------- streams: Start, Connect and WatchDir */

#define MESSAGE_HEAD 128u /* bytes: enough for a pid, for what stands before data, for an error */
#define MESSAGE_TAIL 8u   /* bytes: what stands behind data in JSON, its padding included */

struct stream {
	struct response response;
	enum codec codec;

	uint8_t envelope[5];
	size_t n_envelope;
	size_t n_message;
	char head[MESSAGE_HEAD + 1];
	char tail[MESSAGE_TAIL];

	unsigned pid;     /* 0: no start event yet */
	uint64_t n_bytes; /* of output */
	bool has_end;     /* the end event has come */

	bool is_armed; /* of a watch: the start event has come */
	uint64_t n_created, n_written;
};

/* Connects. One stream after the other may use it. */
void stream_open(struct stream *s, const struct sockaddr_in *where, enum codec codec);
void stream_close(struct stream *s);

/* argv ends with NULL; it and its texts are short (MESSAGE_MAX in client.c). */
void stream_start(struct stream *s, char *const argv[], bool has_stdin);
void stream_connect(struct stream *s, unsigned pid);
/* JSON only. The path is short and needs no escapes. Is armed when it returns. */
void stream_watch(struct stream *s, const char *path, bool is_recursive);

/* One read of at most len bytes, which waits for the first; what it brought is in s. */
void stream_read(struct stream *s, size_t len);

void stream_wait_start(struct stream *s);
void stream_wait_over(struct stream *s);

/* ---------------------------------------------------------------- unary calls, answered by response_wait */

int call_open(const struct sockaddr_in *where);

/* base64 of what stdin gets. */
void call_send_input(int fd, unsigned pid, const char *base64);
void call_kill(int fd, unsigned pid);
/* The path is short and needs no escapes. */
void call_list_dir(int fd, enum codec codec, const char *path);

/* ---------------------------------------------------------------- for all programs here */

struct sockaddr_in address_of(const char *host, const char *port); /* an IPv4 address */
enum codec codec_of(const char *name);                             /* json or proto */
double now_s(void);
void print_ms(const char *name, const double *seconds, int n); /* one line: the name, the values */
_Noreturn void fail(const char *format, ...);
