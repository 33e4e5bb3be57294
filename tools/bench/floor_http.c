/*
 * The floor of requests per second: a bare epoll loop on one thread that answers whatever it reads
 * with a constant. Listens on 127.0.0.1:PORT until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define READ_MAX   65536

static const char answer[] =
	"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\nVary: Origin\r\n"
	"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";

static void add(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void serve(int fd)
{
	static char request[READ_MAX];

	if (read(fd, request, sizeof(request)) <= 0 ||
	    write(fd, answer, sizeof(answer) - 1) != (ssize_t)sizeof(answer) - 1)
		close(fd);
}

int main(int argc, char **argv)
{
	struct sockaddr_in where = { .sin_family = AF_INET };
	struct epoll_event events[EVENTS_MAX];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int on = 1;

	where.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&where, sizeof(where)) < 0 ||
	    listen(listener, SOMAXCONN) < 0) {
		perror("floor_http");
		return 1;
	}
	add(epoll, listener);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				serve(fd);
				continue;
			}
			fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			add(epoll, fd);
		}
	}
}
