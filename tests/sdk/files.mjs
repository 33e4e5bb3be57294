// Content of files with the newest npm e2b: read and write in every form, one and many, gzip, streams, metadata.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import {
	AuthenticationError, FileNotFoundError, InvalidArgumentError, NotEnoughSpaceError, SandboxError,
} from 'e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, files, inFolder, out, rejection, sandbox, sha256 } from './sandbox.mjs'

const TEXT = 'wörld €😀\nsecond line\n'
const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
const RANDOM = randomBytes(2 * 1024 * 1024 + 1)

// Ways to ask for an upload: as a form, as it is, and compressed.
const UPLOADS = [{}, { useOctetStream: false }, { useOctetStream: true }, { gzip: true }]

// Everything that can be written, made of bytes.
const SOURCES = {
	arrayBuffer: (bytes) => Uint8Array.from(bytes).buffer,
	blob: (bytes) => new Blob([bytes]),
	stream: (bytes) => new Blob([bytes]).stream(),
}

// The bytes of what reading in each format gives.
const RESULTS = {
	text: async (text) => Buffer.from(text),
	bytes: async (bytes) => Buffer.from(bytes),
	blob: async (blob) => Buffer.from(await blob.arrayBuffer()),
	stream: async (stream) => Buffer.concat(await Array.fromAsync(stream)),
}

const readAs = async (format, path, options) =>
	RESULTS[format](await files.read(path, { format, ...options }))

// What each format and coding of a download must give.
async function assertReads(path, bytes, formats = Object.keys(RESULTS)) {
	for (const format of formats)
		for (const gzip of [false, true])
			assert.ok(bytes.equals(await readAs(format, path, { gzip })), `${format}, gzip ${gzip}: differs`)
}

const digest = async (path) => (await out(`sha256sum <${path}`)).split(' ')[0]

test('js_read_gives_a_file_in_each_format', inFolder(async (folder) => {
	await commands.run(`printf %s '${TEXT}' >${folder}/f`)
	assert.equal(await files.read(`${folder}/f`), TEXT)
	assert.ok(await files.read(`${folder}/f`, { format: 'bytes' }) instanceof Uint8Array)
	assert.ok(await files.read(`${folder}/f`, { format: 'blob' }) instanceof Blob)
	assert.ok(await files.read(`${folder}/f`, { format: 'stream' }) instanceof ReadableStream)
	await assertReads(`${folder}/f`, Buffer.from(TEXT))
}))

test('js_read_of_an_empty_file_is_empty_in_each_format', inFolder(async (folder) => {
	await commands.run(`touch ${folder}/f`)
	await assertReads(`${folder}/f`, Buffer.alloc(0))
}))

test('js_read_gives_every_byte', inFolder(async (folder) => {
	await commands.run(`python3 -c "open('${folder}/f', 'wb').write(bytes(range(256)))"`)
	await assertReads(`${folder}/f`, ALL_BYTES, ['bytes', 'blob', 'stream'])
}))

test('js_read_of_a_large_file_gives_it_whole', inFolder(async (folder) => {
	await commands.run(`seq 1 500000 >${folder}/f`)
	const expected = await digest(`${folder}/f`)
	for (const format of Object.keys(RESULTS))
		for (const gzip of [false, true])
			assert.equal(sha256(await readAs(format, `${folder}/f`, { gzip })), expected)
}))

test('js_read_of_a_missing_file_is_not_found', inFolder(async (folder) => {
	for (const format of Object.keys(RESULTS)) {
		const error = await rejection(files.read(`${folder}/none`, { format }), FileNotFoundError)
		assert.equal(error.message, `path '${folder}/none' does not exist`)
	}
}))

test('js_read_of_a_folder_is_an_invalid_argument', inFolder(async (folder) => {
	const error = await rejection(files.read(folder), InvalidArgumentError)
	assert.equal(error.message, `path '${folder}' is a directory`)
}))

test('js_read_below_a_file_is_a_sandbox_error', async () => {
	const error = await rejection(files.read('/etc/passwd/none'), SandboxError)
	assert.match(error.message, /stat \/etc\/passwd\/none: not a directory/)
})

