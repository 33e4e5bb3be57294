// Handles of the newest npm e2b: connect, disconnect, wait, callbacks, time-outs and aborts.
import assert from 'node:assert/strict'
import { CommandExitError, NotFoundError, TimeoutError } from 'e2b'
import { run, test } from './report.mjs'
import {
	assertNothingIsLeft, commands, isListed, Printed, rejection, UNKNOWN_PID, until, untilGone,
} from './sandbox.mjs'

const background = (script, options) => commands.run(script, { background: true, ...options })

// A command that prints each line it is sent, and exits 5 at the end of its input.
const ECHO = 'while read line; do echo "got $line"; done; exit 5'

test('js_connect_sees_what_is_printed_from_then_on_and_the_exit_code', async () => {
	const first = await background(ECHO, { stdin: true })
	await first.sendStdin('before\n')
	await until(() => first.stdout === 'got before\n')
	const printed = new Printed()
	const second = await commands.connect(first.pid, { onStdout: printed.take })
	assert.equal(second.pid, first.pid)
	await first.sendStdin('after\n')
	await printed.until(/^got after\n/)
	await first.closeStdin()
	const errors = [await rejection(first.wait(), CommandExitError), await rejection(second.wait(), CommandExitError)]
	assert.deepEqual(errors.map((error) => error.stdout), ['got before\ngot after\n', 'got after\n'])
	assert.deepEqual(errors.map((error) => error.exitCode), [5, 5])
})

test('js_connect_separates_stdout_from_stderr', async () => {
	const first = await background('read go; echo out; echo err >&2', { stdin: true })
	const seen = { stdout: '', stderr: '' }
	const second = await commands.connect(first.pid, {
		onStdout: (text) => { seen.stdout += text },
		onStderr: (text) => { seen.stderr += text },
	})
	await first.sendStdin('go\n')
	const result = await second.wait()
	await first.wait()
	assert.deepEqual({ ...result }, { exitCode: 0, error: undefined, stdout: 'out\n', stderr: 'err\n' })
	assert.deepEqual(seen, { stdout: 'out\n', stderr: 'err\n' })
})

test('js_connect_after_disconnect_goes_on_with_the_same_command', async () => {
	const first = await background(ECHO, { stdin: true })
	const { pid } = first
	await first.disconnect()
	const printed = new Printed()
	const second = await commands.connect(pid, { onStdout: printed.take })
	await second.sendStdin('hello\n')
	await printed.until(/^got hello\n/)
	await second.closeStdin()
	assert.equal((await rejection(second.wait(), CommandExitError)).exitCode, 5)
})

test('js_connected_handle_can_kill_the_command', async () => {
	const first = await background('exec sleep 1000')
	const second = await commands.connect(first.pid)
	assert.equal(await second.kill(), true)
	for (const handle of [first, second])
		assert.equal((await rejection(handle.wait(), CommandExitError)).error, 'signal: killed')
	assert.equal(await second.kill(), false)
})

test('js_three_that_are_connected_each_get_all_of_it', async () => {
	const first = await background('read go; exec seq 1 300000', { stdin: true })
	const others = await Promise.all([1, 2, 3].map(() => commands.connect(first.pid)))
	await first.sendStdin('go\n')
	const expected = Array.from({ length: 300000 }, (_, i) => `${i + 1}\n`).join('')
	for (const handle of [first, ...others])
		assert.ok((await handle.wait()).stdout === expected, 'output differs')
})

test('js_one_of_two_that_disconnects_leaves_the_other_in_peace', async () => {
	const first = await background('read go; exec seq 1 300000', { stdin: true })
	const leaving = await commands.connect(first.pid)
	await first.sendStdin('go\n')
	await until(() => leaving.stdout.length > 0)
	await leaving.disconnect()
	assert.equal((await first.wait()).stdout.length, 1988895)
})

test('js_connect_to_a_command_that_ended_gives_its_exit_code', async () => {
	const first = await background('echo gone; exit 4')
	await rejection(first.wait(), CommandExitError)
	const error = await rejection((await commands.connect(first.pid)).wait(), CommandExitError)
	assert.deepEqual([error.exitCode, error.error, error.stdout], [4, 'exit status 4', ''])
})

