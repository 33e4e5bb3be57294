/*
 * The floor of files over HTTP: one thread that serves one connection after the other and does what
 * cannot be left out. GET opens the file and sends it, a small one in one write with the head, a larger
 * one by sendfile; POST opens it and writes what it reads; 200 whatever the path is. Listens on
 * 127.0.0.1:PORT until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX  4096u
#define SMALL_MAX 65536  /* bytes: of a file that is read instead of sent by sendfile */
#define READ_MAX  131072 /* bytes of one read: it stays in the cache until it is written */

static const char health[] = "GET /health ",
		  path_key[] = "path=", length_key[] = "Content-Length: ";
static const char no_content[] = "HTTP/1.1 204 No Content\r\n\r\n";

static char buffer[HEAD_MAX + READ_MAX];

static void send_text(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static int head_of(char *at, off_t size)
{
	return sprintf(at, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)size);
}

static void download(int fd, const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC), len;
	struct stat st;

	if (file < 0 || fstat(file, &st) < 0)
		return;
	len = head_of(buffer, st.st_size);
	if (st.st_size <= SMALL_MAX) {
		len += (int)read(file, buffer + len, SMALL_MAX);
		(void)!send(fd, buffer, (size_t)len, MSG_NOSIGNAL);
	} else {
		(void)!send(fd, buffer, (size_t)len, MSG_NOSIGNAL | MSG_MORE);
		for (off_t at = 0; at < st.st_size;) {
			if (sendfile(fd, file, &at, (size_t)(st.st_size - at)) <= 0)
				break;
		}
	}
	close(file);
}

/* What of the body came with the head is in n_here bytes at here. */
static void upload(int fd, const char *path, long long size, const char *here, ssize_t n_here)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	const char *at = here;
	char answer[HEAD_MAX];

	for (ssize_t n = n_here;; at = buffer) {
		if (n < 0 || write(file, at, (size_t)n) != n)
			break;
		size -= n;
		if (size <= 0)
			break;
		n = recv(fd, buffer, READ_MAX, 0);
		if (n == 0)
			break;
	}
	close(file);
	head_of(answer, 0);
	send_text(fd, answer);
}

/* One request; false: there is none any more. */
static bool serve(int fd)
{
	ssize_t len = 0, n;
	char *body, *path, *length;
	char target[HEAD_MAX];

	do {
		n = recv(fd, buffer + len, sizeof(buffer) - 1 - (size_t)len, 0);
		if (n <= 0)
			return false;
		len += n;
		buffer[len] = '\0';
		body = strstr(buffer, "\r\n\r\n");
	} while (!body);
	body += 4;
	path = strstr(buffer, path_key);
	if (strncmp(buffer, health, sizeof(health) - 1) == 0 || !path) {
		send_text(fd, no_content);
		return true;
	}
	snprintf(target, sizeof(target), "%.*s", (int)strcspn(path + sizeof(path_key) - 1, " &"),
	         path + sizeof(path_key) - 1);
	length = strstr(buffer, length_key);
	if (buffer[0] == 'G')
		download(fd, target);
	else if (length && length < body)
		upload(fd, target, atoll(length + sizeof(length_key) - 1), body,
		       buffer + len - body);
	return true;
}

int main(int argc, char **argv)
{
	struct sockaddr_in where = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	where.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&where, sizeof(where)) < 0 ||
	    listen(listener, SOMAXCONN) < 0) {
		perror("floor_files");
		return 1;
	}
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		while (serve(fd))
			;
		close(fd);
	}
}
