// A test is a name, which is a sentence, and an async function; run() prints one line for each.
import { inspect } from 'node:util'

const TEST_MS_MAX = 60_000
const tests = []

export function test(name, body) {
	tests.push({ name, body })
}

function reasonOf(error) {
	const text = error?.code === 'ERR_ASSERTION' ? error.message : inspect(error)
	return text.replaceAll(/\s+/g, ' ').slice(0, 500)
}

function deadline(ms) {
	const { promise, reject } = Promise.withResolvers()
	const timer = setTimeout(() => reject(new Error(`still running after ${ms} ms`)), ms)
	return { promise, stop: () => clearTimeout(timer) }
}

export async function run() {
	let failed = 0
	for (const { name, body } of tests) {
		const limit = deadline(TEST_MS_MAX)
		try {
			await Promise.race([body(), limit.promise])
			console.log(`ok ${name}`)
		} catch (error) {
			failed++
			console.log(`not ok ${name} ${reasonOf(error)}`)
		} finally {
			limit.stop()
		}
	}
	// Not process.exitCode: a connection that a failed test left open would keep the process.
	process.exit(failed ? 1 : 0)
}
