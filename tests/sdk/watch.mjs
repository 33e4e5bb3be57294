// files.watchDir of the newest npm e2b: each kind of event, recursion, entries, endings.
import assert from 'node:assert/strict'
import { FileNotFoundError, InvalidArgumentError, TimeoutError } from 'e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, files, inFolder, rejection, until } from './sandbox.mjs'

// A watched folder, and what was told of it.
class Watch {
	events = []
	told = [] // of each event its type and name
	exits = []
	#wake = () => {}

	static async start(path, options) {
		const watch = new Watch()
		watch.handle = await files.watchDir(path, (event) => watch.#take(event), {
			onExit: (error) => { watch.exits.push(error) },
			...options,
		})
		return watch
	}

	#take(event) {
		this.events.push(event)
		this.told.push(`${event.type} ${event.name}`)
		this.#wake()
	}

	async until(told) {
		while (!this.told.includes(told))
			await new Promise((resolve) => { this.#wake = resolve })
	}

	// Ends it; no event comes after that, and the end is told once.
	async stop() {
		await this.handle.stop()
		await until(() => this.exits.length > 0)
		assert.equal(this.exits.length, 1)
	}
}

// A test's body with a watch of a folder of its own.
const watching = (options, body) => inFolder(async (folder) => {
	const watch = await Watch.start(folder, options)
	try {
		await body(watch, folder)
	} finally {
		await watch.stop()
	}
})

test('js_watch_tells_each_kind_of_change', watching({}, async (watch, folder) => {
	await commands.run(`cd ${folder}; echo x >f; chmod 600 f; mv f g; rm g; mkdir d; rmdir d`)
	await watch.until('remove d')
	assert.deepEqual(watch.told, ['create f', 'write f', 'chmod f', 'rename f', 'create g', 'remove g',
		'create d', 'remove d'])
	assert.ok(watch.events.every(({ entry }) => entry === undefined))
}))

test('js_watch_tells_what_is_done_through_files', watching({}, async (watch, folder) => {
	await files.write(`${folder}/f`, 'content')
	await files.rename(`${folder}/f`, `${folder}/g`)
	await files.makeDir(`${folder}/d`)
	await files.remove(`${folder}/d`)
	await files.remove(`${folder}/g`)
	await watch.until('remove g')
	assert.equal(watch.told[0], 'create f')
	assert.ok(watch.told.includes('write f'))
	const later = watch.told.slice(watch.told.indexOf('rename f')).filter((event) => !event.startsWith('chmod'))
	assert.deepEqual(later, ['rename f', 'create g', 'create d', 'remove d', 'remove g'])
}))

test('js_watch_tells_nothing_of_deeper_folders_unless_asked', watching({}, async (watch, folder) => {
	await commands.run(`cd ${folder}; mkdir d; touch d/f; : >last`)
	await watch.until('create last')
	assert.deepEqual(watch.told, ['create d', 'create last'])
}))

test('js_watch_of_all_below_tells_of_old_and_new_folders', inFolder(async (folder) => {
	await commands.run(`mkdir -p ${folder}/old/deep`)
	const watch = await Watch.start(folder, { recursive: true })
	await commands.run(`cd ${folder}; touch old/deep/f; mkdir -p new/a/b; touch new/a/b/g; : >last`)
	await watch.until('create last')
	for (const name of ['old/deep/f', 'new', 'new/a', 'new/a/b', 'new/a/b/g'])
		assert.ok(watch.told.includes(`create ${name}`), name)
	await watch.stop()
}))

test('js_watch_of_all_below_follows_folders_that_move', inFolder(async (folder) => {
	await commands.run(`mkdir -p ${folder}/in/d ${folder}/in/d2 ${folder}/out`)
	const watch = await Watch.start(`${folder}/in`, { recursive: true })
	await commands.run(`cd ${folder}/in; mv d e; : >e/f; : >d2/f; mv e ../out; : >../out/e/g
		mv ../out/e back; : >back/h; : >last`)
	await watch.until('create last')
	for (const event of ['rename d', 'create e', 'create e/f', 'create d2/f', 'rename e',
		'create back', 'create back/g', 'create back/h'])
		assert.ok(watch.told.includes(event), `${event}: ${watch.told}`)
	assert.ok(!watch.told.some((event) => event.endsWith('e/g') || event.endsWith('d/f')), watch.told.join())
	await watch.stop()
}))

test('js_watch_shows_entries_when_asked', watching({ recursive: true, includeEntry: true }, async (watch, folder) => {
	await commands.run(`cd ${folder}; mkdir d; echo x >d/f; ln -s f d/link`)
	await watch.until('create d/link')
	await commands.run(`cd ${folder}; rm d/f`)
	await watch.until('remove d/f')
	const entryOf = (told) => watch.events[watch.told.indexOf(told)].entry
	assert.deepEqual([entryOf('create d').type, entryOf('create d').path], ['dir', `${folder}/d`])
	const { name, type, path, owner } = entryOf('create d/f')
	assert.deepEqual([name, type, path, owner], ['f', 'file', `${folder}/d/f`, 'user'])
	assert.equal(entryOf('create d/link').symlinkTarget, `${folder}/d/f`)
	assert.equal(entryOf('remove d/f'), undefined)
}))

test('js_watch_through_a_link_is_that_of_its_target', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir d; ln -s d link`)
	for (const recursive of [false, true]) {
		const watch = await Watch.start(`${folder}/link`, { recursive })
		await commands.run(`touch ${folder}/d/f; rm ${folder}/d/f`)
		await watch.until('remove f')
		await watch.stop()
	}
}))

test('js_watch_of_a_folder_that_is_removed_tells_it_and_stays_quiet', inFolder(async (folder) => {
	await commands.run(`mkdir ${folder}/d`)
	const watch = await Watch.start(`${folder}/d`)
	await commands.run(`rmdir ${folder}/d`)
	await watch.until('remove .')
	await commands.run(`mkdir ${folder}/d; touch ${folder}/d/f`)
	assert.deepEqual([watch.told, watch.exits], [['remove .'], []])
	await watch.stop()
}))

test('js_watch_misses_nothing_of_5000_new_files', watching({ recursive: true }, async (watch, folder) => {
	await commands.run(`cd ${folder}; mkdir -p a/b; seq -f a/b/%g 1 5000 | xargs touch; : >last`)
	await watch.until('create last')
	const created = new Set(watch.told.filter((event) => event.startsWith('create a/b/')))
	assert.equal(created.size, 5000)
}))

test('js_watch_with_a_slow_callback_tells_all_in_order', inFolder(async (folder) => {
	const told = []
	const handle = await files.watchDir(folder, async ({ name }) => {
		await new Promise(setImmediate)
		told.push(name)
	})
	await commands.run(`cd ${folder}; for n in $(seq 1 500); do : >$n; done`)
	await until(() => told.length === 500)
	assert.deepEqual(told, Array.from({ length: 500 }, (_, n) => `${n + 1}`))
	await handle.stop()
}))

test('js_watches_of_one_folder_are_told_the_same_each', inFolder(async (folder) => {
	const watches = await Promise.all(Array.from({ length: 50 }, (_, n) => Watch.start(folder, { recursive: n % 2 === 0 })))
	const [first, ...rest] = watches
	await first.stop()
	await commands.run(`cd ${folder}; touch f; rm f`)
	for (const watch of rest) {
		await watch.until('remove f')
		assert.deepEqual(watch.told, ['create f', 'chmod f', 'remove f'])
		await watch.stop()
	}
	assert.deepEqual(first.events, [])
}))

test('js_watch_of_the_home_folder_is_that_of_its_user', async () => {
	for (const [path, user, home] of [['.', undefined, '/home/user'], ['~', 'root', '/root']]) {
		const watch = await Watch.start(path, { user })
		const name = `file-${process.pid}`
		await commands.run(`touch ${home}/${name}; rm ${home}/${name}`, { user: 'root' })
		await watch.until(`remove ${name}`)
		await watch.stop()
	}
})

test('js_watch_of_what_is_no_folder_fails', inFolder(async (folder) => {
	await commands.run(`touch ${folder}/f`)
	assert.match((await rejection(Watch.start(`${folder}/none`), FileNotFoundError)).message, /path .*none not found/)
	assert.match((await rejection(Watch.start(`${folder}/f`), InvalidArgumentError)).message, /path .*f not a directory/)
}))

test('js_watch_may_be_of_network_mounts_too', watching({ allowNetworkMounts: true }, async (watch, folder) => {
	await commands.run(`touch ${folder}/f`)
	await watch.until('create f')
}))

test('js_watch_ends_with_its_time', inFolder(async (folder) => {
	const watch = await Watch.start(folder, { timeoutMs: 1000 })
	await until(() => watch.exits.length > 0)
	assert.ok(watch.exits[0] instanceof TimeoutError, watch.exits[0]?.stack)
}))

test('js_watch_with_timeout_0_is_not_limited', watching({ timeoutMs: 0 }, async (watch, folder) => {
	await commands.run(`touch ${folder}/f`)
	await watch.until('create f')
	assert.deepEqual(watch.exits, [])
}))

test('js_watch_that_was_stopped_tells_nothing_more', inFolder(async (folder) => {
	const watch = await Watch.start(folder)
	await commands.run(`: >${folder}/before`)
	await watch.until('create before')
	await watch.stop()
	await commands.run(`: >${folder}/after`)
	assert.deepEqual(watch.told, ['create before'])
}))

await run(assertNothingIsLeft)
