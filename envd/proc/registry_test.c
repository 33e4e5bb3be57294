#include "proc/registry.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "proc/process_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/test.h"

#define SCRIPT(text) (&(struct client_options){ .script = (text) })
#define BY_PID(n)    ((struct selector){ .pid = (n) })
#define BY_TAG(t)    ((struct selector){ .tag = (t) })

static void start_tagged(struct process_fixture *f, struct client *c, const char *tag)
{
	client_start(f, c,
	             &(struct client_options){
			     .script = "echo up; read x", .tag = tag, .has_stdin_pipe = true });
	client_wait_output(c, "up");
}

static void stop(struct client *c)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_int_equal(process_signal(c->process, SIGKILL, PROCESS_GROUP, &e), 0);
	client_wait(c);
	client_deinit(c);
}

static void expect_not_found(struct process_fixture *f, struct selector selector, const char *text)
{
	CLEANUP(err_clear) struct err e = { 0 };

	assert_null(registry_find(&f->registry, selector, &e));
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	assert_string_equal(err_text(&e), text);
}

static void advance_clock(struct process_fixture *f, uint64_t ms)
{
	timers_advance(&f->loop->timers, loop_now_ms(f->loop) + ms);
}

static void test_registry_finds_by_pid_and_by_tag_the_newest(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client a, b, c;

	start_tagged(f, &a, "web");
	start_tagged(f, &b, NULL);
	start_tagged(f, &c, "web");
	assert_ptr_equal(registry_find(&f->registry, BY_PID(a.process->pid), &e), a.process);
	assert_ptr_equal(registry_find(&f->registry, BY_PID(b.process->pid), &e), b.process);
	assert_ptr_equal(registry_find(&f->registry, BY_TAG("web"), &e), c.process);
	stop(&c);
	assert_ptr_equal(registry_find(&f->registry, BY_TAG("web"), &e), a.process);
	expect_not_found(f, BY_TAG("db"), "process with tag db not found");
	expect_not_found(f, BY_TAG(""), "process with tag  not found");
	expect_not_found(f, BY_PID(0), "process with pid 0 not found");
	expect_not_found(f, BY_PID((pid_t)4294967295u), "process with pid 4294967295 not found");
	stop(&a);
	stop(&b);
}

static void test_registry_empty_tag_is_a_tag(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client untagged, empty;

	start_tagged(f, &untagged, NULL);
	start_tagged(f, &empty, "");
	assert_ptr_equal(registry_find(&f->registry, BY_TAG(""), &e), empty.process);
	stop(&untagged);
	stop(&empty);
}

static void test_registry_does_not_show_a_process_before_its_start_is_decided(void **state)
{
	struct process_fixture *f = *state;
	CLEANUP(err_clear) struct err e = { 0 };
	struct client c;

	client_start(f, &c, SCRIPT("true"));
	assert_null(registry_find(&f->registry, BY_PID(c.process->pid), &e));
	client_wait(&c);
	client_deinit(&c);
}

static void test_registry_end_is_retained_before_it_is_told_and_for_30_s(void **state)
{
	struct process_fixture *f = *state;
	const struct ended *ended;
	struct client c;
	pid_t pid;

	client_start(f, &c, &(struct client_options){ .script = "exit 9", .tag = "job" });
	pid = c.process->pid;
	client_wait(&c);
	expect_not_found(f, BY_TAG("job"), "process with tag job not found");
	ended = registry_find_ended(&f->registry, BY_TAG("job"));
	assert_non_null(ended);
	assert_int_equal(ended->pid, pid);
	assert_int_equal(ended->exit.code, 9);
	assert_ptr_equal(registry_find_ended(&f->registry, BY_PID(pid)), ended);
	advance_clock(f, REGISTRY_RETAIN_MS - 1000);
	assert_non_null(registry_find_ended(&f->registry, BY_PID(pid)));
	advance_clock(f, REGISTRY_RETAIN_MS);
	assert_null(registry_find_ended(&f->registry, BY_PID(pid)));
	assert_null(f->registry.ended);
	client_deinit(&c);
}

static void test_registry_start_with_the_same_tag_forgets_the_retained_end(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	for (unsigned i = 0; i < 2; i++) {
		(void)client_run(f, &c,
		                 &(struct client_options){ .script = "exit 1", .tag = "job" });
		client_deinit(&c);
	}
	(void)client_run(f, &c, &(struct client_options){ .script = "exit 2", .tag = "other" });
	client_deinit(&c);
	start_tagged(f, &c, "job");
	assert_null(registry_find_ended(&f->registry, BY_TAG("job")));
	assert_non_null(registry_find_ended(&f->registry, BY_TAG("other")));
	stop(&c);
	assert_non_null(registry_find_ended(&f->registry, BY_TAG("job")));
}

/* Reuse of a pid cannot be had to order: processes that never were, with numbers of our choice. */
static struct process *fake_process(struct registry *r, pid_t pid, int code,
                                    enum process_state state, const char *tag)
{
	CLEANUP(err_clear) struct err e = { 0 };
	struct process_config src = { .cmd = "fake", .tag = tag };
	struct process *p = xcalloc(1, sizeof *p);

