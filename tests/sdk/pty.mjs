// Terminals of the newest npm e2b: create, input, resize, connect, kill, and what a shell in one can do.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
	AuthenticationError, CommandExitError, InvalidArgumentError, NotFoundError, SandboxError, TimeoutError,
} from 'e2b'
import { run, test } from './report.mjs'
import {
	assertNothingIsLeft, commands, isListed, Printed, pty, rejection, sha256, UNKNOWN_PID, until, untilGone,
} from './sandbox.mjs'

const SIZE = { cols: 80, rows: 24 }

// A terminal and what it prints. Typed commands are echoed: tests wait for what only their output holds.
class Terminal {
	constructor(handle, printed) {
		this.handle = handle
		this.pid = handle.pid
		this.printed = printed
	}

	static async create(options) {
		const printed = new Printed()
		return new Terminal(await pty.create({ ...SIZE, onData: printed.take, ...options }), printed)
	}

	static async connect(pid, options) {
		const printed = new Printed()
		return new Terminal(await pty.connect(pid, { onData: printed.take, ...options }), printed)
	}

	type(data) {
		return pty.sendInput(this.pid, typeof data === 'string' ? new TextEncoder().encode(data) : data)
	}

	until(pattern) {
		return this.printed.until(pattern)
	}

	// What a line of shell prints, between two marks that its echo does not hold.
	async ask(line) {
		await this.type(`printf '<%s' '<'; ${line}; printf '%s>' '>'\r`)
		await this.until(/<</)
		const { input, index } = await this.until(/>>/)
		return input.slice(0, index).replaceAll('\r\n', '\n')
	}

	async kill() {
		assert.equal(await this.handle.kill(), true)
		assert.equal((await rejection(this.handle.wait(), CommandExitError)).error, 'signal: killed')
	}
}

test('js_pty_runs_what_is_typed_and_echoes_it', async () => {
	const terminal = await Terminal.create()
	await terminal.type('echo $((6 * 7))\r')
	await terminal.until(/echo \$\(\(6 \* 7\)\)\r\n/)
	await terminal.until(/42\r\n/)
	await terminal.kill()
})

test('js_pty_shows_the_first_prompt', async () => {
	const terminal = await Terminal.create()
	await terminal.until(/user@\w+.*:.*~.*\$ $/)
	await terminal.kill()
})

test('js_pty_is_a_login_shell_with_a_terminal_of_its_user', async () => {
	const terminal = await Terminal.create()
	assert.equal(await terminal.ask('echo $TERM $LANG $LC_ALL $USER $HOME; pwd'),
		'xterm-256color C.UTF-8 C.UTF-8 user /home/user\n/home/user\n')
	assert.equal(await terminal.ask('shopt -q login_shell && echo login; case $- in *i*) echo interactive; esac'),
		'login\ninteractive\n')
	assert.equal(await terminal.ask('for fd in 0 1 2; do test -t $fd && echo $fd; done'), '0\n1\n2\n')
	await terminal.kill()
})

test('js_pty_device_belongs_to_its_user_who_can_open_it_by_name', async () => {
	const terminal = await Terminal.create()
	assert.match(await terminal.ask('tty'), /^\/dev\/pts\/\d+\n$/)
	assert.equal(await terminal.ask('stat -c "%U %G %a" $(tty)'), 'user tty 620\n')
	assert.equal(await terminal.ask('echo by name >$(tty)'), 'by name\n')
	assert.equal(await terminal.ask('echo controlling >/dev/tty'), 'controlling\n')
	await terminal.kill()
})

test('js_pty_has_the_size_it_was_created_with', async () => {
	const terminal = await Terminal.create({ cols: 133, rows: 43 })
	assert.equal(await terminal.ask('stty size; tput cols; tput lines'), '43 133\n133\n43\n')
	await terminal.kill()
})

test('js_pty_sizes_beyond_16_bits_keep_the_low_ones', async () => {
	for (const [cols, rows, seen] of [[0, 0, '0 0'], [65535, 1, '1 65535'], [65536 + 100, 65536 + 50, '50 100']]) {
		const terminal = await Terminal.create({ cols, rows })
		await terminal.type('stty size\r')
		await terminal.until(`size\r\n[^]*${seen}\r\n`)
		await terminal.kill()
	}
})

