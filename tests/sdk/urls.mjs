// Files over URLs that the newest npm e2b gives out, and over a sandbox that wants a token: signatures, expiry, ranges.
import assert from 'node:assert/strict'
import { AuthenticationError, InvalidArgumentError } from 'e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, files, inFolder, out, rejection, sandbox, secured } from './sandbox.mjs'

const TEXT = 'wörld €😀\n'
const NAMES = ['plain.txt', 'with space', `"quoted" 'name'`, 'a+b&c=d', '#hash?query', '100%25', 'wörld €😀']
const SECONDS = 60

const owner = secured(process.env.GUARDED_TOKEN)
const stranger = secured(undefined)

const form = (content, name) => {
	const data = new FormData()
	data.append('file', new Blob([content]), name)
	return { method: 'POST', body: data }
}

// What a stranger without the token gets: text, or the message of an error.
async function answer(url, options) {
	const response = await fetch(url, options)
	return response.ok ? response.text() : `${response.status} ${(await response.json()).message}`
}

async function assertUploaded(url, options, paths) {
	const response = await fetch(url, options)
	assert.deepEqual((await response.json()).map(({ path }) => path), paths)
}

// A test's body with a folder of its own in the sandbox that wants a token.
const inSecuredFolder = (body) => async () => {
	const folder = (await owner.commands.run('mktemp -d -p ~')).stdout.trim()
	try {
		await body(folder)
	} finally {
		await owner.files.remove(folder)
	}
}

test('js_download_url_gives_the_file', inFolder(async (folder) => {
	for (const name of NAMES) {
		await files.write(`${folder}/${name}`, TEXT)
		assert.equal(await answer(await sandbox.downloadUrl(`${folder}/${name}`)), TEXT)
	}
}))

test('js_upload_url_takes_a_form_or_plain_content', inFolder(async (folder) => {
	for (const name of NAMES) {
		const path = `${folder}/${name}`
		const url = await sandbox.uploadUrl(path)
		await assertUploaded(url, form('as a form', 'anything'), [path])
		assert.equal(await files.read(path), 'as a form')
		const headers = { 'Content-Type': 'application/octet-stream' }
		await assertUploaded(url, { method: 'POST', headers, body: 'as it is' }, [path])
		assert.equal(await files.read(path), 'as it is')
	}
}))

test('js_upload_url_without_a_path_takes_the_names_of_its_parts', inFolder(async (folder) => {
	const request = form('one', `${folder}/a`)
	request.body.append('file', new Blob(['two']), `${folder}/new/b`)
	request.body.append('other', 'is left out')
	await assertUploaded(await sandbox.uploadUrl(), request, [`${folder}/a`, `${folder}/new/b`])
	assert.equal(await out(`cd ${folder}; cat a new/b; find . -type f | wc -l`), 'onetwo2\n')
}))

test('js_urls_are_those_of_their_user', async () => {
	const name = `file-${process.pid}`
	await assertUploaded(await sandbox.uploadUrl(name, { user: 'root' }), form(TEXT, name), [`/root/${name}`])
	assert.equal(await answer(await sandbox.downloadUrl(name, { user: 'root' })), TEXT)
	assert.equal(await out(`stat -c %U /root/${name}; rm /root/${name}`, { user: 'root' }), 'root\n')
	const refused = await answer(await sandbox.downloadUrl(name, { user: 'nobody-here' }))
	assert.match(refused, /^401 .*unknown user nobody-here/)
})

test('js_download_url_tells_name_type_and_size', inFolder(async (folder) => {
	for (const [name, disposition, type] of [
		['plain.txt', 'inline; filename=plain.txt', 'text/plain; charset=utf-8'],
		['a b.json', 'inline; filename="a b.json"', 'application/json'],
		['wörld.PNG', `inline; filename*=utf-8''w%C3%B6rld.PNG`, 'image/png'],
	]) {
		await files.write(`${folder}/${name}`, TEXT)
		const headers = { 'Accept-Encoding': 'identity' }
		const response = await fetch(await sandbox.downloadUrl(`${folder}/${name}`), { headers })
		assert.equal(response.headers.get('Content-Disposition'), disposition)
		assert.equal(response.headers.get('Content-Type'), type)
		assert.equal(response.headers.get('Content-Length'), String(Buffer.byteLength(TEXT)))
		assert.equal(await response.text(), TEXT)
	}
}))

