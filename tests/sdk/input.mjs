// Standard input of commands with the newest npm e2b: sendStdin, closeStdin, large and binary input, its errors.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { CommandExitError, NotFoundError, SandboxError, TimeoutError } from 'e2b'
import { run, test } from './report.mjs'
import {
	assertNothingIsLeft, commands, isListed, Printed, pty, rejection, sha256, UNKNOWN_PID,
} from './sandbox.mjs'

const reading = (script, options) => commands.run(script, { background: true, stdin: true, ...options })

const KIB = 1024
const MIB = 1024 * KIB

test('js_stdin_reaches_the_command_and_closing_it_ends_it', async () => {
	const printed = new Printed()
	const handle = await reading('cat; echo "end of input"', { onStdout: printed.take })
	await handle.sendStdin('first\n')
	await printed.until(/^first\n/)
	await commands.sendStdin(handle.pid, 'second\n')
	await printed.until(/^second\n/)
	await handle.closeStdin()
	assert.equal((await handle.wait()).stdout, 'first\nsecond\nend of input\n')
})

test('js_stdin_takes_text_and_bytes', async () => {
	const handle = await reading('cat')
	await handle.sendStdin('wörld €😀 ')
	await handle.sendStdin(new TextEncoder().encode('and bytes'))
	await commands.closeStdin(handle.pid)
	assert.equal((await handle.wait()).stdout, 'wörld €😀 and bytes')
})

test('js_stdin_keeps_every_byte_value', async () => {
	const handle = await reading('exec od -An -v -tu1 -w256')
	await handle.sendStdin(Uint8Array.from({ length: 256 }, (_, i) => i))
	await handle.closeStdin()
	const expected = Array.from({ length: 256 }, (_, i) => String(i))
	assert.deepEqual((await handle.wait()).stdout.trim().split(/ +/), expected)
})

test('js_stdin_that_is_empty_changes_nothing', async () => {
	const handle = await reading('cat')
	await handle.sendStdin('')
	await handle.sendStdin(new Uint8Array(0))
	assert.equal(await isListed(handle.pid), true)
	await handle.sendStdin('x')
	await handle.closeStdin()
	assert.equal((await handle.wait()).stdout, 'x')
})

for (const size of [1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 8 * MIB]) {
	test(`js_stdin_of_${size}_bytes_in_one_message_arrives_whole`, async () => {
		const data = randomBytes(size)
		const handle = await reading('exec sha256sum')
		await handle.sendStdin(data)
		await handle.closeStdin()
		assert.equal((await handle.wait()).stdout, `${sha256(data)}  -\n`)
	})
}

test('js_stdin_in_many_messages_arrives_in_order', async () => {
	const data = randomBytes(4 * MIB)
	const handle = await reading('exec sha256sum')
	for (let sent = 0; sent < data.length; sent += 64 * KIB)
		await handle.sendStdin(data.subarray(sent, sent + 64 * KIB))
	await handle.closeStdin()
	assert.equal((await handle.wait()).stdout, `${sha256(data)}  -\n`)
})

test('js_stdin_through_a_slow_pipeline_comes_back_whole', async () => {
	const text = Array.from({ length: 200_000 }, (_, i) => `${i}\n`).join('')
	const handle = await reading('cat | cat | cat')
	for (let sent = 0; sent < text.length; sent += 64 * KIB)
		await handle.sendStdin(text.slice(sent, sent + 64 * KIB))
	await handle.closeStdin()
	assert.ok((await handle.wait()).stdout === text, 'output differs')
})

test('js_stdin_of_many_senders_is_not_mixed_within_a_message', async () => {
	const size = 100_000 // more than a pipe holds, so that the daemon has to write in pieces
	const letters = [...'abcdefghijklmnop']
	const handle = await reading(`exec python3 -c "
import sys
data = sys.stdin.buffer.read()
print(''.join(sorted(chr(data[i]) for i in range(0, len(data), ${size}) if len(set(data[i:i + ${size}])) == 1)))"`)
	await Promise.all(letters.map((letter) => handle.sendStdin(letter.repeat(size))))
	await handle.closeStdin()
	assert.equal((await handle.wait()).stdout, letters.join('') + '\n')
})

