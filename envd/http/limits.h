/*
 * Every limit of the transport, with unit and reason. Sources: wire.md 1; RFC 9110, 9112, 9113.
 */
#pragma once

#define HTTP_HEADER_MAX     (1024u * 1024u + 4096u) /* bytes of a header block; Go's default and slack -> 431 */
#define HTTP_FIELDS_MAX     1000u     /* fields of a header block; far above any client, bounds the table -> 431 */
#define HTTP_HEADER_MS      30000u    /* ms for a header block to arrive: a slow loris gets no longer */
#define HTTP_IDLE_MS        640000u   /* ms between requests; above the proxy's 620 s, so that it closes first */
#define HTTP_BODY_IDLE_MS   640000u   /* ms without a body byte although we want some; streams pause for minutes */
#define HTTP_WRITE_STALL_MS 640000u   /* ms without the peer taking a byte of a queued response */
#define HTTP_DRAIN_MAX      (1024u * 1024u) /* bytes of an unwanted request body read to keep a connection */
#define HTTP_DRAIN_MS       5000u     /* ms for that, and for a close to be seen by the peer */
#define HTTP_CONNECTIONS_MAX 8192u    /* open connections; a guest has 20,000 descriptors at the least */
#define HTTP_PENDING_MAX    65536u    /* bytes read from a connection that its handler does not want yet */
#define HTTP_BACKLOG        511       /* listen(2); the kernel's own limit cuts it */
#define HTTP_ACCEPT_BACKOFF_MS 100u   /* ms without accepting after EMFILE, ENFILE, ENOMEM or ENOBUFS */
#define HTTP_KEEPALIVE_S    15u       /* s, TCP keep-alive idle and interval */
#define HTTP_KEEPALIVE_PROBES 9u
#define HTTP_QUEUE_MAX (256u * 1024u * 1024u) /* bytes queued on a connection: some of the largest messages; beyond, it is cut */
#define HTTP_BLANK_LINES_MAX 2u       /* empty lines before a request line; RFC 9112 2.2 asks for one */
#define HTTP_CHUNK_LINE_MAX  4096u    /* bytes of a chunk's size line with its extensions */
#define HTTP_TRAILER_MAX     16384u   /* bytes of a trailer section */
#define HTTP_HANGUP_MS       5000u    /* ms that a handler may leave the body of a peer that ended its side */
#define HTTP_CHUNK_EXCESS_MAX 16384u  /* bytes of chunk framing beyond what a fair sender needs for its data */
