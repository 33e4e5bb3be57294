#include "config.h"

#include "base/macros.h"
#include "tests/support/test.h"

#define WORDS_MAX 8

struct parse_case {
	char *words[WORDS_MAX];
	enum config_result result;
};

static enum config_result parse(struct config *config, char *const words[WORDS_MAX])
{
	char *argv[WORDS_MAX + 1] = { (char *)"envd" };
	int argc = 1;

	for (int i = 0; i < WORDS_MAX && words[i]; i++)
		argv[argc++] = words[i];
	return config_parse(config, argc, argv);
}

static void test_config_results_follow_the_flags(void **state)
{
	static const struct parse_case cases[] = {
		{ { (char *)"-version" }, CONFIG_PRINT_VERSION },
		{ { (char *)"--version" }, CONFIG_PRINT_VERSION },
		{ { (char *)"-version=false" }, CONFIG_RUN },
		{ { (char *)"-commit" }, CONFIG_PRINT_COMMIT },
		{ { (char *)"-commit", (char *)"-version" }, CONFIG_PRINT_VERSION },
		{ { (char *)"-version", (char *)"-cmd" }, CONFIG_REFUSED },
		{ { (char *)"-version", (char *)"-h" }, CONFIG_PRINT_USAGE },
		{ { (char *)"-h" }, CONFIG_PRINT_USAGE },
		{ { (char *)"--help" }, CONFIG_PRINT_USAGE },
		{ { (char *)"-cmd", (char *)"x" }, CONFIG_REFUSED },
		{ { (char *)"-port" }, CONFIG_REFUSED },
		{ { (char *)"-port", (char *)"0" }, CONFIG_REFUSED },
		{ { (char *)"-port", (char *)"65536" }, CONFIG_REFUSED },
		{ { (char *)"-port", (char *)"12x" }, CONFIG_REFUSED },
		{ { (char *)"-isnotfc=maybe" }, CONFIG_REFUSED },
		{ { (char *)"---port=1" }, CONFIG_REFUSED },
		{ { (char *)"-=1" }, CONFIG_REFUSED },
		{ { (char *)"word", (char *)"-cmd" }, CONFIG_RUN },
		{ { (char *)"--", (char *)"-cmd" }, CONFIG_RUN },
		{ { (char *)"-", (char *)"-cmd" }, CONFIG_RUN },
	};
	struct config config;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(parse(&config, cases[i].words), cases[i].result);
}

static void test_config_without_flags_has_the_reference_defaults(void **state)
{
	char *const none[WORDS_MAX] = { NULL };
	struct config config;

	UNUSED(state);
	assert_int_equal(parse(&config, none), CONFIG_RUN);
	assert_int_equal(config.port, 49983);
	assert_string_equal(config.cgroup_root, "/sys/fs/cgroup");
	assert_false(config.is_not_fc || config.no_cgroups || config.verbose || config.trace ||
	             config.resume_handover);
	assert_int_equal(config.n_listen, 0);
}

static void test_config_values_come_after_equals_or_as_next_word(void **state)
{
	char *const words[WORDS_MAX] = { (char *)"-port=1",     (char *)"--port",
		                         (char *)"8080",        (char *)"-isnotfc",
		                         (char *)"-verbose=t",  (char *)"--listen",
		                         (char *)"tcp:[::1]:1", (char *)"-cgroup-root=/x" };
	struct config config;

	UNUSED(state);
	assert_int_equal(parse(&config, words), CONFIG_RUN);
	assert_int_equal(config.port, 8080);
	assert_true(config.is_not_fc);
	assert_true(config.verbose);
	assert_int_equal(config.n_listen, 1);
	assert_string_equal(config.listen[0], "tcp:[::1]:1");
	assert_string_equal(config.cgroup_root, "/x");
}

static void test_config_refuses_more_listeners_than_its_table_holds(void **state)
{
	char *argv[CONFIG_LISTEN_MAX + 3];
	struct config config;

	UNUSED(state);
	argv[0] = (char *)"envd";
	for (size_t i = 1; i < ARRAY_SIZE(argv); i++)
		argv[i] = (char *)"-listen=tcp::1";
	assert_int_equal(config_parse(&config, CONFIG_LISTEN_MAX + 1, argv), CONFIG_RUN);
	assert_int_equal(config_parse(&config, CONFIG_LISTEN_MAX + 2, argv), CONFIG_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_results_follow_the_flags),
		cmocka_unit_test(test_config_without_flags_has_the_reference_defaults),
		cmocka_unit_test(test_config_values_come_after_equals_or_as_next_word),
		cmocka_unit_test(test_config_refuses_more_listeners_than_its_table_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