test('js_connect_to_unknown_process_is_not_found', async () => {
	const error = await rejection(commands.connect(UNKNOWN_PID), NotFoundError)
	assert.match(error.message, new RegExp(`process with pid ${UNKNOWN_PID} not found`))
})

test('js_connect_beyond_its_time_throws_timeout_and_the_command_goes_on', async () => {
	const first = await background('exec sleep 1000')
	const second = await commands.connect(first.pid, { timeoutMs: 300 })
	const error = await rejection(second.wait(), TimeoutError)
	assert.match(error.message, /deadline_exceeded/)
	assert.equal(await isListed(first.pid), true)
	assert.equal(await first.kill(), true)
	assert.equal((await rejection(first.wait(), CommandExitError)).error, 'signal: killed')
})

test('js_background_run_beyond_its_time_is_ended_with_its_children', async () => {
	const tag = `marker-${process.pid}-lifetime`
	const handle = await background(`(exec -a ${tag} sleep 1000) & exec sleep 1000`, { timeoutMs: 500 })
	const error = await rejection(handle.wait(), TimeoutError)
	assert.match(error.message, /deadline_exceeded/)
	await untilGone(handle.pid)
	await until(async () => (await commands.run(`pgrep -fc '^${tag}' || true`)).stdout === '0\n')
})

test('js_request_timeout_limits_the_start_and_not_the_command', async () => {
	const result = await commands.run('sleep 1.2; echo late', { requestTimeoutMs: 1000 })
	assert.equal(result.stdout, 'late\n')
})

test('js_abort_of_a_run_lets_go_of_the_command_and_does_not_kill_it', async () => {
	const abort = new AbortController()
	const handle = await background('exec sleep 1000', { signal: abort.signal })
	abort.abort()
	await rejection(handle.wait(), TimeoutError)
	assert.equal(await isListed(handle.pid), true)
	assert.equal(await commands.kill(handle.pid), true)
	await untilGone(handle.pid)
})

test('js_run_that_is_aborted_before_it_starts_starts_nothing', async () => {
	await rejection(commands.run('exec sleep 1000', { signal: AbortSignal.abort() }), TimeoutError)
	assert.deepEqual(await commands.list(), [])
})

test('js_wait_may_come_late_and_twice', async () => {
	const handle = await background('echo done; exit 2')
	await until(() => handle.exitCode !== undefined)
	await untilGone(handle.pid)
	for (let i = 0; i < 2; i++) {
		const error = await rejection(handle.wait(), CommandExitError)
		assert.deepEqual([error.stdout, error.exitCode], ['done\n', 2])
	}
})

test('js_handle_tells_output_and_exit_as_they_come', async () => {
	const handle = await background('echo out; echo err >&2; read go; echo more', { stdin: true })
	await until(() => handle.stdout === 'out\n' && handle.stderr === 'err\n')
	assert.deepEqual([handle.exitCode, handle.error], [undefined, undefined])
	await handle.sendStdin('go\n')
	await until(() => handle.exitCode !== undefined)
	assert.deepEqual([handle.stdout, handle.exitCode], ['out\nmore\n', 0])
})

test('js_command_that_closes_its_output_and_lives_on_is_waited_for', async () => {
	const handle = await background('exec >/dev/null 2>&1; read go; exit 6', { stdin: true })
	assert.equal(await isListed(handle.pid), true)
	await handle.sendStdin('go\n')
	assert.equal((await rejection(handle.wait(), CommandExitError)).exitCode, 6)
})

test('js_kill_while_output_pours_ends_the_stream', async () => {
	const handle = await background('exec yes')
	await until(() => handle.stdout.length > 1_000_000)
	assert.equal(await handle.kill(), true)
	const error = await rejection(handle.wait(), CommandExitError)
	assert.equal(error.error, 'signal: killed')
	assert.ok(error.stdout === 'y\n'.repeat(error.stdout.length / 2 + 1).slice(0, error.stdout.length), 'output differs')
})

test('js_output_right_before_the_exit_is_complete', async () => {
	const expected = 'x'.repeat(200_000) + 'end'
	const runs = Array.from({ length: 20 }, () => commands.run(`printf '%0200000d' 0 | tr 0 x; printf end`))
	for (const { stdout } of await Promise.all(runs))
		assert.ok(stdout === expected, `${stdout.length} characters`)
})

await run(assertNothingIsLeft)
