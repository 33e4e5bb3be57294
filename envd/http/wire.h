/*
 * What a protocol (h1.c, h2.c) provides behind exchange.h. Each function is called with a live,
 * owned exchange; after exchange_gone the exchange has the dead wire, which swallows everything.
 */
#pragma once

#include "http/exchange.h"

struct exchange_wire {
	void (*read)(struct exchange *x);
	void (*consumed)(struct exchange *x, size_t len);
	int (*divert)(struct exchange *x, uint64_t *out_left); /* NULL: never */
	void (*diverted)(struct exchange *x, size_t len, bool more);
	void (*answer)(struct exchange *x, int status, const struct http_field *fields, size_t n,
	               struct span body);
	void (*begin)(struct exchange *x, int status, const struct http_field *fields, size_t n,
	              int64_t content_length);
	bool (*send)(struct exchange *x, const struct iovec *pieces, size_t n);
	void (*send_file)(struct exchange *x, struct http_file *file, int64_t offset, int64_t len);
	void (*finish)(struct exchange *x, const struct http_field *trailers, size_t n);
	void (*abort)(struct exchange *x);
	const struct http_field *(*trailers)(const struct exchange *x, size_t *out_n);
	/* The owner has given it back: frees it, or keeps it until the protocol is done with it. */
	void (*release)(struct exchange *x);
};

/*
 * A protocol makes an exchange: request, wire and memory are set, the rest is zero. scratch is
 * memory of the protocol's own that lives as long as the exchange, for the extra fields (may be
 * NULL). exchange_deinit belongs into release and into free_exchange.
 */
void exchange_init(struct exchange *x, const struct exchange_wire *wire, void *scratch,
                   size_t scratch_size);
void exchange_deinit(struct exchange *x);

/* Whether each % of a path begins an escape. A request whose path is not so is malformed. */
bool exchange_path_is_sound(struct span path);

/* Whether somebody owns it: nobody does before exchange_own and after it was given back. */
static inline bool exchange_is_owned(const struct exchange *x)
{
	return x->ops;
}

/*
 * The peer is gone: puts the dead wire in place and tells the owner (on_stop). free_exchange runs
 * when the owner gives the exchange back; at once if there is no owner.
 */
void exchange_gone(struct exchange *x, void (*free_exchange)(struct exchange *x));

/* The peer has ended its side: tells the owner, if there is one, the first time. */
void exchange_hang_up(struct exchange *x);
