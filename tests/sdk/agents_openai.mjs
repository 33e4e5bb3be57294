// @openai/agents-extensions, unmodified: its E2B sandbox sessions, and an agent whose model follows a script.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { Runner, setTracingDisabled } from '@openai/agents'
import { dir, file, filesystem, localDir, Manifest, SandboxAgent, shell } from '@openai/agents/sandbox'
import { assistantMessage, functionCall, ScriptedModel } from '@openai/agents/testing'
import { E2BSandboxClient } from '@openai/agents-extensions/sandbox/e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, inFolder, out } from './sandbox.mjs'

const TEXT = 'wörld €😀\nsecond line\n'
const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte)
const ONE_PIXEL = Buffer.from(
	'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=', 'base64')

const client = new E2BSandboxClient()
setTracingDisabled(true)

// A test's body with a session whose workspace is a folder of its own.
const inSession = (body, manifest = {}) => inFolder(async (folder) => {
	const session = await client.create(new Manifest({ root: folder, ...manifest }))
	try {
		await body(session, folder)
	} finally {
		await session.close()
	}
})

// What a command prints and how it ends, of the text that tells it to a model.
async function exec(session, cmd, options) {
	const told = await session.execCommand({ cmd, ...options })
	const [, exitCode, output] = told.match(/exited with code (-?\d+)[^]*?\nOutput:\n([^]*)$/)
	return { exitCode: Number(exitCode), output }
}

test('js_agents_session_makes_its_workspace_below_the_root', async () => {
	const session = await client.create()
	assert.equal(await session.running(), true)
	assert.deepEqual(await exec(session, 'pwd; id -un'), { exitCode: 0, output: '/workspace\nuser\n' })
	await session.close()
	await commands.run('rm -rf /workspace', { user: 'root' })
})

test('js_agents_session_makes_what_its_manifest_names', async () => {
	const local = await mkdtemp(`${tmpdir()}/agents-`)
	const before = process.cwd()
	process.chdir(local) // what is sent must be below the current folder
	await mkdir('project')
	await writeFile('project/bytes', ALL_BYTES)
	await inSession(async (session, folder) => {
		assert.equal(await out(`cd ${folder}; find . -type f | sort; cat text; stat -c %U folder/inner`),
			`./empty\n./folder/wörld €😀\n./local/bytes\n./text\n${TEXT}user\n`)
		for (const path of ['folder/wörld €😀', 'local/bytes'])
			assert.deepEqual(await session.readFile({ path }), ALL_BYTES)
		assert.equal((await exec(session, 'echo $WHO')).output, 'wörld\n')
	}, {
		entries: {
			text: file({ content: TEXT }), empty: file({ content: '' }), local: localDir({ src: 'project' }),
			folder: dir({ children: { 'wörld €😀': file({ content: ALL_BYTES }), inner: dir() } }),
		},
		environment: { WHO: 'wörld' },
	})()
	process.chdir(before)
	await rm(local, { recursive: true })
})

test('js_agents_exec_gives_output_and_exit_code', inSession(async (session, folder) => {
	assert.deepEqual(await exec(session, 'pwd; exit 3'), { exitCode: 3, output: `${folder}\n` })
	assert.match((await exec(session, 'echo out; echo err >&2')).output, /^out\n+err\n$/)
	assert.equal((await exec(session, 'id -un', { runAs: 'root' })).output, 'root\n')
	assert.equal((await exec(session, 'pwd', { workdir: '.' })).output, `${folder}\n`)
}))

test('js_agents_editor_changes_files', inSession(async (session, folder) => {
	const editor = session.createEditor()
	await editor.createFile({ type: 'create_file', path: 'new/f', diff: '+one\n+wörld €😀\n+three\n' })
	await assert.rejects(editor.createFile({ type: 'create_file', path: 'new/f', diff: '+x\n' }), /already exists/)
	await editor.updateFile({ type: 'update_file', path: 'new/f', diff: '@@\n one\n-wörld €😀\n+two\n three\n' })
	assert.equal(await out(`cat ${folder}/new/f; stat -c ' %U' ${folder}/new/f`), 'one\ntwo\nthree user\n')
	await editor.updateFile({ type: 'update_file', path: 'new/f', diff: '@@\n-one\n two\n three\n', moveTo: 'moved' })
	assert.equal(await out(`cd ${folder}; cat moved; find . -type f`), 'two\nthree./moved\n')
	await editor.deleteFile({ type: 'delete_file', path: 'moved' })
	assert.equal(await session.pathExists('moved'), false)
	await assert.rejects(editor.updateFile({ type: 'update_file', path: 'none', diff: '@@\n-a\n+b\n' }))
}))

