/*
 * A loop for one test. Its end asserts that the loop closes empty and that no descriptor is open
 * that was not open before.
 *
 *     cmocka_unit_test_setup_teardown(test_x, loop_fixture_setup, loop_fixture_teardown)
 *
 *     static void test_x(void **state)
 *     {
 *             struct loop *loop = loop_fixture_loop(state);
 *             ...
 *             loop_fixture_run_until(loop, &door.is_open);
 *     }
 */
#pragma once

#include <stdbool.h>

#include "loop/loop.h"

/* Longest wait for an event. A test that reaches it fails; none takes that long. */
#define LOOP_FIXTURE_WAIT_MS 10000u

int loop_fixture_setup(void **state);
int loop_fixture_teardown(void **state);
struct loop *loop_fixture_loop(void **state);

/* Turns the loop until the flag is set, or fails the test. */
void loop_fixture_run_until(struct loop *loop, const bool *flag);

/* As above for a condition, which is asked after each turn. */
void loop_fixture_run_while(struct loop *loop, bool (*waiting)(void *arg), void *arg);

/* Turns the loop until no job is in flight, and what they told has happened. */
void loop_fixture_run_jobs(struct loop *loop);

/* Turns the loop n times without waiting: whatever can happen at once has then happened. */
void loop_fixture_turn(struct loop *loop, unsigned n);