const SHOW_SIZES = `
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print('ready', flush=True)
while signal.sigwait([signal.SIGWINCH]):
    print('resized to', *os.get_terminal_size(), flush=True)
`

test('js_pty_resize_is_seen_and_signalled', async () => {
	const terminal = await Terminal.create({ envs: { SHOW_SIZES } })
	await terminal.type(`exec python3 -c "$SHOW_SIZES"\r`)
	await terminal.until(/ready\r\n/)
	await pty.resize(terminal.pid, { cols: 100, rows: 50 })
	await terminal.until(/resized to 100 50\r\n/)
	await pty.resize(terminal.pid, { cols: 20, rows: 10 })
	await terminal.until(/resized to 20 10\r\n/)
	await terminal.kill()
})

test('js_pty_uses_the_folder_user_and_environment_asked_for', async () => {
	const terminal = await Terminal.create({
		cwd: '/tmp', user: 'root', envs: { TERM: 'dumb', LANG: 'C', GREETING: `it's "me"` },
	})
	assert.equal(await terminal.ask('id -un; pwd; echo $HOME $TERM $LANG $LC_ALL; echo "$GREETING"'),
		`root\n/tmp\n/root dumb C C.UTF-8\nit's "me"\n`)
	await terminal.kill()
})

test('js_pty_exit_code_of_its_shell_is_told', async () => {
	const failing = await Terminal.create()
	await failing.type('exit 3\r')
	const error = await rejection(failing.handle.wait(), CommandExitError)
	assert.deepEqual([error.exitCode, error.error], [3, 'exit status 3'])
	const fine = await Terminal.create()
	await fine.type('exit 0\r')
	assert.equal((await fine.handle.wait()).exitCode, 0)
})

test('js_pty_ctrl_d_ends_its_shell', async () => {
	const terminal = await Terminal.create()
	await terminal.until(/\$ $/)
	await terminal.type('\x04')
	assert.equal((await terminal.handle.wait()).exitCode, 0)
})

test('js_pty_ctrl_c_interrupts_what_runs_in_it', async () => {
	const terminal = await Terminal.create()
	await terminal.type(`bash -c 'echo run''ning; exec sleep 1000'\r`)
	await terminal.until(/running\r\n/)
	await terminal.type('\x03')
	await terminal.until(/\$ $/)
	assert.equal(await terminal.ask('echo $((6 * 7))'), '42\n')
	await terminal.kill()
})

test('js_pty_has_job_control', async () => {
	const terminal = await Terminal.create()
	await terminal.type('cat\r')
	await terminal.until(/cat\r\n/)
	await terminal.type('hello\r')
	await terminal.until(/hello\r\n[^]*hello\r\n/)
	await terminal.type('\x1a')
	await terminal.until(/Stopped .*cat\r\n/)
	await terminal.type('fg\r')
	await terminal.until(/fg\r\n[^]*cat\r\n/)
	await terminal.type('again\r')
	await terminal.until(/again\r\n[^]*again\r\n/)
	await terminal.type('\x03')
	await terminal.until(/\$ $/)
	await terminal.kill()
})

test('js_pty_kill_ends_it_once', async () => {
	const terminal = await Terminal.create()
	assert.equal(await pty.kill(terminal.pid), true)
	const error = await rejection(terminal.handle.wait(), CommandExitError)
	assert.deepEqual([error.exitCode, error.error], [-1, 'signal: killed'])
	assert.equal(await pty.kill(terminal.pid), false)
	assert.equal(await pty.kill(UNKNOWN_PID), false)
})

test('js_pty_kill_hangs_up_on_what_runs_in_it', async () => {
	const tag = `marker-${process.pid}-pty`
	const terminal = await Terminal.create()
	await terminal.type(`(exec -a ${tag} sleep 1000)\r`)
	await until(async () => (await commands.run(`pgrep -fc '^${tag}' || true`)).stdout === '1\n')
	await terminal.kill()
	await until(async () => (await commands.run(`pgrep -fc '^${tag}' || true`)).stdout === '0\n')
})