	p->pid = pid;
	p->exit.code = code;
	p->state.now = (int)state;
	p->config = process_config_new(&src, &e);
	registry_add(r, p);
	return p;
}

static void fake_free(struct registry *r, struct process *p)
{
	registry_remove(r, p);
	process_config_unref(p->config);
	free(p);
}

static void test_registry_late_end_of_a_reused_pid_is_not_retained(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *old = fake_process(r, 77, 1, PROCESS_DRAINING, NULL);
	struct process *new = fake_process(r, 77, 2, PROCESS_RUNNING, NULL);

	registry_claim(r, new);
	registry_retain(r, old);
	assert_null(registry_find_ended(r, BY_PID(77)));
	fake_free(r, old);
	registry_retain(r, new);
	fake_free(r, new);
	assert_int_equal(registry_find_ended(r, BY_PID(77))->exit.code, 2);
}

static void
test_registry_pid_is_that_of_its_last_owner_though_an_earlier_one_outlives_it(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *old = fake_process(r, 77, 1, PROCESS_DRAINING, "old");
	struct process *new = fake_process(r, 77, 2, PROCESS_RUNNING, NULL);
	CLEANUP(err_clear) struct err e = { 0 };

	registry_claim(r, new);
	assert_ptr_equal(registry_find(r, BY_PID(77), &e), new);
	assert_ptr_equal(registry_find(r, BY_TAG("old"), &e), old);
	registry_retain(r, new);
	fake_free(r, new);
	expect_not_found(f, BY_PID(77), "process with pid 77 not found");
	assert_int_equal(registry_find_ended(r, BY_PID(77))->exit.code, 2);
	registry_retain(r, old);
	fake_free(r, old);
	assert_int_equal(registry_find_ended(r, BY_PID(77))->exit.code, 2);
}

static void test_registry_finds_again_the_same_process_and_no_later_owner_of_its_pid(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *first = fake_process(r, 76, 0, PROCESS_RUNNING, NULL);
	struct process *old = fake_process(r, 77, 0, PROCESS_RUNNING, NULL);
	struct process *new = fake_process(r, 77, 0, PROCESS_RUNNING, NULL);
	uint64_t serial = old->serial;

	assert_ptr_equal(registry_find_again(r, first->serial), first);
	assert_ptr_equal(registry_find_again(r, serial), old);
	assert_ptr_equal(registry_find_again(r, new->serial), new);
	old->state.now = PROCESS_ENDED;
	assert_null(registry_find_again(r, serial));
	fake_free(r, old);
	assert_null(registry_find_again(r, serial));
	assert_null(registry_find_again(r, new->serial + 1));
	fake_free(r, first);
	fake_free(r, new);
}

static void test_registry_start_with_the_same_pid_forgets_the_retained_end(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *p = fake_process(r, 77, 1, PROCESS_ENDED, NULL);

	registry_retain(r, p);
	assert_non_null(registry_find_ended(r, BY_PID(77)));
	registry_claim(r, p);
	assert_null(registry_find_ended(r, BY_PID(77)));
	fake_free(r, p);
}

static void test_registry_timer_of_an_older_end_spares_the_newer(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *p = fake_process(r, 77, 1, PROCESS_ENDED, NULL);

	registry_retain(r, p);
	r->ended[0].until_ms -= 5000;
	p->exit.code = 2;
	registry_retain(r, p);
	advance_clock(f, REGISTRY_RETAIN_MS - 1000);
	assert_int_equal(registry_find_ended(r, BY_PID(77))->exit.code, 2);
	fake_free(r, p);
}

static void test_registry_retains_a_bounded_number_of_ends_the_newest(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *p = fake_process(r, 1, 0, PROCESS_ENDED, "t");

	for (unsigned i = 1; i <= REGISTRY_RETAIN_MAX + 100; i++) {
		p->pid = (pid_t)i;
		registry_retain(r, p);
	}
	assert_int_equal(r->n_ended, REGISTRY_RETAIN_MAX);
	assert_null(registry_find_ended(r, BY_PID(100)));
	assert_non_null(registry_find_ended(r, BY_PID(101)));
	assert_int_equal(registry_find_ended(r, BY_TAG("t"))->pid, REGISTRY_RETAIN_MAX + 100);
	fake_free(r, p);
}

/* Each start with the tag forgets the end before, and behind the first one there are only holes. */
static void test_registry_makes_room_among_forgotten_ends(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	struct process *first = fake_process(r, 1, 0, PROCESS_ENDED, NULL);
	struct process *p = fake_process(r, 2, 0, PROCESS_ENDED, "t");

	registry_retain(r, first);
	for (unsigned i = 2; i <= REGISTRY_RETAIN_MAX + 1; i++) {
		p->pid = (pid_t)i;
		registry_claim(r, p);
		registry_retain(r, p);
	}
	assert_null(registry_find_ended(r, BY_PID(1)));
	assert_int_equal(registry_find_ended(r, BY_TAG("t"))->pid, REGISTRY_RETAIN_MAX + 1);
	fake_free(r, p);
	fake_free(r, first);
}

