/*
 * What the sanitizers do, for every program of a flavour that has one. The environment still overrules it.
 *
 * allocator_may_return_null: refusing an impossible size is malloc's contract, and tested.
 */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:strict_string_checks=1:detect_stack_use_after_return=1";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}

const char *__tsan_default_options(void)
{
	return "allocator_may_return_null=1:halt_on_error=1:second_deadlock_stack=1";
}