test('js_pty_is_listed_and_can_be_killed_as_a_command', async () => {
	const terminal = await Terminal.create({ cwd: '/tmp', envs: { A: 'b' } })
	const listed = (await commands.list()).find((process) => process.pid === terminal.pid)
	assert.deepEqual(listed, {
		pid: terminal.pid, cmd: '/bin/bash', args: ['-i', '-l'], cwd: '/tmp',
		envs: { A: 'b', TERM: 'xterm-256color', LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8' },
	})
	assert.equal(await commands.kill(terminal.pid), true)
	assert.equal((await rejection(terminal.handle.wait(), CommandExitError)).error, 'signal: killed')
})

test('js_pty_beyond_its_time_is_ended_and_throws_timeout', async () => {
	const terminal = await Terminal.create({ timeoutMs: 300 })
	const error = await rejection(terminal.handle.wait(), TimeoutError)
	assert.match(error.message, /deadline_exceeded/)
	await untilGone(terminal.pid)
})

test('js_pty_connect_shares_one_terminal', async () => {
	const first = await Terminal.create()
	const second = await Terminal.connect(first.pid)
	assert.equal(second.pid, first.pid)
	await second.type('echo $((6 * 7))\r')
	for (const terminal of [first, second])
		await terminal.until(/42\r\n/)
	await first.type('exit 7\r')
	for (const { handle } of [first, second])
		assert.equal((await rejection(handle.wait(), CommandExitError)).exitCode, 7)
})

test('js_pty_connect_after_disconnect_goes_on_with_the_same_shell', async () => {
	const first = await Terminal.create()
	await first.ask('secret=$((6 * 7))')
	await first.handle.disconnect()
	const second = await Terminal.connect(first.pid)
	assert.equal(await second.ask('echo $secret'), '42\n')
	await second.kill()
})

test('js_pty_connect_beyond_its_time_throws_timeout_and_the_shell_lives_on', async () => {
	const first = await Terminal.create()
	const second = await Terminal.connect(first.pid, { timeoutMs: 300 })
	await rejection(second.handle.wait(), TimeoutError)
	assert.equal(await first.ask('echo $((6 * 7))'), '42\n')
	await first.kill()
})

test('js_pty_abort_lets_go_of_the_shell_and_does_not_kill_it', async () => {
	const abort = new AbortController()
	const terminal = await Terminal.create({ signal: abort.signal })
	abort.abort()
	await rejection(terminal.handle.wait(), TimeoutError)
	assert.equal(await isListed(terminal.pid), true)
	assert.equal(await pty.kill(terminal.pid), true)
	await untilGone(terminal.pid)
})

test('js_pty_connect_to_one_that_ended_gives_its_exit_code', async () => {
	const terminal = await Terminal.create()
	await terminal.type('exit 5\r')
	await rejection(terminal.handle.wait(), CommandExitError)
	const error = await rejection((await pty.connect(terminal.pid)).wait(), CommandExitError)
	assert.equal(error.exitCode, 5)
})

test('js_pty_calls_to_unknown_process_are_not_found', async () => {
	const calls = [
		() => pty.connect(UNKNOWN_PID),
		() => pty.sendInput(UNKNOWN_PID, new Uint8Array(1)),
		() => pty.resize(UNKNOWN_PID, SIZE),
	]
	for (const call of calls)
		assert.match((await rejection(call(), NotFoundError)).message, /process with pid \d+ not found/)
})

test('js_pty_calls_to_a_command_are_refused', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true, stdin: true })
	const input = await rejection(pty.sendInput(handle.pid, new Uint8Array(1)), SandboxError)
	assert.match(input.message, /tty not assigned to process — input should be written to the stdin, not the tty/)
	const resize = await rejection(pty.resize(handle.pid, SIZE), SandboxError)
	assert.match(resize.message, /error resizing tty: tty not assigned to process/)
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_pty_create_maps_its_errors', async () => {
	const missing = await rejection(Terminal.create({ cwd: '/no/such/folder' }), InvalidArgumentError)
	assert.match(missing.message, /cwd '\/no\/such\/folder' does not exist/)
	const forbidden = await rejection(Terminal.create({ cwd: '/root' }), InvalidArgumentError)
	const start = `error starting pty with command '/bin/bash -i -l' in dir '/root' with '80' cols and '24' rows: `
	assert.ok(forbidden.message.includes(start), forbidden.message)
	assert.match(forbidden.message, /permission denied$/)
	await rejection(Terminal.create({ user: 'nobody-here' }), AuthenticationError)
	await rejection(Terminal.create({ signal: AbortSignal.abort() }), TimeoutError)
})