static void test_registry_long_tag_is_not_retained(void **state)
{
	struct process_fixture *f = *state;
	struct registry *r = &f->registry;
	char tag[REGISTRY_RETAIN_TAG_MAX + 2];
	struct process *p;

	memset(tag, 't', sizeof tag - 1);
	tag[sizeof tag - 1] = '\0';
	p = fake_process(r, 77, 1, PROCESS_ENDED, tag);
	registry_retain(r, p);
	assert_null(registry_find_ended(r, BY_TAG(tag)));
	assert_non_null(registry_find_ended(r, BY_PID(77)));
	fake_free(r, p);
}

static void test_registry_full_refuses_a_start(void **state)
{
	struct process_fixture *f = *state;
	struct client c;

	f->registry.n_processes += REGISTRY_PROCESSES_MAX;
	client_start(f, &c, SCRIPT("true"));
	f->registry.n_processes -= REGISTRY_PROCESSES_MAX;
	assert_true(c.is_settled);
	assert_int_equal(c.e.kind, ERR_LIMIT);
	client_deinit(&c);

	f->registry.config_bytes += REGISTRY_CONFIG_MAX;
	client_start(f, &c, SCRIPT("true"));
	f->registry.config_bytes -= REGISTRY_CONFIG_MAX;
	assert_int_equal(c.e.kind, ERR_LIMIT);
	client_deinit(&c);
	assert_int_equal(f->registry.config_bytes, 0);
}

/* The teardown asserts that everything closes; the processes are ours to end. */
static void test_registry_close_lets_go_of_processes_in_every_state(void **state)
{
	struct process_fixture *f = *state;
	struct client starting, running, draining;
	pid_t pids[3];

	client_start(f, &running, SCRIPT("echo up; exec sleep 100"));
	client_wait_output(&running, "up");
	client_start(f, &draining, SCRIPT("sleep 100 & echo up"));
	client_wait_output(&draining, "up");
	client_start(f, &starting, SCRIPT("exec sleep 100"));
	pids[0] = running.process->pid;
	pids[1] = draining.process->pid;
	pids[2] = starting.process->pid;
	registry_close(&f->registry, NULL);
	assert_true(starting.is_refused);
	assert_int_equal(running.e.kind, ERR_UNAVAILABLE);
	assert_int_equal(draining.e.kind, ERR_UNAVAILABLE);
	loop_fixture_turn(f->loop, 3);
	for (unsigned i = 0; i < ARRAY_SIZE(pids); i++) {
		/* A child that has not made its group yet is found by its own number. */
		(void)kill(pids[i], SIGKILL);
		(void)kill(-pids[i], SIGKILL);
	}
	client_deinit(&starting);
	client_deinit(&running);
	client_deinit(&draining);
	assert_int_equal(registry_init(&f->registry, f->loop, false), 0);
}

static bool orphan_is_there(void *arg)
{
	const pid_t *pid = arg;

	return kill(*pid, 0) == 0;
}

static void test_registry_that_reaps_orphans_takes_no_exit_from_a_process(void **state)
{
	struct process_fixture *f = *state;
	struct client c[20];
	pid_t orphan;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	registry_close(&f->registry, NULL);
	loop_fixture_turn(f->loop, 2);
	assert_int_equal(registry_init(&f->registry, f->loop, true), 0);

	client_start(f, &c[0], SCRIPT("(sleep 0.05 & echo $! >&2) >/dev/null; exit 7"));
	for (size_t i = 1; i < ARRAY_SIZE(c); i++)
		client_start(f, &c[i], SCRIPT("exit 7"));
	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		client_wait(&c[i]);
		assert_int_equal(c[i].exit.code, 7);
	}
	orphan = atoi(client_stderr(&c[0]));
	assert_true(orphan > 1);
	loop_fixture_run_while(f->loop, orphan_is_there, &orphan);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		client_deinit(&c[i]);
	process_fixture_wait_empty(f);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, process_fixture_setup, process_fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_registry_finds_by_pid_and_by_tag_the_newest),
		TEST(test_registry_empty_tag_is_a_tag),
		TEST(test_registry_does_not_show_a_process_before_its_start_is_decided),
		TEST(test_registry_end_is_retained_before_it_is_told_and_for_30_s),
		TEST(test_registry_start_with_the_same_tag_forgets_the_retained_end),
		TEST(test_registry_late_end_of_a_reused_pid_is_not_retained),
		TEST(test_registry_pid_is_that_of_its_last_owner_though_an_earlier_one_outlives_it),
		TEST(test_registry_finds_again_the_same_process_and_no_later_owner_of_its_pid),
		TEST(test_registry_start_with_the_same_pid_forgets_the_retained_end),
		TEST(test_registry_timer_of_an_older_end_spares_the_newer),
		TEST(test_registry_retains_a_bounded_number_of_ends_the_newest),
		TEST(test_registry_makes_room_among_forgotten_ends),
		TEST(test_registry_long_tag_is_not_retained),
		TEST(test_registry_full_refuses_a_start),
		TEST(test_registry_close_lets_go_of_processes_in_every_state),
		TEST(test_registry_that_reaps_orphans_takes_no_exit_from_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
