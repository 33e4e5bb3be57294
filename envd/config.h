/*
 * The command line, checked once and never changed after. Flags and their syntax are the
 * reference's (wire.md 1): -x or --x, -x=v or -x v, switches as -x or -x=false; parsing stops at
 * the first word that is no flag.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Listeners: TCP on every address, Unix and vsock beside it, with room to spare. */
#define CONFIG_LISTEN_MAX 16u

struct config {
	bool is_not_fc; /* not inside Firecracker: no metadata service, no log export */
	bool no_cgroups;
	bool verbose; /* log lines to stdout */
	bool trace;   /* and every change of state with them */
	bool resume_handover;
	uint16_t port;
	const char *cgroup_root;               /* this and listen borrow from argv */
	const char *listen[CONFIG_LISTEN_MAX]; /* none: port on every address */
	unsigned n_listen;
};

enum config_result {
	CONFIG_RUN,
	CONFIG_PRINT_VERSION,
	CONFIG_PRINT_COMMIT,
	CONFIG_PRINT_USAGE, /* asked for: exit 0 */
	CONFIG_REFUSED      /* the reason and the usage are on stderr: exit 2 */
};

/* argv[0] is skipped. */
enum config_result config_parse(struct config *config, int argc, char **argv);
void config_print_usage(int fd);
