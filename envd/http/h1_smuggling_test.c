/*
 * Messages that two readers could read in two ways. Each is refused or handled as RFC 9112 says,
 * the connection is in the right state after it, and no byte behind it becomes a request that was
 * not one.
 *
 * Every input ends with a probe, GET /hello: it may only be answered where the connection goes on.
 */
#include <stdio.h>
#include <string.h>

#include "http/server_fixture.h"
#include "tests/support/test.h"

#define PROBE "GET /hello HTTP/1.1\r\nHost: probe\r\n\r\n"
#define TEXT  "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

/* What the connection has answered when all is in. */
#define ENDS(text)       .output = (text), .ends = true
#define KEPT(text)       .output = text HELLO
#define REFUSAL(line)    "HTTP/1.1 " line TEXT line
#define VERSION_TEXT     REFUSAL("505 HTTP Version Not Supported: unsupported protocol version")
#define REFUSED          ENDS(REFUSAL("400 Bad Request"))
#define REFUSED_NAME     ENDS(REFUSAL("400 Bad Request: invalid header name"))
#define REFUSED_HOST     ENDS(REFUSAL("400 Bad Request: malformed Host header"))
#define REFUSED_NO_HOST  ENDS(REFUSAL("400 Bad Request: missing required Host header"))
#define REFUSED_ENCODING ENDS("HTTP/1.1 501 Not Implemented" TEXT "Unsupported transfer encoding")
#define REFUSED_VERSION  ENDS(VERSION_TEXT)
/* The handler of /echo is told that the body is malformed, and gives another answer. */
#define MALFORMED .malformed = true

#define HELLO     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
#define ECHOED(n, body)                                                                            \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " n "\r\n\r\n" body
#define CLOSED_404 "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

#define DONE_CLOSE "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone"

#define POST    "POST /echo HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

struct vector {
	const char *name;
	const char *input; /* the probe follows */
	size_t len;
	const char *output;
	bool ends; /* the server has ended the connection */
	bool malformed;
	const char *request; /* the first one that a handler has seen; NULL: whatever */
	const char *last;    /* ... and the last */
};

#define V(name_, input_, ...)                                                                      \
	{                                                                                          \
		.name = name_, .input = input_, .len = sizeof(input_) - 1, __VA_ARGS__             \
	}

