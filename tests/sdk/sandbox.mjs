// The sandbox that the JavaScript tests share, and what they have in common.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Sandbox } from 'e2b'

export const sandbox = await Sandbox.create()
export const { commands, files, pty, git } = sandbox

// The sandbox that wants a token, as somebody has it who has this token, or none.
export const secured = (envdAccessToken) => new Sandbox({
	sandboxId: 'debug_sandbox_id', envdVersion: '99.99.99', envdAccessToken,
	sandboxUrl: process.env.GUARDED_URL, debug: true,
})

export const UNKNOWN_PID = 4_000_000_000 // more than the kernel's largest, 4194304

// The error that a promise is rejected with; of that class, or the test fails.
export async function rejection(promise, type) {
	try {
		await promise
	} catch (error) {
		assert.ok(error instanceof type, `${type.name} expected, not ${error?.stack}`)
		return error
	}
	assert.fail(`${type.name} expected`)
}

export const isListed = async (pid) => (await commands.list()).some((process) => process.pid === pid)

// Asks until it is so; the test's own time limit ends the asking.
export async function until(condition) {
	while (!(await condition()))
		await new Promise(setImmediate)
}

export const untilGone = (pid) => until(async () => !(await isListed(pid)))

export const sha256 = (data) => createHash('sha256').update(data).digest('hex')

// What a command or a terminal prints: its `take` is the callback, and one can wait for a piece of text.
export class Printed {
	text = ''
	#decoder = new TextDecoder()
	#wake = () => {}

	take = (data) => {
		this.text += typeof data === 'string' ? data : this.#decoder.decode(data, { stream: true })
		this.#wake()
	}

	// The match of a pattern in what was not matched yet; what stands before it is forgotten with it.
	async until(pattern) {
		for (;;) {
			const match = this.text.match(pattern)
			if (match) {
				this.text = this.text.slice(match.index + match[0].length)
				return match
			}
			await new Promise((resolve) => { this.#wake = resolve })
		}
	}
}

// What a command says to stdout.
export const out = async (command, options) => (await commands.run(command, options)).stdout

// A test's body with a folder of its own, which goes with everything in it, as do other named leftovers.
export function inFolder(body, ...leftovers) {
	return async () => {
		const folder = (await out('mktemp -d -p ~')).trim()
		try {
			await body(folder)
		} finally {
			await commands.run(`rm -rf ${[folder, ...leftovers].join(' ')}`)
		}
	}
}

// What a test left running fails it, and is ended so that it does not disturb the next.
export async function assertNothingIsLeft() {
	const left = await commands.list()
	await Promise.all(left.map(({ pid }) => commands.kill(pid)))
	await until(async () => (await commands.list()).length === 0)
	assert.deepEqual(left, [])
}
