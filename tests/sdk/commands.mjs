// commands.run, list and kill of the newest npm e2b: output, exit codes, environment, users, time-outs.
import assert from 'node:assert/strict'
import { AuthenticationError, CommandExitError, InvalidArgumentError, TimeoutError } from 'e2b'
import { run, test } from './report.mjs'
import {
	assertNothingIsLeft, commands, isListed, Printed, rejection, sandbox, secured, until, untilGone,
} from './sandbox.mjs'

test('js_run_returns_stdout_stderr_and_exit_code', async () => {
	const result = await commands.run('echo out; echo err >&2')
	assert.equal(result.stdout, 'out\n')
	assert.equal(result.stderr, 'err\n')
	assert.equal(result.exitCode, 0)
	assert.equal(result.error, undefined)
})

test('js_run_calls_back_with_output_while_the_command_runs', async () => {
	const seen = { stdout: '', stderr: '' }
	const handle = await commands.run('echo first; echo problem >&2; exec sleep 1000', {
		background: true,
		onStdout: (text) => { seen.stdout += text },
		onStderr: (text) => { seen.stderr += text },
	})
	await until(async () => seen.stdout === 'first\n' && seen.stderr === 'problem\n' && isListed(handle.pid))
	assert.equal(await handle.kill(), true)
	await rejection(handle.wait(), CommandExitError)
})

test('js_run_with_exit_code_3_throws_with_code_and_output', async () => {
	const error = await rejection(commands.run('echo out; echo err >&2; exit 3'), CommandExitError)
	assert.equal(error.exitCode, 3)
	assert.equal(error.stdout, 'out\n')
	assert.equal(error.stderr, 'err\n')
	assert.equal(error.error, 'exit status 3')
})

test('js_run_of_missing_command_exits_127', async () => {
	const error = await rejection(commands.run('no-such-command-here'), CommandExitError)
	assert.equal(error.exitCode, 127)
	assert.match(error.stderr, /no-such-command-here.*not found/)
})

test('js_run_of_file_that_is_not_executable_exits_126', async () => {
	const error = await rejection(commands.run('/etc/passwd'), CommandExitError)
	assert.equal(error.exitCode, 126)
})

test('js_run_killed_by_its_own_signal_says_so', async () => {
	const error = await rejection(commands.run('kill -SEGV $$'), CommandExitError)
	assert.equal(error.exitCode, -1)
	assert.match(error.error, /^signal: segmentation fault/)
})

test('js_run_passes_environment_verbatim', async () => {
	const envs = { PLAIN: 'bar', SPACES: ' a  b ', QUOTES: `'"$HOME\``, LINES: 'a\nb', WORLD: 'wörld €' }
	const result = await commands.run('printf "%s|" "$PLAIN" "$SPACES" "$QUOTES" "$LINES" "$WORLD"', { envs })
	assert.equal(result.stdout, Object.values(envs).map((value) => value + '|').join(''))
})

test('js_run_has_an_environment_of_its_user_and_nothing_of_the_daemon', async () => {
	const { stdout } = await commands.run('echo $HOME $USER $LOGNAME $E2B_SANDBOX; cat /proc/self/oom_score_adj')
	assert.equal(stdout, '/home/user user user false\n100\n')
})

test('js_run_starts_in_the_home_folder_or_where_told', async () => {
	assert.equal((await commands.run('pwd')).stdout, '/home/user\n')
	assert.equal((await commands.run('pwd', { cwd: '/tmp' })).stdout, '/tmp\n')
	assert.equal((await commands.run('pwd', { cwd: '/root', user: 'root' })).stdout, '/root\n')
})

test('js_run_in_missing_folder_is_an_invalid_argument', async () => {
	const error = await rejection(commands.run('pwd', { cwd: '/no/such/folder' }), InvalidArgumentError)
	assert.match(error.message, /cwd '\/no\/such\/folder' does not exist/)
})

test('js_run_in_folder_that_the_user_may_not_enter_is_an_invalid_argument', async () => {
	const error = await rejection(commands.run('pwd', { cwd: '/root' }), InvalidArgumentError)
	assert.match(error.message, /permission denied/)
})

test('js_run_is_the_default_user_or_who_is_asked_for', async () => {
	assert.equal((await commands.run('id -un; id -u; id -Gn')).stdout, 'user\n1000\nuser sudo\n')
	assert.equal((await commands.run('id -un; id -u; echo $HOME', { user: 'root' })).stdout, 'root\n0\n/root\n')
})