static const struct vector vectors[] = {
	/* clang-format off */
	/* lengths */
	V("length twice, equal", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", REFUSED),
	V("length twice, different", POST "Content-Length: 3\r\nContent-Length: 0\r\n\r\nabc", REFUSED),
	V("length as a list", POST "Content-Length: 3, 3\r\n\r\nabc", REFUSED),
	V("length with a plus", POST "Content-Length: +3\r\n\r\nabc", REFUSED),
	V("length negative", POST "Content-Length: -3\r\n\r\nabc", REFUSED),
	V("length hexadecimal", POST "Content-Length: 0x3\r\n\r\nabc", REFUSED),
	V("length with a space inside", POST "Content-Length: 3 0\r\n\r\nabc", REFUSED),
	V("length empty", POST "Content-Length:\r\n\r\nabc", REFUSED),
	V("length beyond 63 bits", POST "Content-Length: 9223372036854775808\r\n\r\nabc", REFUSED),
	V("length beyond 64 bits", POST "Content-Length: 18446744073709551619\r\n\r\nabc", REFUSED),
	V("length with leading zeros", POST "Content-Length: 003\r\n\r\nabc", KEPT(ECHOED("3", "abc"))),
	V("length with a tab behind", POST "Content-Length: 3\t\r\n\r\nabc", REFUSED),
	V("length with spaces around", POST "Content-Length:\t  3  \r\n\r\nabc", KEPT(ECHOED("3", "abc"))),
	V("length shorter than the body", POST "Content-Length: 3\r\n\r\nabcX", KEPT(ECHOED("3", "abc")), .last = "XGET /hello? host=probe fields=1"),

	/* transfer encodings */
	V("length and chunked", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", REFUSED),
	V("chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", REFUSED),
	V("chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" "0\r\n\r\n", REFUSED_ENCODING),
	V("chunked as a list", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", REFUSED_ENCODING),
	V("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", REFUSED_ENCODING),
	V("chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", REFUSED_ENCODING),
	V("identity", POST "Transfer-Encoding: identity\r\n\r\n", REFUSED_ENCODING),
	V("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n", REFUSED_ENCODING),
	V("chunked quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n", REFUSED_ENCODING),
	V("chunked with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n", REFUSED_ENCODING),
	V("encoding empty", POST "Transfer-Encoding:\r\n\r\n", REFUSED_ENCODING),
	V("chunked in capitals", POST "Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", KEPT(ECHOED("3", "abc"))),
	V("chunked with vertical tab", POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", REFUSED),
	V("chunked in HTTP/1.0", "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" "0\r\n\r\n", REFUSED),
	V("a name like the encoding's", POST "Transfer_Encoding: chunked\r\n\r\n", KEPT(ECHOED("0", ""))),

	/* lines and names */
	V("space before the colon", POST "Content-Length : 3\r\n\r\nabc", REFUSED_NAME),
	V("tab before the colon", POST "Content-Length\t: 3\r\n\r\nabc", REFUSED),
	V("space in a name", POST "Content Length: 3\r\n\r\nabc", REFUSED_NAME),
	V("empty name", POST ": 3\r\n\r\n", REFUSED),
	V("no colon", POST "Content-Length 3\r\n\r\nabc", REFUSED),
	V("name not ASCII", POST "X\xc3\xa9: 3\r\n\r\n", REFUSED),
	V("folded line", POST "X: a\r\n b\r\n\r\n", REFUSED),
	V("folded line with tab", POST "X: a\r\n\tContent-Length: 3\r\n\r\nabc", REFUSED),
	V("folded encoding", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", REFUSED),
	V("space before the first field", "POST /echo HTTP/1.1\r\n Host: a\r\n\r\n", REFUSED),
	V("bare LF after a field", POST "X: a\nContent-Length: 3\r\n\r\nabc", REFUSED),
	V("bare LF after the request line", "POST /echo HTTP/1.1\nHost: a\r\n\r\n", REFUSED),
	V("bare LF as the end", POST "X: a\r\n\n", REFUSED),
	V("bare CR in a value", POST "X: a\rContent-Length: 3\r\n\r\nabc", REFUSED),
	V("CR CR LF", POST "X: a\r\r\n\r\n", REFUSED),
	V("NUL in a value", POST "X: a\0b\r\n\r\n", REFUSED),
	V("NUL in a name", POST "X\0: a\r\n\r\n", REFUSED),
	V("NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("control character in a value", POST "X: a\x01\r\n\r\n", REFUSED),
	V("value not ASCII", "GET /404 HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\xff\r\n\r\n", KEPT(NOT_FOUND)),

	/* request lines */
	V("no version", "GET /hello\r\n\r\n", REFUSED),
	V("nothing but a method", "GET\r\nHost: a\r\n\r\n", REFUSED),
	V("two spaces", "GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("tabs", "GET\t/hello\tHTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("space in the target", "GET /he llo HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("space behind the version", "GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n", REFUSED),
	V("leading space", " GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("method not a token", "GE(T /hello HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("unknown method", "BREW /404 HTTP/1.1\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND), .request = "BREW /404? host=a fields=1"),
	V("lower case version", "GET /hello http/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("version 1.10", "GET /hello HTTP/1.10\r\nHost: a\r\n\r\n", REFUSED),
	V("version 1", "GET /hello HTTP/1\r\nHost: a\r\n\r\n", REFUSED),
	V("version 1.2", "GET /404 HTTP/1.2\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND)),
	V("version 0.9", "GET /hello HTTP/0.9\r\nHost: a\r\n\r\n", REFUSED_VERSION),
	V("version 2.0", "GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", REFUSED_VERSION),
	V("version 3.0", "GET /hello HTTP/3.0\r\nHost: a\r\n\r\n", REFUSED_VERSION),
	V("preface later", "GET /404 HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ENDS(NOT_FOUND VERSION_TEXT)),
	V("TLS", "\x16\x03\x01\x02", REFUSED),

	/* targets */
	V("absolute form", "GET http://b:1/404?q HTTP/1.1\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND), .request = "GET /404?q host=b:1 fields=1"),
	V("absolute form without path", "GET HTTP://b?q HTTP/1.1\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND), .request = "GET /?q host=b fields=1"),
	V("absolute form without host field", "GET http://b/404 HTTP/1.1\r\n\r\n", REFUSED_NO_HOST),
	V("absolute form with user", "GET http://u@b/404 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("absolute form without host", "GET http:///404 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("other scheme", "GET ftp://b/404 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("authority form", "GET b:443 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("CONNECT", "CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", ENDS(CLOSED_404), .request = "CONNECT b:443? host=a fields=1"),
	V("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND), .request = "OPTIONS *? host=a fields=1"),
	V("relative path", "GET hello HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("broken escape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("escape not hexadecimal", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED),
	V("escapes stay", "GET /404?%zz HTTP/1.1\r\nHost: a\r\n\r\n", KEPT(NOT_FOUND), .request = "GET /404?%zz host=a fields=1"),

	/* hosts */
	V("no host", "GET /hello HTTP/1.1\r\n\r\n", REFUSED_NO_HOST),
	V("host twice", "GET /hello HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", REFUSED),
	V("host with a path", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", REFUSED_HOST),
	V("host with a space", "GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", REFUSED_HOST),
	V("host with a user", "GET /hello HTTP/1.1\r\nHost: u@a\r\n\r\n", REFUSED_HOST),
	V("host empty", "GET /404 HTTP/1.1\r\nHost:\r\n\r\n", KEPT(NOT_FOUND)),
	V("host IPv6", "GET /404 HTTP/1.1\r\nHost: [::1]:49983\r\n\r\n", KEPT(NOT_FOUND)),

	/* chunks */
	V("chunk extension", CHUNKED "3;a=b;c=\"d;\\\"\"\r\nabc\r\n0;e\r\n\r\n", KEPT(ECHOED("3", "abc"))),
	V("chunk extension behind spaces", CHUNKED "3 \t;a\r\nabc\r\n0\r\n\r\n", KEPT(ECHOED("3", "abc"))),
	V("chunk size with a space behind", CHUNKED "3 \r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size with a space before", CHUNKED " 3\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size with prefix", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size with sign", CHUNKED "+3\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size empty", CHUNKED "\r\n\r\n", MALFORMED),
	V("chunk size only an extension", CHUNKED ";a\r\n\r\n", MALFORMED),
	V("chunk size too long", CHUNKED "0000000000000003\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size overflows", CHUNKED "10000000000000003\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk size with bare LF", CHUNKED "3\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk extension with bare LF", CHUNKED "3;a\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk extension with bare CR", CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("chunk data with bare LF", CHUNKED "3\r\nabc\n0\r\n\r\n", MALFORMED),
	V("chunk longer than it says", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", MALFORMED),
	V("chunk shorter than it says", CHUNKED "5\r\nabc\r\n0\r\n\r\n", MALFORMED),
	V("last chunk of many zeros", CHUNKED "000\r\n\r\n", KEPT(ECHOED("0", ""))),
	V("trailer", CHUNKED "0\r\nX: y\r\n\r\n", KEPT(ECHOED("0", ""))),
	V("trailer that is framing", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", KEPT(ECHOED("0", ""))),
	V("trailer with bare LF", CHUNKED "0\r\nX: y\n\r\n", MALFORMED),
	V("trailer folded", CHUNKED "0\r\nX: y\r\n z\r\n\r\n", MALFORMED),
	V("trailer without colon", CHUNKED "0\r\nGET /hello HTTP/1.1\r\n\r\n", MALFORMED),
	V("end of the last chunk with bare LF", CHUNKED "0\r\n\n", MALFORMED),

	/* bodies where none is usual */
	V("GET with a body", "GET /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", KEPT(ECHOED("3", "abc"))),
	V("HEAD with a body", "HEAD /404 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", KEPT(NOT_FOUND)),
	V("upgrade to something else", "GET /404 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n" "Upgrade: websocket\r\n\r\n", KEPT(NOT_FOUND)),
	/* clang-format on */
};

/* The handler has been told, and gives another answer. */
static const char *finish_malformed(struct server_fixture *f, struct peer *p)
{
	struct held *h = f->n_held == 1 ? &f->held[0] : NULL;

	if (f->n_requests != 1 || !h || !h->ended || h->how != EXCHANGE_BODY_MALFORMED)
		return "not told as malformed";
	held_finish(h);
	peer_settle(p);
	return strcmp(peer_text(p), DONE_CLOSE) == 0 ? NULL : "wrong answer after malformed body";
}

/* What is wrong, NULL if nothing. */
static const char *look(const struct vector *v, struct server_fixture *f, struct peer *p)
{
	const char *wrong = NULL;

	if (v->request && strcmp(v->request, f->first) != 0)
		return f->first;
	if (v->last && strcmp(v->last, f->last) != 0)
		return f->last;
	peer_settle(p);
	if (!v->malformed)
		wrong = strcmp(peer_text(p), v->output) == 0 ? NULL : (char *)p->got.data;
	else
		wrong = finish_malformed(f, p);
	if (!wrong && p->ended != (v->ends || v->malformed))
		wrong = p->ended ? "ended" : "not ended";
	return wrong;
}

static unsigned check(const struct vector *v, struct server_fixture *f, size_t step)
{
	char input[1024];
	size_t len = v->len;
	const char *wrong;
	struct peer p;

	assert_true(len + sizeof PROBE <= sizeof input);
	memcpy(input, v->input, len);
	memcpy(input + len, PROBE, sizeof PROBE);
	len += sizeof PROBE - 1;
	f->n_requests = 0;
	f->first[0] = f->last[0] = '\0';
	peer_open(&p, f);
	peer_send_slowly(&p, input, len, step);
	wrong = look(v, f, &p);
	if (wrong)
		print_message("%s: %s\n", v->name, wrong);
	peer_close(&p);
	server_fixture_forget(f);
	return wrong ? 1 : 0;
}

static void check_all(struct server_fixture *f, size_t step)
{
	unsigned n_wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		n_wrong += check(&vectors[i], f, step);
	assert_int_equal(n_wrong, 0);
}

static void test_h1_ambiguous_messages_are_refused_or_read_as_the_standard_says(void **state)
{
	check_all(*state, 4096);
}

static void test_h1_ambiguous_messages_byte_by_byte_are_read_the_same(void **state)
{
	check_all(*state, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, server_fixture_setup, server_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_h1_ambiguous_messages_are_refused_or_read_as_the_standard_says),
		T(test_h1_ambiguous_messages_byte_by_byte_are_read_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
