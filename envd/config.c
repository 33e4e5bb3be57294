#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "base/text.h"

#define CONFIG_PORT 49983 /* the reference's */

enum flag_kind { FLAG_SWITCH, FLAG_TEXT, FLAG_PORT, FLAG_LISTEN, FLAG_ASK };

struct flag {
	const char *name;
	enum flag_kind kind;
	size_t offset;             /* of the member in struct config  */
	enum config_result result; /* of FLAG_ASK                     */
	const char *help;
};

static const struct flag flags[] = {
	{ "cgroup-root", FLAG_TEXT, offsetof(struct config, cgroup_root), CONFIG_RUN,
	  "directory of the cgroup2 tree (default /sys/fs/cgroup)" },
	{ "commit", FLAG_ASK, 0, CONFIG_PRINT_COMMIT, "print the commit it was built from" },
	{ "h", FLAG_ASK, 0, CONFIG_PRINT_USAGE, "print this text" },
	{ "help", FLAG_ASK, 0, CONFIG_PRINT_USAGE, "print this text" },
	{ "isnotfc", FLAG_SWITCH, offsetof(struct config, is_not_fc), CONFIG_RUN,
	  "not inside Firecracker" },
	{ "listen", FLAG_LISTEN, 0, CONFIG_RUN,
	  "tcp:ADDR:PORT to listen on instead of the port; may repeat" },
	{ "no-cgroups", FLAG_SWITCH, offsetof(struct config, no_cgroups), CONFIG_RUN,
	  "leave cgroups alone" },
	{ "port", FLAG_PORT, 0, CONFIG_RUN, "TCP port on every address (default 49983)" },
	{ "resume-handover", FLAG_SWITCH, offsetof(struct config, resume_handover), CONFIG_RUN,
	  "internal: started by a live upgrade" },
	{ "trace", FLAG_SWITCH, offsetof(struct config, trace), CONFIG_RUN,
	  "log every change of state too" },
	{ "verbose", FLAG_SWITCH, offsetof(struct config, verbose), CONFIG_RUN,
	  "log to standard output" },
	{ "version", FLAG_ASK, 0, CONFIG_PRINT_VERSION, "print the version" },
};

void config_print_usage(int fd)
{
	dprintf(fd, "Usage of envd:\n");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		dprintf(fd, "  -%s\n    \t%s\n", flags[i].name, flags[i].help);
}

PRINTF_LIKE(1, 2) static enum config_result refuse(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vdprintf(STDERR_FILENO, fmt, args);
	va_end(args);
	config_print_usage(STDERR_FILENO);
	return CONFIG_REFUSED;
}

static const struct flag *flag_find(struct span name)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (span_equal(name, flags[i].name))
			return &flags[i];
	return NULL;
}

/* The words that Go's strconv.ParseBool knows. */
static int parse_switch(struct span text, bool *out_value)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (span_equal(text, yes[i]) || span_equal(text, no[i])) {
			*out_value = span_equal(text, yes[i]);
			return 0;
		}
	}
	return -1;
}

static enum config_result set_port(struct config *config, const char *value)
{
	uint64_t port;

	if (parse_u64(span_of(value), &port) < 0 || port == 0 || port > UINT16_MAX)
		return refuse("invalid value \"%s\" for flag -port: not a port number\n", value);
	config->port = (uint16_t)port;
	return CONFIG_RUN;
}

static enum config_result set_listen(struct config *config, const char *value)
{
	if (config->n_listen == CONFIG_LISTEN_MAX)
		return refuse("flag -listen: more than %u listeners\n", CONFIG_LISTEN_MAX);
	config->listen[config->n_listen++] = value;
	return CONFIG_RUN;
}

static enum config_result set_switch(struct config *config, const struct flag *flag,
                                     const char *value)
{
	bool *member = (bool *)(void *)((char *)config + flag->offset);
	bool on = true;

	if (value && parse_switch(span_of(value), &on) < 0)
		return refuse("invalid boolean value \"%s\" for -%s\n", value, flag->name);
	if (flag->kind == FLAG_ASK)
		return on ? flag->result : CONFIG_RUN;
	*member = on;
	return CONFIG_RUN;
}

static enum config_result set_flag(struct config *config, const struct flag *flag,
                                   const char *value)
{
	switch (flag->kind) {
	case FLAG_TEXT:
		memcpy((char *)config + flag->offset, &value, sizeof(value));
		return CONFIG_RUN;
	case FLAG_PORT:
		return set_port(config, value);
	case FLAG_LISTEN:
		return set_listen(config, value);
	case FLAG_SWITCH:
	case FLAG_ASK:
		break;
	}
	return set_switch(config, flag, value);
}

enum config_result config_parse(struct config *config, int argc, char **argv)
{
	enum config_result asked = CONFIG_RUN;

	*config = (struct config){ .port = CONFIG_PORT, .cgroup_root = "/sys/fs/cgroup" };
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		const char *equals, *value = NULL;
		const struct flag *flag;
		enum config_result result;

		if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0)
			break;
		word += word[1] == '-' ? 2 : 1;
		equals = strchr(word, '=');
		if (word[0] == '\0' || word[0] == '-' || word[0] == '=')
			return refuse("bad flag syntax: %s\n", argv[i]);
		flag = flag_find(
			(struct span){ word, equals ? (size_t)(equals - word) : strlen(word) });
		if (!flag)
			return refuse("flag provided but not defined: -%s\n", word);
		if (equals)
			value = equals + 1;
		else if (flag->kind != FLAG_SWITCH && flag->kind != FLAG_ASK && ++i == argc)
			return refuse("flag needs an argument: -%s\n", flag->name);
		else if (flag->kind != FLAG_SWITCH && flag->kind != FLAG_ASK)
			value = argv[i];
		result = set_flag(config, flag, value);
		if (result == CONFIG_REFUSED || result == CONFIG_PRINT_USAGE)
			return result;
		if (result != CONFIG_RUN && asked != CONFIG_PRINT_VERSION)
			asked = result;
	}
	return asked;
}