test('js_stdin_closed_twice_is_closed', async () => {
	const handle = await reading('exec sleep 1000')
	await handle.closeStdin()
	await handle.closeStdin()
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_stdin_closed_of_a_command_without_any_is_closed', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true })
	await handle.closeStdin()
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_stdin_after_closing_is_refused', async () => {
	const handle = await reading('exec sleep 1000')
	await handle.closeStdin()
	const error = await rejection(handle.sendStdin('late'), SandboxError)
	assert.match(error.message, /error writing to stdin: stdin not enabled or closed/)
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_stdin_to_a_command_without_any_is_refused', async () => {
	const handle = await commands.run('exec sleep 1000', { background: true })
	const error = await rejection(handle.sendStdin('x'), SandboxError)
	assert.match(error.message, /error writing to stdin: stdin not enabled or closed/)
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_stdin_that_the_command_has_closed_itself_is_refused', async () => {
	const printed = new Printed()
	const handle = await reading('exec 0<&-; echo closed; exec sleep 1000', { onStdout: printed.take })
	await printed.until(/closed\n/)
	const error = await rejection(handle.sendStdin('x'), SandboxError)
	assert.match(error.message, /error writing to stdin of process '\d+': .*broken pipe/)
	assert.equal(await isListed(handle.pid), true)
	await handle.kill()
	await rejection(handle.wait(), CommandExitError)
})

test('js_stdin_to_unknown_or_ended_process_is_not_found', async () => {
	const handle = await reading('exit 0')
	await handle.wait()
	for (const pid of [UNKNOWN_PID, handle.pid])
		for (const call of [() => commands.sendStdin(pid, 'x'), () => commands.closeStdin(pid)]) {
			const error = await rejection(call(), NotFoundError)
			assert.match(error.message, new RegExp(`process with pid ${pid} not found`))
		}
})

test('js_stdin_to_a_terminal_is_refused', async () => {
	const terminal = await pty.create({ cols: 80, rows: 24, onData: () => {} })
	const sent = await rejection(commands.sendStdin(terminal.pid, 'x'), SandboxError)
	assert.match(sent.message, /tty assigned to process — input should be written to the pty, not the stdin/)
	const closed = await rejection(commands.closeStdin(terminal.pid), SandboxError)
	assert.match(closed.message, /cannot close stdin for PTY process — send Ctrl\+D \(0x04\) instead/)
	await terminal.kill()
	await rejection(terminal.wait(), CommandExitError)
})

test('js_stdin_that_nobody_reads_times_out_and_harms_no_other', async () => {
	const handle = await reading('exec sleep 1000')
	const blocked = rejection(handle.sendStdin(new Uint8Array(MIB), { requestTimeoutMs: 1000 }), TimeoutError)
	assert.equal((await commands.run('echo fine')).stdout, 'fine\n')
	assert.match((await blocked).message, /requestTimeoutMs/)
	assert.equal(await handle.kill(), true)
	assert.equal((await rejection(handle.wait(), CommandExitError)).error, 'signal: killed')
})

test('js_kill_ends_input_that_waits_for_a_full_pipe', async () => {
	const handle = await reading('exec sleep 1000')
	const blocked = rejection(handle.sendStdin(new Uint8Array(MIB)), SandboxError)
	assert.equal(await handle.kill(), true)
	await blocked
	assert.equal((await rejection(handle.wait(), CommandExitError)).error, 'signal: killed')
})

test('js_stdin_that_timed_out_does_not_block_what_comes_after', async () => {
	const fifo = `/tmp/go-${process.pid}`
	const printed = new Printed()
	const script = `mkfifo ${fifo}; echo ready; read go <${fifo}; rm ${fifo}; exec tail -c 5`
	const handle = await reading(script, { onStdout: printed.take })
	await printed.until(/ready\n/)
	await rejection(handle.sendStdin(new Uint8Array(MIB), { requestTimeoutMs: 500 }), TimeoutError)
	await commands.run(`echo >${fifo}`)
	await handle.sendStdin('after')
	await handle.closeStdin()
	assert.equal((await handle.wait()).stdout, 'ready\nafter')
})

test('js_stdin_is_read_by_a_program_line_by_line', async () => {
	const printed = new Printed()
	const handle = await reading('exec python3 -i -q 2>&1', { onStdout: printed.take })
	await handle.sendStdin('print(6 * 7)\n')
	await printed.until(/42\n/)
	await handle.sendStdin('exit(9)\n')
	assert.equal((await rejection(handle.wait(), CommandExitError)).exitCode, 9)
})

await run(assertNothingIsLeft)