test('js_download_url_gives_ranges_and_nothing_that_is_known', inFolder(async (folder) => {
	await files.write(`${folder}/f`, '0123456789')
	const url = await sandbox.downloadUrl(`${folder}/f`)
	for (const [range, status, content, text] of [
		['bytes=2-4', 206, 'bytes 2-4/10', '234'],
		['bytes=7-', 206, 'bytes 7-9/10', '789'],
		['bytes=-3', 206, 'bytes 7-9/10', '789'],
		['bytes=10-', 416, 'bytes */10', undefined],
	]) {
		const response = await fetch(url, { headers: { Range: range } })
		assert.deepEqual([response.status, response.headers.get('Content-Range')], [status, content])
		const body = await response.text()
		assert.ok(text === undefined || body === text, body)
	}
	const modified = (await fetch(url, { headers: { Range: 'bytes=0-0' } })).headers.get('Last-Modified')
	const known = await fetch(url, { headers: { 'If-Modified-Since': modified } })
	assert.deepEqual([known.status, await known.text()], [304, ''])
}))

test('js_urls_of_an_open_sandbox_cannot_expire', async () => {
	for (const url of [sandbox.downloadUrl, sandbox.uploadUrl])
		await rejection(url.call(sandbox, 'f', { useSignatureExpiration: SECONDS }), InvalidArgumentError)
})

test('js_secured_files_open_to_the_token_only', inSecuredFolder(async (folder) => {
	const path = `${folder}/f`
	const calls = [
		({ files }) => files.write(path, TEXT),
		({ files }) => files.write(path, TEXT, { gzip: true }),
		({ files }) => files.read(path),
		({ files }) => files.read(path, { format: 'stream' }).then((stream) => stream.cancel()),
		({ files }) => files.exists(path),
		({ files }) => files.getInfo(path),
		({ files }) => files.list(folder),
		({ files }) => files.makeDir(`${folder}/d`),
		({ files }) => files.rename(path, `${folder}/g`),
		({ files }) => files.watchDir(folder, () => {}).then((handle) => handle.stop()),
		({ files }) => files.remove(`${folder}/g`),
	]
	for (const call of calls) {
		for (const other of [stranger, secured('another')])
			await rejection(call(other), AuthenticationError)
		await call(owner)
	}
}))

test('js_signed_urls_open_their_file_to_a_stranger', inSecuredFolder(async (folder) => {
	for (const options of [{}, { useSignatureExpiration: SECONDS }, { user: 'user' },
		{ user: 'root', useSignatureExpiration: SECONDS }])
		for (const name of NAMES) {
			const path = `${folder}/${name}`
			await assertUploaded(await owner.uploadUrl(path, options), form(TEXT, name), [path])
			assert.equal(await answer(await owner.downloadUrl(path, options)), TEXT)
		}
}))

test('js_signed_upload_url_without_a_path_takes_the_names_of_its_parts', inSecuredFolder(async (folder) => {
	await assertUploaded(await owner.uploadUrl(), form(TEXT, `${folder}/f`), [`${folder}/f`])
	assert.equal(await owner.files.read(`${folder}/f`), TEXT)
}))

test('js_url_without_a_signature_opens_nothing', inSecuredFolder(async (folder) => {
	const refused = '401 missing signature query parameter'
	assert.equal(await answer(await stranger.downloadUrl(`${folder}/f`)), refused)
	assert.equal(await answer(await stranger.uploadUrl(`${folder}/f`), form(TEXT, 'f')), refused)
	assert.equal(await owner.files.exists(`${folder}/f`), false)
}))

test('js_signature_is_good_for_its_path_user_operation_and_time_only', inSecuredFolder(async (folder) => {
	const path = `${folder}/f`
	const options = { useSignatureExpiration: SECONDS }
	await owner.files.write(path, TEXT)
	const download = await owner.downloadUrl(path, options)
	const changed = (name, value) => {
		const url = new URL(download)
		url.searchParams.set(name, value)
		return url
	}
	for (const url of [changed('path', '/etc/passwd'), changed('path', `${folder}//f`), changed('username', 'root'),
		changed('signature', 'v1_'), changed('signature_expiration', '9999999999'), await owner.uploadUrl(path, options),
		await secured('another').downloadUrl(path)])
		assert.equal(await answer(url), '401 invalid signature')
	assert.equal(await answer(download, form('changed', 'f')), '401 invalid signature')
	assert.equal(await owner.files.read(path), TEXT)
}))

test('js_signed_urls_expire', inSecuredFolder(async (folder) => {
	const path = `${folder}/f`
	await owner.files.write(path, TEXT)
	const options = { useSignatureExpiration: -SECONDS }
	const refused = '401 signature is already expired'
	assert.equal(await answer(await owner.downloadUrl(path, options)), refused)
	assert.equal(await answer(await owner.uploadUrl(path, options), form('changed', 'f')), refused)
	assert.equal(await owner.files.read(path), TEXT)
}))

await run(assertNothingIsLeft)