test('js_read_of_a_pipe_is_an_invalid_argument', inFolder(async (folder) => {
	await commands.run(`mkfifo ${folder}/pipe`)
	await rejection(files.read(`${folder}/pipe`), InvalidArgumentError)
}))

test('js_read_of_files_of_the_kernel_gives_their_content', async () => {
	for (const path of ['/proc/version', '/proc/sys/kernel/ostype', '/proc/1/cmdline', '/sys/kernel/profiling',
		'/proc/filesystems'])
		await assertReads(path, Buffer.from(await out(`cat ${path}`)))
})

test('js_read_follows_links', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; echo content >f; ln -s f link; ln -s link chain; ln -s gone broken; ln -s me me`)
	assert.equal(await files.read(`${folder}/chain`), 'content\n')
	await rejection(files.read(`${folder}/broken`), FileNotFoundError)
	await rejection(files.read(`${folder}/me`), SandboxError)
}))

test('js_write_takes_every_kind_of_data_and_tells_what_was_written', inFolder(async (folder) => {
	const path = `${folder}/f`
	for (const options of UPLOADS)
		for (const data of [TEXT, ...Object.values(SOURCES).map((source) => source(Buffer.from(TEXT)))]) {
			const written = await files.write(path, data, options)
			assert.deepEqual(written, { name: 'f', path, type: 'file', metadata: undefined })
			assert.equal(await files.read(path), TEXT)
			await files.remove(path)
		}
}))

test('js_write_of_nothing_makes_an_empty_file', inFolder(async (folder) => {
	const path = `${folder}/f`
	for (const options of UPLOADS)
		for (const data of ['', ...Object.values(SOURCES).map((source) => source(Buffer.alloc(0)))]) {
			await files.write(path, 'something', options)
			await files.write(path, data, options)
			assert.equal(await out(`stat -c %s ${path}`), '0\n')
		}
}))

test('js_write_of_large_data_arrives_whole', inFolder(async (folder) => {
	for (const options of UPLOADS)
		for (const source of Object.values(SOURCES)) {
			await files.write(`${folder}/f`, source(RANDOM), options)
			assert.equal(await digest(`${folder}/f`), sha256(RANDOM))
		}
}))

test('js_write_of_a_stream_is_handed_on_piece_by_piece', inFolder(async (folder) => {
	const path = `${folder}/f`
	let pieces = 0
	const data = new ReadableStream({
		async pull(controller) {
			if (pieces === 1)
				assert.equal(await out(`until [ -s ${path} ]; do :; done; cat ${path}`), 'piece\n')
			if (pieces++ < 100)
				controller.enqueue(Buffer.from('piece\n'))
			else
				controller.close()
		},
	}, { highWaterMark: 0 })
	await files.write(path, data)
	assert.equal(await files.read(path), 'piece\n'.repeat(100))
}))

test('js_write_makes_missing_folders_and_all_belong_to_the_user', inFolder(async (folder) => {
	await files.write(`${folder}/a/b/f`, TEXT)
	assert.equal(await out(`cd ${folder}; stat -c '%n %U:%G %a' a a/b a/b/f`),
		'a user:user 755\na/b user:user 755\na/b/f user:user 644\n')
	await files.write(`${folder}/r/f`, TEXT, { user: 'root' })
	assert.equal(await out(`cd ${folder}; stat -c '%n %U:%G %a' r r/f`), 'r root:root 755\nr/f root:root 644\n')
	await commands.run(`rm -r ${folder}/r`, { user: 'root' })
}))

test('js_write_over_a_file_keeps_its_mode_and_its_other_names', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; seq 1 1000 >f; chmod 750 f; ln f other; ln -s f link`)
	await files.write(`${folder}/link`, 'short')
	assert.equal(await out(`cd ${folder}; stat -c '%a %h' f; cat other; readlink link`), '750 2\nshortf\n')
}))

test('js_write_over_a_file_of_another_in_a_shared_folder_works', async () => {
	const path = `/tmp/shared-${process.pid}`
	await commands.run(`echo of-root >${path}`, { user: 'root' })
	await files.write(path, 'of the user')
	assert.equal(await out(`stat -c %U ${path}; cat ${path}; rm ${path}`), 'user\nof the user')
})

