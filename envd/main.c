/*
 * The program: arguments, what is inherited, the exit code.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "build_info.h"
#include "config.h"
#include "daemon.h"

/* In a place left empty one of ours would come, and messages for standard error with it. */
static int fill_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -1;
	return 0;
}

int main(int argc, char **argv)
{
	struct config config;

	switch (config_parse(&config, argc, argv)) {
	case CONFIG_PRINT_VERSION:
		return puts(ENVD_VERSION) == EOF;
	case CONFIG_PRINT_COMMIT:
		return puts(ENVD_COMMIT) == EOF;
	case CONFIG_PRINT_USAGE:
		config_print_usage(STDERR_FILENO);
		return 0;
	case CONFIG_REFUSED:
		return 2;
	case CONFIG_RUN:
		break;
	}
	if (fill_standard_descriptors() < 0)
		return 1;
	/* A peer or a child that is gone is an error of its write, not our end. */
	signal(SIGPIPE, SIG_IGN);
	return daemon_run(&config);
}
