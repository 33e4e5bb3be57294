#include "api/filesystem_event.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/support/test.h"

static struct watch_event *event_new(enum watch_change change, const char *name,
                                     const struct entry *entry)
{
	struct watch_event *event = xcalloc(1, sizeof *event + strlen(name) + 1);

	event->change = change;
	event->entry = entry;
	memcpy(event->name, name, strlen(name) + 1);
	return event;
}

static void test_event_of_each_change_has_its_type(void **state)
{
	static const struct {
		enum watch_change change;
		const char *type;
	} rows[] = {
		{ WATCH_CREATE, "EVENT_TYPE_CREATE" }, { WATCH_WRITE, "EVENT_TYPE_WRITE" },
		{ WATCH_REMOVE, "EVENT_TYPE_REMOVE" }, { WATCH_RENAME, "EVENT_TYPE_RENAME" },
		{ WATCH_CHMOD, "EVENT_TYPE_CHMOD" },
	};
	struct filesystem_event room;

	(void)state;
	assert_int_equal(ARRAY_SIZE(rows), WATCH_REMOVE + 1); /* the last one */
	filesystem_event_init(&room, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) struct watch_event *event = event_new(rows[i].change, "a/b", NULL);
		const Filesystem__FilesystemEvent *m = filesystem_event_message(&room, event);

		assert_string_equal(m->name, "a/b");
		assert_string_equal(protobuf_c_enum_descriptor_get_value(
					    &filesystem__event_type__descriptor, (int)m->type)
		                            ->name,
		                    rows[i].type);
		assert_null(m->entry);
	}
	filesystem_event_deinit(&room);
}

/* The messages of that many pairs of metadata are larger than the room. */
#define PAIRS 4096u

static void test_event_whose_entry_takes_too_much_comes_without_it(void **state)
{
	CLEANUP(freep) struct metadata_pair *pairs = xcalloc(PAIRS, sizeof *pairs);
	struct entry entry = { .path = "/a", .name = "a", .owner = "o", .group = "g" };
	CLEANUP(freep) struct watch_event *event = event_new(WATCH_CREATE, "a", &entry);
	const Filesystem__FilesystemEvent *m;
	struct filesystem_event room;

	(void)state;
	filesystem_event_init(&room, false);
	m = filesystem_event_message(&room, event);
	assert_int_equal(m->_entry_case, FILESYSTEM__FILESYSTEM_EVENT___ENTRY_ENTRY);
	assert_string_equal(m->entry->path, "/a");
	entry.metadata.pairs = pairs;
	entry.metadata.n = PAIRS;
	m = filesystem_event_message(&room, event);
	assert_string_equal(m->name, "a");
	assert_int_equal(m->_entry_case, FILESYSTEM__FILESYSTEM_EVENT___ENTRY__NOT_SET);
	filesystem_event_deinit(&room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event_of_each_change_has_its_type),
		cmocka_unit_test(test_event_whose_entry_takes_too_much_comes_without_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