test('js_write_through_a_broken_link_makes_its_target', inFolder(async (folder) => {
	await commands.run(`ln -s ${folder}/target ${folder}/link`)
	await files.write(`${folder}/link`, 'content')
	assert.equal(await out(`cd ${folder}; cat target; stat -c ' %F' link`), 'content symbolic link\n')
}))

test('js_paths_are_below_the_home_folder_of_their_user', async () => {
	const name = `file-${process.pid}`
	for (const [path, user, expected] of [
		[name, undefined, `/home/user/${name}`],
		[`~/${name}`, undefined, `/home/user/${name}`],
		[`none/../${name}`, undefined, `/home/user/${name}`],
		[`../../tmp/${name}`, undefined, `/tmp/${name}`],
		[name, 'root', `/root/${name}`],
		[`~/${name}`, 'root', `/root/${name}`],
	]) {
		assert.equal((await files.write(path, expected, { user })).path, expected)
		assert.equal(await files.read(path, { user }), expected)
		assert.equal(await out(`cat ${expected}; rm ${expected}`, { user: 'root' }), expected)
	}
	for (const call of [() => files.read('~other/f'), () => files.write('~other/f', '')])
		assert.match((await rejection(call(), InvalidArgumentError)).message, /cannot expand user-specific home dir/)
})

test('js_read_and_write_as_an_unknown_user_are_authentication_errors', async () => {
	const options = { user: 'nobody-here' }
	for (const call of [() => files.read('f', options), () => files.write('f', '', options)])
		assert.match((await rejection(call(), AuthenticationError)).message, /unknown user nobody-here/)
})

test('js_write_to_a_folder_is_an_invalid_argument', inFolder(async (folder) => {
	for (const options of UPLOADS) {
		const error = await rejection(files.write(folder, TEXT, options), InvalidArgumentError)
		assert.equal(error.message, `path is a directory: ${folder}`)
	}
}))

test('js_write_below_a_file_is_a_sandbox_error', inFolder(async (folder) => {
	await files.write(`${folder}/f`, TEXT)
	const error = await rejection(files.write(`${folder}/f/g`, TEXT), SandboxError)
	assert.match(error.message, new RegExp(`path is a file: ${folder}/f`))
}))

test('js_write_to_a_full_device_is_an_error_of_space', async () => {
	for (const options of UPLOADS) {
		const error = await rejection(files.write('/dev/full', TEXT, options), NotEnoughSpaceError)
		assert.match(error.message, /not enough disk space available$/)
	}
})

