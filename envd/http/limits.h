/*
 * Every limit of the transport, with unit and reason. Sources: wire.md 1; RFC 9110, 9112, 9113.
 */
#pragma once

/* Header block: Go's default and its slack; beyond, 431. The count bounds the table of fields. */
#define HTTP_HEADER_MAX (1024u * 1024u + 4096u) /* bytes */
#define HTTP_FIELDS_MAX 1000u                   /* far above any client */

/* A slow loris gets no longer for a whole header block. */
#define HTTP_HEADER_MS 30000u

/* Between requests: above the proxy's 620 s, so that it is the side that closes first. */
#define HTTP_IDLE_MS 640000u

/* Without a body byte that we want, without the peer taking a byte: streams pause for minutes. */
#define HTTP_BODY_IDLE_MS   640000u
#define HTTP_WRITE_STALL_MS 640000u

/* What is read of an unwanted body to keep the connection: a client that sends a few megabytes before it
 * reads sees the answer. Beyond, our side is ended while it still sends, and not every proxy on the way
 * survives that. */
#define HTTP_DRAIN_MAX (16u * 1024u * 1024u) /* bytes */
#define HTTP_DRAIN_MS  5000u

/* What is read and dropped of a closed connection for up to HTTP_DRAIN_MS, so that a peer that sends
 * on sees the answer and not a reset: the largest message that is accepted anywhere. */
#define HTTP_LINGER_MAX (64u * 1024u * 1024u) /* bytes */

/* A handler may leave a body unread for ever, but not that of a peer that has ended its side. */
#define HTTP_HANGUP_MS 5000u

/* Input that its handler does not want yet: one read. The kernel holds the rest. */
#define HTTP_PENDING_MAX 65536u /* bytes */

/* Requests that wait on a connection already are served for so long; then others have a turn. */
#define HTTP_TURN_MS 2u

/* Output of a connection: some of the largest RPC messages. Beyond, it is cut. */
#define HTTP_QUEUE_MAX (256u * 1024u * 1024u) /* bytes */

/*
 * What a socket takes beyond what its peer has room for (TCP_NOTSENT_LOWAT). Without it the kernel
 * keeps up to 4 MiB for a peer that reads slowly, and says that there is room again when a third
 * has gone: to whoever feeds it, a reader of 64 KiB/s looks dead for 18 s. A message of process
 * output fits; half of it, at which we are woken, lasts 0.25 ms at 1 Gbit/s. It costs nothing
 * measurable: a link of 1 Gbit/s stays full, and over loopback the memory in use stays in the cache.
 */
#define HTTP_UNSENT_MAX (64u * 1024u) /* bytes */

/*
 * The same while a file is sent: no limit but the kernel's (tcp_wmem). Its pages are no memory of ours,
 * nobody measures its reader, and to be woken for each 32 KiB would double what a download costs
 * (docs/decisions/0006).
 */
#define HTTP_UNSENT_PAGES_MAX 0 /* TCP_NOTSENT_LOWAT's word for it */

/* RFC 9112 2.2 asks for one empty line before a request line. */
#define HTTP_BLANK_LINES_MAX 2u

/* Chunked bodies: a size line with its extensions; framing beyond what a fair sender needs for its
 * data; the trailer section. All in bytes, the like of Go's. */
#define HTTP_CHUNK_LINE_MAX   4096u
#define HTTP_CHUNK_EXCESS_MAX 16384u
#define HTTP_TRAILER_MAX      16384u

/* Connections: a guest has 20,000 descriptors at the least. */
#define HTTP_CONNECTIONS_MAX   8192u
#define HTTP_BACKLOG           511  /* listen(2); the kernel's own limit cuts it */
#define HTTP_ACCEPT_BACKOFF_MS 100u /* without accepting after EMFILE, ENFILE, ENOMEM or ENOBUFS */
#define HTTP_KEEPALIVE_S       15u  /* TCP keep-alive: idle time and interval */
#define HTTP_KEEPALIVE_PROBES  9u