test('js_run_as_unknown_user_is_an_authentication_error', async () => {
	const error = await rejection(commands.run('id', { user: 'nobody-here' }), AuthenticationError)
	assert.match(error.message, /invalid username: 'nobody-here'/)
})

test('js_run_of_sudo_needs_no_password', async () => {
	assert.equal((await commands.run('sudo id -un')).stdout, 'root\n')
})

test('js_run_without_stdin_reads_end_of_file', async () => {
	assert.equal((await commands.run('cat; read line || echo "nothing to read"')).stdout, 'nothing to read\n')
})

test('js_run_beyond_its_time_is_ended_and_throws_timeout', async () => {
	const tag = `marker-${process.pid}-timeout`
	await rejection(commands.run(`exec -a ${tag} sleep 1000`, { timeoutMs: 300 }), TimeoutError)
	await until(async () => !(await commands.list()).some((process) => process.args.join(' ').includes(tag)))
	assert.equal((await commands.run(`pgrep -fc '^${tag}' || true`)).stdout, '0\n')
})

test('js_run_with_timeout_0_is_not_limited', async () => {
	assert.equal((await commands.run('echo done', { timeoutMs: 0 })).stdout, 'done\n')
})

test('js_background_run_can_be_waited_for', async () => {
	const handle = await commands.run('sleep 0.2; echo late', { background: true })
	assert.ok(handle.pid > 0)
	assert.equal(handle.exitCode, undefined)
	const result = await handle.wait()
	assert.equal(result.stdout, 'late\n')
	assert.equal(result.exitCode, 0)
})

test('js_list_shows_what_runs_as_it_was_started', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true, cwd: '/tmp', envs: { A: 'b' } })
	const listed = (await commands.list()).find((process) => process.pid === handle.pid)
	assert.equal(listed.cmd, '/bin/bash')
	assert.deepEqual(listed.args, ['-l', '-c', 'exec sleep 1000'])
	assert.equal(listed.cwd, '/tmp')
	assert.equal(listed.envs.A, 'b')
	assert.equal(listed.tag, undefined)
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
	assert.equal(await isListed(handle.pid), false)
})

test('js_kill_ends_the_command_once', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true })
	assert.equal(await commands.kill(handle.pid), true)
	const error = await rejection(handle.wait(), CommandExitError)
	assert.equal(error.exitCode, -1)
	assert.equal(error.error, 'signal: killed')
	assert.equal(await commands.kill(handle.pid), false)
})

test('js_kill_of_unknown_process_is_false', async () => {
	assert.equal(await commands.kill(999999), false)
})

test('js_kill_reaches_the_children_of_the_command', async () => {
	const tag = `marker-${process.pid}-child`
	const script = `(exec -a ${tag} sleep 1000) & echo started; wait`
	let output = ''
	const handle = await commands.run(script, { background: true, onStdout: (text) => { output += text } })
	await until(async () => (await commands.run(`pgrep -fc '^${tag}' || true`)).stdout === '1\n')
	await until(() => output === 'started\n')
	assert.equal(await handle.kill(), true)
	await rejection(handle.wait(), CommandExitError)
	await until(async () => (await commands.run(`pgrep -fc '^${tag}' || true`)).stdout === '0\n')
})

test('js_child_that_keeps_the_output_open_does_not_hold_the_result', async () => {
	const started = Date.now()
	const result = await commands.run('sleep 1000 & echo "leaving $!"')
	assert.match(result.stdout, /^leaving \d+\n$/)
	assert.ok(Date.now() - started < 20_000, 'the result came when the child ended')
	await commands.run(`kill ${result.stdout.split(' ')[1]}`)
})

test('js_disconnect_leaves_the_command_running', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true })
	await handle.disconnect()
	assert.equal(await isListed(handle.pid), true)
	assert.equal(await commands.kill(handle.pid), true)
	await untilGone(handle.pid)
})

test('js_large_output_arrives_whole_and_in_order', async () => {
	const { stdout } = await commands.run('seq 1 1000000')
	assert.equal(stdout.length, 6888896)
	let n = 0
	for (const line of stdout.split('\n').slice(0, -1))
		if (line !== String(++n))
			assert.fail(`line ${n} is ${line}`)
	assert.equal(n, 1000000)
})