test('js_agents_files_are_read', inSession(async (session, folder) => {
	await commands.run(`cd ${folder}; mkdir d; touch empty
		python3 -c "open('large', 'wb').write(bytes(range(256)) * 20000)"`)
	assert.equal((await session.readFile({ path: 'large' })).length, 5_120_000)
	assert.deepEqual(await session.readFile({ path: 'large', maxBytes: 256 }), ALL_BYTES)
	assert.equal((await session.readFile({ path: 'empty' })).length, 0)
	await assert.rejects(session.readFile({ path: 'none' }), /does not exist|not found/)
	await assert.rejects(session.readFile({ path: '../f' }))
	assert.deepEqual([await session.directoryExists('d'), await session.directoryExists('large')], [true, false])
}))

test('js_agents_images_are_viewed', inSession(async (session) => {
	assert.match(JSON.stringify(await session.viewImage({ path: 'a.png' })), /image/)
}, { entries: { 'a.png': file({ content: Uint8Array.from(ONE_PIXEL) }) } }))

test('js_agents_terminal_takes_input_and_ends', inSession(async (session) => {
	const started = await session.execCommand({ cmd: 'stty -echo; echo $((6 * 7)); cat', tty: true, yieldTimeMs: 1000 })
	assert.match(started, /^42\r?$/m)
	const sessionId = Number(started.match(/session ID (\d+)/)[1])
	assert.match(await session.writeStdin({ sessionId, chars: 'wörld\n', yieldTimeMs: 1000 }), /^wörld\r?$/m)
	await session.writeStdin({ sessionId, chars: '\x03', yieldTimeMs: 500 })
	assert.match(await session.writeStdin({ sessionId, chars: 'exit 3\n', yieldTimeMs: 5000 }), /exited with code 3/)
}))

test('js_agents_workspace_goes_from_one_session_to_another', inSession(async (session, folder) => {
	await commands.run(`cd ${folder}; mkdir deep; echo content >deep/f; chmod 750 deep/f`)
	const archive = await session.persistWorkspace()
	await commands.run(`cd ${folder}; rm -r deep; touch other`)
	await session.hydrateWorkspace(archive)
	assert.equal(await out(`cd ${folder}; cat deep/f; stat -c %a deep/f`), 'content\n750\n')
}))

test('js_agents_session_is_resumed_from_its_state', inSession(async (session, folder) => {
	await commands.run(`echo content >${folder}/f`)
	const state = JSON.parse(JSON.stringify(await client.serializeSessionState(session.state)))
	const resumed = await client.resume(await client.deserializeSessionState(state))
	assert.equal(new TextDecoder().decode(await resumed.readFile({ path: 'f' })), 'content\n')
}))

test('js_agents_agent_works_in_the_sandbox', inFolder(async (folder) => {
	const patch = (callId, operation) => ({ type: 'apply_patch_call', callId, status: 'completed', operation })
	const model = new ScriptedModel([
		[patch('1', { type: 'create_file', path: 'hello.py', diff: `+print('hello')\n` })],
		[patch('2', { type: 'update_file', path: 'hello.py', diff: `@@\n-print('hello')\n+print('hello world')\n` })],
		[functionCall('exec_command', { cmd: 'python3 hello.py; exit 7' }, { callId: '3' })],
		[assistantMessage('done')],
	])
	const agent = new SandboxAgent({ name: 'tester', model, capabilities: [shell(), filesystem()] })
	const result = await new Runner({ sandbox: { client, manifest: new Manifest({ root: folder }) } }).run(agent, 'go')
	assert.equal(result.finalOutput, 'done')
	const answer = JSON.stringify(model.lastCall.request.input.at(-1))
	assert.match(answer, /hello world/)
	assert.match(answer, /exited with code 7/)
}))

await run(assertNothingIsLeft)