test('js_pty_large_output_arrives_whole_and_in_order', async () => {
	const terminal = await Terminal.create()
	const lines = await terminal.ask('seq 1 200000')
	assert.ok(lines === Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join(''), `${lines.length} characters`)
	await terminal.kill()
})

test('js_pty_output_right_before_the_exit_is_complete', async () => {
	const terminal = await Terminal.create()
	await terminal.type(`exec bash -c "seq 1 20000; echo fin''ished"\r`)
	assert.equal((await terminal.handle.wait()).exitCode, 0)
	const [output] = terminal.printed.text.split('\x1b[?2004l\r').slice(-1) // what readline prints before it runs a line
	assert.deepEqual(output.split('\r\n'), [...Array.from({ length: 20_000 }, (_, i) => `${i + 1}`), 'finished', ''])
})

test('js_pty_large_input_arrives_whole', async () => {
	const data = randomBytes(300_000) // a terminal holds 4 KiB that nobody has read: the daemon has to wait
	const terminal = await Terminal.create()
	await terminal.type(`stty raw -echo; echo rea''dy; head -c ${data.length} | sha256sum; stty sane\r`)
	await terminal.until(/ready\n/)
	for (let sent = 0; sent < data.length; sent += 100_000)
		await terminal.type(data.subarray(sent, sent + 100_000))
	await terminal.until(sha256(data))
	await terminal.kill()
})

test('js_pty_input_keeps_every_byte_value', async () => {
	const terminal = await Terminal.create()
	await terminal.type(`stty raw -echo; echo rea''dy; head -c 256 | od -An -v -tu1 -w256; stty sane\r`)
	await terminal.until(/ready\n/)
	await terminal.type(Uint8Array.from({ length: 256 }, (_, i) => i))
	await terminal.until(Array.from({ length: 256 }, (_, i) => i).join(' +'))
	await terminal.kill()
})

test('js_pty_input_that_nobody_reads_times_out_and_harms_no_other', async () => {
	const terminal = await Terminal.create()
	await terminal.type(`stty raw -echo; echo rea''dy; exec sleep 1000\r`)
	await terminal.until(/ready\n/)
	const blocked = rejection(
		pty.sendInput(terminal.pid, new Uint8Array(1_000_000), { requestTimeoutMs: 1000 }), TimeoutError)
	assert.equal((await commands.run('echo fine')).stdout, 'fine\n')
	await blocked
	await terminal.kill()
})

test('js_pty_prints_unicode_as_it_is', async () => {
	const text = 'wörld €😀'
	const terminal = await Terminal.create()
	assert.equal(await terminal.ask(`echo '${text}'`), `${text}\n`)
	await terminal.kill()
})

test('js_pty_full_screen_program_works', async () => {
	const terminal = await Terminal.create({ cols: 40, rows: 10 })
	await terminal.type('seq 1 100 | less\r')
	await terminal.until(/\x1b\[\?1049h/)
	await terminal.type('G')
	await terminal.until(/100\r\n/)
	await terminal.type('q')
	await terminal.until(/\x1b\[\?1049l/)
	assert.equal(await terminal.ask('echo $((6 * 7))'), '42\n')
	await terminal.kill()
})

test('js_20_ptys_at_once_each_get_their_own_output', async () => {
	const numbers = Array.from({ length: 20 }, (_, i) => i)
	const terminals = await Promise.all(numbers.map((n) => Terminal.create({ envs: { NUMBER: String(n) } })))
	const answers = await Promise.all(terminals.map((terminal) => terminal.ask('tty; echo $NUMBER')))
	assert.deepEqual(answers.map((answer) => answer.split('\n')[1]), numbers.map(String))
	assert.equal(new Set(answers.map((answer) => answer.split('\n')[0])).size, terminals.length)
	await Promise.all(terminals.map((terminal) => terminal.kill()))
})

await run(assertNothingIsLeft)