test('js_write_takes_names_of_any_characters', inFolder(async (folder) => {
	const names = ['with space', '"quoted"', `it's`, 'back\\slash', '100%25', 'a+b', 'a&b=c', '#hash', '?query', 'a;b',
		'wörld €😀', 'new\nline', '-dash', '.hidden', '$HOME', '*', 'x'.repeat(255)]
	for (const options of UPLOADS)
		for (const name of names) {
			const path = `${folder}/${name}`
			assert.deepEqual(await files.write(path, name, options), { name, path, type: 'file', metadata: undefined })
			assert.equal(await files.read(path), name)
		}
	const listed = (await files.list(folder)).map(({ name }) => name)
	assert.deepEqual(listed, names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
}))

test('js_write_of_a_name_that_is_too_long_is_a_sandbox_error', inFolder(async (folder) => {
	const error = await rejection(files.write(`${folder}/${'x'.repeat(256)}`, TEXT), SandboxError)
	assert.match(error.message, /file name too long/)
}))

test('js_write_files_writes_each_in_its_order', inFolder(async (folder) => {
	const bytes = Buffer.from(TEXT)
	for (const options of UPLOADS) {
		const entries = [
			{ path: `${folder}/one`, data: 'first' },
			{ path: `${folder}/new/two`, data: SOURCES.arrayBuffer(bytes) },
			{ path: `${folder}/new/deep/wörld €😀`, data: SOURCES.blob(bytes) },
			{ path: `${folder}/back\\slash and space`, data: SOURCES.stream(bytes) },
			{ path: `${folder}/empty`, data: '' },
		]
		const written = await files.writeFiles(entries, options)
		assert.deepEqual(written, entries.map(({ path }) =>
			({ name: path.split('/').at(-1), path, type: 'file', metadata: undefined })))
		const contents = await Promise.all(entries.map(({ path }) => files.read(path)))
		assert.deepEqual(contents, ['first', TEXT, TEXT, TEXT, ''])
		await commands.run(`rm -r ${folder}/*`)
	}
}))

test('js_write_files_takes_names_below_the_home_folder', inFolder(async (folder) => {
	const name = folder.split('/').at(-1)
	const written = await files.writeFiles([{ path: `${name}/a`, data: 'a' }, { path: `~/${name}/b`, data: 'b' }])
	assert.deepEqual(written.map(({ path }) => path), [`${folder}/a`, `${folder}/b`])
	assert.equal(await out(`cat ${folder}/a ${folder}/b`), 'ab')
}))

test('js_write_files_of_none_writes_none', async () => {
	assert.deepEqual(await files.writeFiles([]), [])
})

test('js_write_files_of_one_is_a_list_too', inFolder(async (folder) => {
	const written = await files.writeFiles([{ path: `${folder}/f`, data: TEXT }])
	assert.deepEqual(written.map(({ name }) => name), ['f'])
}))

test('js_write_files_of_1000_at_once_writes_all', inFolder(async (folder) => {
	const numbers = Array.from({ length: 1000 }, (_, n) => n)
	const written = await files.writeFiles(numbers.map((n) => ({ path: `${folder}/${n % 10}/${n}`, data: `${n}\n` })))
	assert.deepEqual(written.map(({ name }) => name), numbers.map(String))
	assert.equal(await out(`cat ${folder}/*/* | sort -n`), numbers.map((n) => `${n}\n`).join(''))
}))

test('js_write_files_of_one_path_twice_writes_the_first', inFolder(async (folder) => {
	const entries = ['first', 'second'].map((data) => ({ path: `${folder}/f`, data }))
	const error = await rejection(files.writeFiles(entries), InvalidArgumentError)
	assert.equal(error.message, `you cannot upload multiple files to the same path '${folder}/f' in one upload ` +
		'request, only the first specified file was uploaded')
	assert.equal(await files.read(`${folder}/f`), 'first')
}))

test('js_100_files_at_once_are_written_and_read', inFolder(async (folder) => {
	const numbers = Array.from({ length: 100 }, (_, n) => n)
	const contents = await Promise.all(numbers.map(async (n) => {
		await files.write(`${folder}/new/folder/${n}`, `${n}`.repeat(1000), UPLOADS[n % UPLOADS.length])
		return files.read(`${folder}/new/folder/${n}`, { gzip: n % 2 === 0 })
	}))
	assert.deepEqual(contents, numbers.map((n) => `${n}`.repeat(1000)))
}))

const SIGNS = "!#$%&'*+-.^_`|~"
const METADATA = { owner: 'me', 'Content-Type': 'text/plain', [SIGNS]: '', signs: ` !"#$%&'()*+,-./:;<=>?@[\\]^_~ x` }
const STORED = { owner: 'me', 'content-type': 'text/plain', [SIGNS]: '', signs: METADATA.signs.trim() }

test('js_metadata_is_kept_with_the_file_and_shown_everywhere', inFolder(async (folder) => {
	const path = `${folder}/f`
	for (const options of UPLOADS) {
		assert.deepEqual((await files.write(path, TEXT, { ...options, metadata: METADATA })).metadata, STORED)
		assert.deepEqual((await files.getInfo(path)).metadata, STORED)
		assert.deepEqual((await files.list(folder)).map(({ metadata }) => metadata), [STORED])
		assert.deepEqual((await files.rename(path, `${folder}/g`)).metadata, STORED)
		await files.remove(`${folder}/g`)
	}
}))

test('js_metadata_is_stored_as_extended_attributes', inFolder(async (folder) => {
	const path = `${folder}/f`
	await files.write(path, TEXT, { metadata: { key: 'value' } })
	assert.equal(await out(`python3 -c "from os import *; print(listxattr('${path}'), getxattr('${path}', 'user.e2b.key'))"`),
		`['user.e2b.key'] b'value'\n`)
	await commands.run(`python3 -c "from os import *; setxattr('${path}', 'user.e2b.more', 'wörld'.encode())
setxattr('${path}', 'user.other', b'hidden')"`)
	assert.deepEqual((await files.getInfo(path)).metadata, { key: 'value', more: 'wörld' })
}))

test('js_metadata_is_replaced_by_each_write', inFolder(async (folder) => {
	const path = `${folder}/f`
	await files.write(path, TEXT, { metadata: { a: '1', b: '2' } })
	assert.deepEqual((await files.write(path, TEXT, { metadata: { b: '3', c: '4' } })).metadata, { b: '3', c: '4' })
	assert.equal((await files.write(path, TEXT)).metadata, undefined)
	assert.equal((await files.getInfo(path)).metadata, undefined)
}))

test('js_metadata_of_write_files_is_that_of_each', inFolder(async (folder) => {
	const entries = ['a', 'b'].map((name) => ({ path: `${folder}/${name}`, data: name }))
	for (const options of UPLOADS) {
		const written = await files.writeFiles(entries, { ...options, metadata: { key: 'value' } })
		assert.deepEqual(written.map(({ metadata }) => metadata), [{ key: 'value' }, { key: 'value' }])
	}
}))

test('js_metadata_beyond_its_limits_is_an_invalid_argument_and_nothing_is_written', inFolder(async (folder) => {
	for (const [metadata, expected] of [
		[{ ['k'.repeat(247)]: 'v' }, /^invalid metadata: metadata key "k+" exceeds 246 bytes$/],
		[{ key: 'v'.repeat(4096) }, /^invalid metadata: total metadata size 4108 exceeds 4096 bytes$/],
	]) {
		const error = await rejection(files.write(`${folder}/f`, TEXT, { metadata }), InvalidArgumentError)
		assert.match(error.message, expected)
	}
	assert.deepEqual(await files.list(folder), [])
}))

// Of a file that no broken upload was for: what that one has sent before may still be written.
async function assertUploads(path) {
	await files.write(path, TEXT)
	assert.equal(await files.read(path), TEXT)
}

test('js_upload_that_its_source_breaks_off_leaves_the_sandbox_well', inFolder(async (folder) => {
	for (const gzip of [false, true]) {
		let pieces = 0
		const data = new ReadableStream({
			pull(controller) {
				if (++pieces < 10)
					controller.enqueue(randomBytes(65536))
				else
					controller.error(new Error('no more'))
			},
		})
		await assert.rejects(files.write(`${folder}/f`, data, { gzip }))
	}
	await assertUploads(`${folder}/other`)
}))

test('js_upload_that_is_aborted_leaves_the_sandbox_well', inFolder(async (folder) => {
	const path = `${folder}/f`
	const abort = new AbortController()
	const data = new ReadableStream({
		async pull(controller) {
			await new Promise(setImmediate)
			controller.enqueue(Buffer.from('piece'))
		},
	})
	const writing = files.write(path, data, { signal: abort.signal })
	await out(`until [ -s ${path} ]; do :; done`)
	abort.abort()
	await assert.rejects(writing)
	await assertUploads(`${folder}/other`)
}))

test('js_download_that_is_cancelled_leaves_the_sandbox_well', inFolder(async (folder) => {
	await commands.run(`truncate -s 1G ${folder}/f`)
	for (const gzip of [false, true]) {
		const reader = (await files.read(`${folder}/f`, { format: 'stream', gzip })).getReader()
		assert.ok((await reader.read()).value.length > 0)
		await reader.cancel()
	}
	assert.equal(await sandbox.isRunning(), true)
}))

test('js_slow_reader_of_a_stream_gets_all_of_it', inFolder(async (folder) => {
	await commands.run(`seq 1 2000000 >${folder}/f`)
	const pieces = []
	for await (const piece of await files.read(`${folder}/f`, { format: 'stream' })) {
		await new Promise(setImmediate)
		pieces.push(piece)
	}
	assert.equal(sha256(Buffer.concat(pieces)), await digest(`${folder}/f`))
}))

await run(assertNothingIsLeft)