test('js_large_output_to_both_streams_keeps_each_in_order', async () => {
	const { stdout, stderr } = await commands.run('seq 1 100000 & seq 1 100000 >&2; wait')
	const expected = Array.from({ length: 100000 }, (_, i) => `${i + 1}\n`).join('')
	assert.ok(stdout === expected, 'stdout differs')
	assert.ok(stderr === expected, 'stderr differs')
})

test('js_utf8_split_between_messages_is_put_together', async () => {
	const text = 'aä€😀'
	const large = await commands.run(`python3 -c "print('${text}' * 100000, end='')"`)
	assert.ok(large.stdout === text.repeat(100000), 'characters were lost')
	const bytewise = await commands.run(
		`python3 -c "import os; [os.write(1, bytes([b])) for b in '${text}'.encode() * 20]"`)
	assert.equal(bytewise.stdout, text.repeat(20))
})

test('js_slow_callback_loses_nothing', async () => {
	let lines = 0
	await commands.run('seq 1 200000', {
		onStdout: async (text) => {
			await new Promise(setImmediate)
			lines += text.split('\n').length - 1
		},
	})
	assert.equal(lines, 200000)
})

test('js_long_arguments_and_environment_arrive', async () => {
	const long = 'x'.repeat(100_000)
	assert.equal((await commands.run(`printf ${long} | wc -c`)).stdout.trim(), '100000')
	assert.equal((await commands.run('printf "$LONG" | wc -c', { envs: { LONG: long } })).stdout.trim(), '100000')
})

test('js_run_with_an_argument_that_is_too_long_is_an_invalid_argument', async () => {
	const tooLong = 'x'.repeat(2_000_000) // the kernel takes strings up to 128 KiB
	for (const call of [() => commands.run(`: ${tooLong}`), () => commands.run(':', { envs: { A: tooLong } })])
		assert.match((await rejection(call(), InvalidArgumentError)).message, /argument list too long/)
})

test('js_run_with_nul_bytes_is_an_invalid_argument', async () => {
	for (const call of [() => commands.run('echo a\0b'), () => commands.run(':', { envs: { A: 'a\0b' } })])
		assert.match((await rejection(call(), InvalidArgumentError)).message, /contains a NUL/)
})

test('js_run_shows_bytes_that_are_no_utf8_as_replacement_characters', async () => {
	assert.equal((await commands.run(`printf 'a\\000b\\377c\\342\\202'`)).stdout, 'a\0b\ufffdc\ufffd')
})

// Where a server in the sandbox listens: a container has one port of its own that is reachable from outside.
const { PUBLISHED_PORT } = process.env
const ADDRESS = PUBLISHED_PORT ? `'', ${PUBLISHED_PORT}` : `'localhost', 0`

test('js_server_in_the_sandbox_is_reached_through_its_host', async () => {
	const printed = new Printed()
	const script = `exec python3 -c "
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello from ' + self.path.encode())
server = http.server.HTTPServer((${ADDRESS}), Handler)
print('port', server.server_port, flush=True)
server.serve_forever()"`
	const server = await commands.run(script, { background: true, onStdout: printed.take })
	const host = sandbox.getHost(Number((await printed.until(/port (\d+)\n/))[1]))
	assert.equal(await (await fetch(`http://${host}/path`)).text(), 'hello from /path')
	assert.equal(await server.kill(), true)
	await rejection(server.wait(), CommandExitError)
	await rejection(fetch(`http://${host}/path`), TypeError)
})

test('js_100_commands_at_once_each_get_their_own_output', async () => {
	const numbers = Array.from({ length: 100 }, (_, i) => i)
	const results = await Promise.all(numbers.map((n) => commands.run(`echo ${n}; exit $((${n} % 2 * 7))`)
		.catch((error) => error)))
	assert.deepEqual(results.map((result) => result.stdout), numbers.map((n) => `${n}\n`))
	assert.deepEqual(results.map((result) => result.exitCode), numbers.map((n) => n % 2 * 7))
	assert.deepEqual(await commands.list(), [])
})

test('js_sandbox_is_running', async () => {
	assert.equal(await sandbox.isRunning(), true)
})

test('js_access_token_opens_and_its_lack_or_another_does_not', async () => {
	assert.equal((await secured(process.env.GUARDED_TOKEN).commands.run('whoami')).stdout, 'user\n')
	for (const token of [undefined, 'another'])
		for (const call of [(c) => c.run('whoami'), (c) => c.list(), (c) => c.kill(1)])
			await rejection(call(secured(token).commands), AuthenticationError)
})

await run(assertNothingIsLeft)
