/*
 * The floor of files over HTTP: one thread that serves one connection after the other and does what
 * cannot be left out. GET opens the file and sends it, a small one in one write with the head, a larger
 * one by sendfile; POST opens it and writes what it reads. Listens on 127.0.0.1:PORT until it is killed;
 * whatever fails ends it, and with it the measurement.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

#define HEAD_MAX   4096   /* bytes of a request's head and of a response's */
#define SMALL_MAX  65536  /* bytes of a file that is read instead of sent by sendfile */
#define PIECE_MAX  131072 /* bytes of one read of a body: in the cache until they are written */
#define BUFFER_MAX (HEAD_MAX + PIECE_MAX)

struct request {
	char bytes[BUFFER_MAX + 1]; /* the head, and what of the body came with it */
	size_t len;
	const char *body;
};

/* False: there is none any more. */
static bool read_request(struct request *r, int fd)
{
	char *end;

	r->len = 0;
	do {
		ssize_t n = recv(fd, r->bytes + r->len, BUFFER_MAX - r->len, 0);

		if (n <= 0)
			return false;
		r->len += (size_t)n;
		r->bytes[r->len] = '\0';
		end = strstr(r->bytes, "\r\n\r\n");
	} while (!end);
	end[2] = '\0';
	r->body = end + 4;
	return true;
}

static int put_head(char *at, off_t length)
{
	return sprintf(at, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)length);
}

static void download(int fd, const char *path)
{
	static char answer[HEAD_MAX + SMALL_MAX];
	int file = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t len;

	if (file < 0 || fstat(file, &st) < 0)
		fail("open %s: %s", path, strerror(errno));
	len = (size_t)put_head(answer, st.st_size);
	if (st.st_size <= SMALL_MAX) {
		if (read(file, answer + len, SMALL_MAX) != st.st_size)
			fail("read %s: %s", path, strerror(errno));
		send_all(fd, answer, len + (size_t)st.st_size, 0);
	} else {
		send_all(fd, answer, len, MSG_MORE);
		for (off_t at = 0; at < st.st_size;) {
			if (sendfile(fd, file, &at, (size_t)(st.st_size - at)) <= 0)
				fail("sendfile %s: %s", path, strerror(errno));
		}
	}
	close(file);
}

static void upload(int fd, const struct request *r, const char *path)
{
	static char piece[PIECE_MAX];
	const char *length = strstr(r->bytes, "Content-Length: "), *at = r->body;
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n = r->bytes + r->len - r->body;
	char answer[HEAD_MAX];
	off_t n_left;

	if (file < 0 || !length)
		fail("open %s: %s", path, strerror(errno));
	n_left = atoll(length + strlen("Content-Length: "));
	for (;; at = piece) {
		if (n < 0 || write(file, at, (size_t)n) != n)
			fail("write %s: %s", path, strerror(errno));
		n_left -= n;
		if (n_left <= 0)
			break;
		n = recv(fd, piece, sizeof(piece), 0);
		if (n == 0)
			fail("an upload broke off");
	}
	close(file);
	send_all(fd, answer, (size_t)put_head(answer, 0), 0);
}

static void serve(int fd)
{
	static const char health[] = "GET /health ",
			  no_content[] = "HTTP/1.1 204 No Content\r\n\r\n";
	static struct request r;
	char path[HEAD_MAX];

	while (read_request(&r, fd)) {
		if (strncmp(r.bytes, health, strlen(health)) == 0)
			send_all(fd, no_content, strlen(no_content), 0);
		else if (sscanf(r.bytes, "GET /files?path=%4095s ", path) == 1)
			download(fd, path);
		else if (sscanf(r.bytes, "POST /files?path=%4095s ", path) == 1)
			upload(fd, &r, path);
		else
			fail("what is asked of floor_files: %s", r.bytes);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in where = address_of("127.0.0.1", argc > 1 ? argv[1] : "0");
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&where, sizeof(where)) < 0 ||
	    listen(listener, SOMAXCONN) < 0)
		fail("listen: %s", strerror(errno));
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			fail("accept: %s", strerror(errno));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		serve(fd);
		close(fd);
	}
}
