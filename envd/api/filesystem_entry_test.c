#include "api/filesystem_entry.h"

#include <string.h>

#include "rpc/codec.h"
#include "tests/support/test.h"

#define MEMORY_MAX 65536u

/* What an entry is in JSON. */
static void check_json(const struct entry *entry, const char *json)
{
	CLEANUP(arena_deinit) struct arena memory;
	CLEANUP(buf_deinit) struct buf out = { 0 };
	Filesystem__EntryInfo *info;
	struct err e = { 0 };

	arena_init(&memory, MEMORY_MAX, NULL, 0);
	buf_init(&out, MEMORY_MAX);
	info = filesystem_entry_info(entry, &memory);
	assert_non_null(info);
	assert_int_equal(codec_encode(CODEC_JSON, &info->base, &out, &e), 0);
	buf_append_byte(&out, '\0');
	assert_string_equal(out.data, json);
}

static const struct entry file = {
	.name = "a.txt",
	.path = "/d/a.txt",
	.type = ENTRY_FILE,
	.size = 5,
	.mode = 0640,
	.permissions = "-rw-r-----",
	.owner = "root",
	.group = "staff",
	.modified = { 1700000000, 120000000 },
};

static void test_entry_info_of_a_file_has_all_that_is_said_of_it(void **state)
{
	(void)state;
	check_json(&file, "{\"name\":\"a.txt\",\"type\":\"FILE_TYPE_FILE\",\"path\":\"/d/a.txt\","
	                  "\"size\":\"5\",\"mode\":416,\"permissions\":\"-rw-r-----\","
	                  "\"owner\":\"root\",\"group\":\"staff\","
	                  "\"modifiedTime\":\"2023-11-14T22:13:20.120Z\"}");
}

static void test_entry_info_of_a_link_that_leads_nowhere_has_no_type(void **state)
{
	struct entry link = { .name = "l",
		              .path = "/l",
		              .is_symlink = true,
		              .permissions = "Lrwxrwxrwx",
		              .owner = "1",
		              .group = "2",
		              .symlink_target = "/l" };

	(void)state;
	check_json(&link, "{\"name\":\"l\",\"path\":\"/l\",\"permissions\":\"Lrwxrwxrwx\","
	                  "\"owner\":\"1\",\"group\":\"2\",\"symlinkTarget\":\"/l\","
	                  "\"isSymlink\":true}");
}

static void test_entry_info_of_a_directory_with_metadata(void **state)
{
	struct metadata_pair pairs[] = { { "k", "v" }, { "empty", "" } };
	struct entry dir = { .name = "d",
		             .path = "/d",
		             .type = ENTRY_DIRECTORY,
		             .permissions = "drwx------",
		             .owner = "o",
		             .group = "g",
		             .metadata = { pairs, 2 } };

	(void)state;
	check_json(&dir, "{\"name\":\"d\",\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/d\","
	                 "\"permissions\":\"drwx------\",\"owner\":\"o\",\"group\":\"g\","
	                 "\"metadata\":{\"k\":\"v\",\"empty\":\"\"}}");
}

static void test_entry_info_leaves_out_times_that_cannot_be_said(void **state)
{
	static const int64_t seconds[] = { 0, -62135596801, 253402300800, INT64_MAX };
	struct entry odd = { .name = "f", .path = "/f", .owner = "o", .group = "g" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
		odd.modified.tv_sec = seconds[i];
		check_json(&odd,
		           "{\"name\":\"f\",\"path\":\"/f\",\"owner\":\"o\",\"group\":\"g\"}");
	}
	odd.modified = (struct timespec){ 0, 1 };
	check_json(&odd, "{\"name\":\"f\",\"path\":\"/f\",\"owner\":\"o\",\"group\":\"g\","
	                 "\"modifiedTime\":\"1970-01-01T00:00:00.000000001Z\"}");
}

static void test_entry_info_needs_memory(void **state)
{
	struct entry full = file;
	struct metadata_pair pair = { "k", "v" };
	struct arena memory;

	(void)state;
	full.metadata = (struct metadata){ &pair, 1 };
	for (size_t max = 0; max < MEMORY_MAX; max += 16) {
		Filesystem__EntryInfo *info;

		arena_init(&memory, max, NULL, 0);
		info = filesystem_entry_info(&full, &memory);
		arena_deinit(&memory);
		if (info) {
			assert_true(max > sizeof *info);
			return;
		}
	}
	fail();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_info_of_a_file_has_all_that_is_said_of_it),
		cmocka_unit_test(test_entry_info_of_a_link_that_leads_nowhere_has_no_type),
		cmocka_unit_test(test_entry_info_of_a_directory_with_metadata),
		cmocka_unit_test(test_entry_info_leaves_out_times_that_cannot_be_said),
		cmocka_unit_test(test_entry_info_needs_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
