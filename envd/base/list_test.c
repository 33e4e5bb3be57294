#include "base/list.h"

#include "tests/support/test.h"

struct item {
	int value;
	struct list link;
};

static void test_list_appended_items_come_in_order(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[3] = { { .value = 1 }, { .value = 2 }, { .value = 3 } };
	struct item *it;
	int expected = 1;

	UNUSED(state);
	assert_true(list_is_empty(&head));
	assert_null(LIST_FIRST(&head, struct item, link));
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		list_append(&head, &items[i].link);
	assert_ptr_equal(LIST_FIRST(&head, struct item, link), &items[0]);
	LIST_FOR_EACH(&head, it, struct item, link)
		assert_int_equal(it->value, expected++);
	assert_int_equal(expected, 4);
}

static void test_list_current_item_may_be_removed_in_the_loop(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[3] = { 0 };
	struct item *it;
	int n = 0;

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		list_append(&head, &items[i].link);
	LIST_FOR_EACH(&head, it, struct item, link) {
		list_remove(&it->link);
		n++;
	}
	assert_int_equal(n, 3);
	assert_true(list_is_empty(&head));
}

static void test_list_take_first_empties_it_in_order(void **state)
{
	struct list head = LIST_INIT(head);
	struct item items[3] = { 0 };

	UNUSED(state);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		list_append(&head, &items[i].link);
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		assert_ptr_equal(list_take_first(&head), &items[i].link);
		assert_false(list_is_linked(&items[i].link));
	}
	assert_true(list_is_empty(&head));
	assert_null(list_take_first(&head));
}

static void test_list_removing_twice_or_unlinked_is_nothing(void **state)
{
	struct list head = LIST_INIT(head);
	struct item item = { 0 };

	UNUSED(state);
	assert_false(list_is_linked(&item.link));
	list_remove(&item.link);
	list_append(&head, &item.link);
	assert_true(list_is_linked(&item.link));
	list_remove(&item.link);
	list_remove(&item.link);
	assert_false(list_is_linked(&item.link));
	list_append(&head, &item.link);
	assert_true(list_is_linked(&item.link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list_appended_items_come_in_order),
		cmocka_unit_test(test_list_current_item_may_be_removed_in_the_loop),
		cmocka_unit_test(test_list_take_first_empties_it_in_order),
		cmocka_unit_test(test_list_removing_twice_or_unlinked_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
