#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "host/metrics.h"

static const char stat[] = "cpu  10 20 30 400 50 6 7 8 900 1000\n"
			   "cpu0 5 10 15 200 25 3 3 4 450 500\n"
			   "cpu1 5 10 15 200 25 3 4 4 450 500\n"
			   "intr 1\n";

static void test_metrics_cpu_time_leaves_guests_out(void **state)
{
	struct metrics_cpu_sample sample;

	UNUSED(state);
	assert_int_equal(metrics_parse_stat(stat, &sample), 0);
	assert_int_equal(sample.total, 10 + 20 + 30 + 400 + 50 + 6 + 7 + 8);
	assert_int_equal(sample.idle, 400 + 50);
	assert_true(metrics_parse_stat("cpu 1 2", &sample) < 0);
	assert_true(metrics_parse_stat("", &sample) < 0);
}

static void test_metrics_cpu_share_is_clamped_and_rounded(void **state)
{
	static const struct {
		struct metrics_cpu_sample from, to;
		unsigned hundredths;
	} cases[] = {
		{ { 0, 0 }, { 100, 50 }, 5000 },     { { 100, 50 }, { 400, 250 }, 3333 },
		{ { 100, 50 }, { 100, 50 }, 0 },     /* no time has passed     */
		{ { 100, 50 }, { 90, 30 }, 10000 },  /* total went back        */
		{ { 100, 50 }, { 110, 70 }, 0 },     /* more idle than time    */
		{ { 100, 50 }, { 110, 40 }, 10000 }, /* busier than time       */
	};

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		double share = metrics_cpu_share(&cases[i].from, &cases[i].to);

		assert_int_equal((unsigned)(share * 100 + 0.5), cases[i].hundredths);
	}
}

static void test_metrics_memory_counts_available_and_cache(void **state)
{
	struct metrics m;

	UNUSED(state);
	assert_int_equal(metrics_parse_meminfo("MemTotal:  1000 kB\nMemFree: 100 kB\n"
	                                       "MemAvailable: 700 kB\nBuffers: 1 kB\n"
	                                       "Cached: 300 kB\nSwapCached: 9 kB\n"
	                                       "SReclaimable: 50 kB\n",
	                                       &m),
	                 0);
	assert_int_equal(m.mem_total, 1000 * 1024);
	assert_int_equal(m.mem_used, 300 * 1024);
	assert_int_equal(m.mem_cache, 350 * 1024);
}

static void test_metrics_memory_without_available_is_estimated(void **state)
{
	struct metrics m;

	UNUSED(state);
	assert_int_equal(
		metrics_parse_meminfo("MemTotal: 1000 kB\nMemFree: 100 kB\nCached: 300 kB\n", &m),
		0);
	assert_int_equal(m.mem_used, 600 * 1024);
	assert_true(metrics_parse_meminfo("MemFree: 1 kB\n", &m) < 0);
}

static void test_metrics_cpus_are_counted_by_number_or_from_stat(void **state)
{
	UNUSED(state);
	assert_int_equal(metrics_count_cpus("processor\t: 0\nmodel\t: x\n\nprocessor\t: 1\n", ""),
	                 2);
	assert_int_equal(metrics_count_cpus("Processor: ARM\nprocessor\t: x\n", stat), 2);
}

static void test_metrics_of_this_machine_are_plausible(void **state)
{
	struct metrics_cpu_sample sample = { 0 };
	struct metrics m;

	UNUSED(state);
	assert_int_equal(metrics_read(&sample, &m), 0);
	assert_int_equal(m.cpu_count, sysconf(_SC_NPROCESSORS_ONLN));
	assert_true(m.mem_used > 0 && m.mem_used < m.mem_total);
	assert_true(m.disk_used <= m.disk_total);
	assert_true(sample.total > sample.idle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metrics_cpu_time_leaves_guests_out),
		cmocka_unit_test(test_metrics_cpu_share_is_clamped_and_rounded),
		cmocka_unit_test(test_metrics_memory_counts_available_and_cache),
		cmocka_unit_test(test_metrics_memory_without_available_is_estimated),
		cmocka_unit_test(test_metrics_cpus_are_counted_by_number_or_from_stat),
		cmocka_unit_test(test_metrics_of_this_machine_are_plausible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
