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

// What a function throws, or undefined; it is given up when it takes too long.
async function failureOf(body) {
	const limit = deadline(TEST_MS_MAX)
	try {
		await Promise.race([body(), limit.promise])
	} catch (error) {
		return error ?? new Error('nothing was thrown')
	} finally {
		limit.stop()
	}
}

// `after` runs after each test, also after a failed one, and can fail it too.
export async function run(after = async () => {}) {
	let failed = 0

	for (const { name, body } of tests) {
		const failures = [await failureOf(body), await failureOf(after)]
		const error = failures.find(Boolean)
		if (error)
			failed++
		console.log(error ? `not ok ${name} ${reasonOf(error)}` : `ok ${name}`)
	}
	// Not process.exitCode: a connection that a failed test left open would keep the process.
	process.exit(failed ? 1 : 0)
}
