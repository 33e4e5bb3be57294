/*
 * For the tests of HTTP/2: a server whose requests a test drives by hand, and a client at the other
 * end of a socket pair, either nghttp2's or bare bytes.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/server.h"
#include "loop/loop.h"

#define PEER_STREAMS_MAX  2200 /* twice the streams a client may open, and room */
#define PEER_HANDLERS_MAX 1100
#define PEER_BODY_KEPT    256

/* What the client has seen of a stream; index: (id - 1) / 2. */
struct peer_stream {
	int status;
	unsigned n_informational;
	unsigned n_fields;
	unsigned n_trailers;
	size_t body_bytes;
	char body[PEER_BODY_KEPT];
	char length[24]; /* content-length */
	bool ended;      /* END_STREAM */
	bool closed;
	bool reset;
	uint32_t reset_code;
};

/* A request that the server has handed over and a test answers. */
struct peer_handler {
	struct h2_peer *peer;
	struct exchange *x; /* NULL: given back */
	size_t n_body;
	size_t unconsumed;
	char body[PEER_BODY_KEPT];
	char path[64], query[64], host[64], method[16];
	size_t n_fields;
	bool body_ended;
	bool stopped;
	unsigned n_proceeds, n_files_sent;
	int file_error;
	bool consume;   /* on_body consumes at once */
	bool stop_once; /* on_stop gives the exchange back */
	int64_t content_length;
	bool has_body;
	bool expects_continue;
};

struct h2_peer {
	struct loop *loop;
	struct server *server;
	bool server_closed;
	int fd;
	nghttp2_session *session; /* NULL: bare bytes */
	bool reads;               /* takes what comes from the socket */
	bool eof;
	unsigned slice; /* bytes of one write; 0: all */

	/* Frames seen, whoever the client is. */
	uint8_t header[9];
	size_t n_header, payload_left, n_payload;
	uint8_t payload[32];
	unsigned n_frames[16];
	bool goaway;
	uint32_t goaway_code, goaway_last;
	unsigned n_goaways;
	uint32_t rst_code, rst_id;

	struct peer_stream streams[PEER_STREAMS_MAX];
	struct peer_handler handlers[PEER_HANDLERS_MAX];
	size_t n_handlers;
	size_t upload_left; /* of the request that peer_upload has made */
};

int peer_setup(void **state); /* loop fixture, server, connection; no client yet */
int peer_teardown(void **state);
struct h2_peer *peer_of(void **state);

void peer_connect(struct h2_peer *p); /* another connection; the old one is forgotten */
void peer_begin(struct h2_peer *p);   /* nghttp2's client: preface, settings */
void peer_begin_raw(struct h2_peer *p);
void peer_write(struct h2_peer *p, const void *data, size_t len); /* bare bytes, all of them */
void peer_frame(struct h2_peer *p, uint8_t type, uint8_t flags, uint32_t id, const void *payload,
                size_t len);
/* A request by hand: GET /path, END_HEADERS | flags. */
void peer_raw_get(struct h2_peer *p, uint32_t id, const char *path, uint8_t flags);

/* Moves bytes both ways until nothing moves any more. */
void peer_run(struct h2_peer *p);
void peer_pass_ms(struct h2_peer *p, uint64_t ms); /* timers believe that so much time has passed */
void peer_hang_up(struct h2_peer *p);

/* Requests by nghttp2's client; return the stream id. */
int32_t peer_get(struct h2_peer *p, const char *path);
int32_t peer_request(struct h2_peer *p, const char *method, const char *path,
                     const struct http_field *fields, size_t n, bool has_body);
/* POST whose body is so many bytes, sent as the window allows. */
int32_t peer_upload(struct h2_peer *p, const char *path, size_t bytes);
struct peer_stream *peer_stream(struct h2_peer *p, int32_t id);
