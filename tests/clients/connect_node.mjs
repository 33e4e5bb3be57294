// @connectrpc/connect-node: Connect, gRPC-Web and gRPC over HTTP/1.1 and cleartext HTTP/2, with both codecs,
// against the conformance service and the process service of the daemon.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf'
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt'
import { Code, ConnectError, createClient } from '@connectrpc/connect'
import {
	compressionGzip, createConnectTransport, createGrpcTransport, createGrpcWebTransport,
} from '@connectrpc/connect-node'
import { run, test } from './report.mjs'

function types(file) {
	return createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(new URL(file, import.meta.url))))
}

const conformanceTypes = types('conformance.binpb')
const Conformance = conformanceTypes.getService('connectrpc.conformance.v1.ConformanceService')
const Process = types('process.binpb').getService('process.Process')
const bytes = (text) => new TextEncoder().encode(text)
const text = (data) => new TextDecoder().decode(data)

async function rejection(promise, code) {
	try {
		await promise
	} catch (error) {
		assert.ok(error instanceof ConnectError, error?.stack)
		assert.equal(Code[error.code], Code[code], error.message)
		return error
	}
	assert.fail(`${Code[code]} expected`)
}

async function collect(stream) {
	const messages = []
	for await (const message of stream)
		messages.push(message)
	return messages
}

function conformanceTests(name, transport, { duplex, get }) {
	const client = createClient(Conformance, transport)

	test(`${name}_unary_carries_data_headers_and_trailers`, async () => {
		const fields = [{ name: 'x-ours', value: ['a', 'b'] }]
		let header, trailer
		const answer = await client.unary({
			requestData: bytes('asked'),
			responseDefinition: {
				response: { case: 'responseData', value: bytes('answered') },
				responseHeaders: fields, responseTrailers: fields,
			},
		}, { headers: { 'x-theirs': '1' }, onHeader: (h) => { header = h }, onTrailer: (t) => { trailer = t } })
		assert.equal(text(answer.payload.data), 'answered')
		assert.equal(header.get('x-ours'), 'a, b')
		assert.equal(trailer.get('x-ours'), 'a, b')
		assert.ok(answer.payload.requestInfo.requestHeaders.some((h) => h.name.toLowerCase() === 'x-theirs'))
	})

	test(`${name}_unary_error_has_code_text_and_details`, async () => {
		const error = await rejection(client.unary({
			requestData: bytes('asked'),
			responseDefinition: { response: { case: 'error', value: { code: Code.FailedPrecondition, message: 'nicht möglich: 100 %' } } },
		}), Code.FailedPrecondition)
		assert.equal(error.rawMessage, 'nicht möglich: 100 %')
		assert.equal(error.details.length, 1)
		assert.equal(error.details[0].type, 'connectrpc.conformance.v1.ConformancePayload.RequestInfo')
	})

	test(`${name}_unimplemented_method_says_so`, async () => {
		await rejection(client.unimplemented({}), Code.Unimplemented)
	})

	test(`${name}_deadline_ends_the_call`, async () => {
		await rejection(client.unary({
			responseDefinition: { responseDelayMs: 10_000, response: { case: 'responseData', value: bytes('late') } },
		}, { timeoutMs: 200 }), Code.DeadlineExceeded)
	})

	test(`${name}_message_over_the_limit_is_refused`, async () => {
		await rejection(client.unary({ requestData: new Uint8Array(2 * process.env.RECEIVE_LIMIT) }), Code.ResourceExhausted)
	})

	test(`${name}_server_stream_delivers_all_then_the_error`, async () => {
		const got = []
		const drain = async () => {
			for await (const { payload } of client.serverStream({
				responseDefinition: {
					responseData: ['1', '2', '3'].map(bytes), error: { code: Code.ResourceExhausted, message: 'enough' },
				},
			}))
				got.push(text(payload.data))
		}
		await rejection(drain(), Code.ResourceExhausted)
		assert.deepEqual(got, ['1', '2', '3'])
	})

	test(`${name}_client_stream_is_answered_once`, async () => {
		const answer = await client.clientStream(async function* () {
			yield { requestData: bytes('0'), responseDefinition: { response: { case: 'responseData', value: bytes('all') } } }
			for (let n = 1; n < 5; n++)
				yield { requestData: bytes(String(n)) }
		}())
		assert.equal(text(answer.payload.data), 'all')
		assert.equal(answer.payload.requestInfo.requests.length, 5)
	})

	if (duplex) {
		test(`${name}_full_duplex_stream_answers_each_message_as_it_comes`, async () => {
			let answered = Promise.withResolvers()
			const stream = client.bidiStream(async function* () {
				yield { fullDuplex: true, responseDefinition: { responseData: ['one', 'two'].map(bytes) } }
				await answered.promise
				yield { requestData: bytes('second') }
			}())
			const got = []
			for await (const { payload } of stream) {
				got.push(text(payload.data))
				answered.resolve()
			}
			assert.deepEqual(got, ['one', 'two'])
		})
	}

	if (get) {
		test(`${name}_call_without_side_effects_goes_as_get`, async () => {
			const answer = await client.idempotentUnary({
				requestData: bytes('asked'),
				responseDefinition: { response: { case: 'responseData', value: bytes('answered') } },
			})
			assert.equal(text(answer.payload.data), 'answered')
			const names = answer.payload.requestInfo.connectGetInfo.queryParams.map((parameter) => parameter.name)
			assert.ok(names.includes('message'), `query: ${names}`)
		})
	}
}

function processTests(name, transport) {
	const client = createClient(Process, transport)
	const start = (script, options) => client.start({ process: { cmd: '/bin/sh', args: ['-c', script] }, stdin: false }, options)
	const output = (events, kind) => text(Buffer.concat(events.map(({ event }) => event.event)
		.filter((event) => event.case === 'data' && event.value.output.case === kind)
		.map((event) => event.value.output.value)))

	test(`${name}_start_runs_a_command`, async () => {
		const events = await collect(start('echo out; echo err >&2; exit 3'))
		assert.equal(events[0].event.event.case, 'start')
		assert.equal(output(events, 'stdout'), 'out\n')
		assert.equal(output(events, 'stderr'), 'err\n')
		const end = events.at(-1).event.event
		assert.equal(end.case, 'end')
		assert.equal(end.value.exitCode, 3)
	})

	test(`${name}_large_output_arrives_whole`, async () => {
		const expected = Array.from({ length: 200000 }, (_, i) => `${i + 1}\n`).join('')
		assert.ok(output(await collect(start('seq 1 200000')), 'stdout') === expected)
	})

	test(`${name}_list_and_signal_know_the_command`, async () => {
		const events = start('exec sleep 1000')[Symbol.asyncIterator]()
		const { pid } = (await events.next()).value.event.event.value
		const selector = { selector: { case: 'pid', value: pid } }
		assert.ok((await client.list({})).processes.some((process) => process.pid === pid))
		await client.sendSignal({ process: selector, signal: 9 })
		const end = (await events.next()).value.event.event
		assert.equal(end.value.status, 'signal: killed')
		assert.equal((await events.next()).done, true)
		await rejection(client.sendSignal({ process: selector, signal: 9 }), Code.NotFound)
	})

	test(`${name}_abandoned_stream_leaves_the_command_and_the_connection`, async () => {
		const stop = new AbortController()
		const events = start('exec sleep 1000', { signal: stop.signal })[Symbol.asyncIterator]()
		const { pid } = (await events.next()).value.event.event.value
		stop.abort()
		await rejection(events.next(), Code.Canceled)
		assert.ok((await client.list({})).processes.some((process) => process.pid === pid))
		await client.sendSignal({ process: { selector: { case: 'pid', value: pid } }, signal: 9 })
	})

	test(`${name}_missing_folder_is_an_invalid_argument`, async () => {
		await rejection(collect(client.start({ process: { cmd: 'pwd', cwd: '/no/such/folder' } })), Code.InvalidArgument)
	})
}

const kinds = {
	connect: { create: createConnectTransport, versions: ['1.1', '2'] },
	grpc_web: { create: createGrpcWebTransport, versions: ['1.1', '2'] },
	grpc: { create: createGrpcTransport, versions: ['2'] },
}

for (const [kind, { create, versions }] of Object.entries(kinds)) {
	for (const httpVersion of versions) {
		for (const useBinaryFormat of [false, true]) {
			const name = `connect_node_${kind}_http${httpVersion.replace('.', '_')}_${useBinaryFormat ? 'proto' : 'json'}`
			const options = { httpVersion, useBinaryFormat, useHttpGet: kind === 'connect' }
			const cases = { duplex: httpVersion === '2', get: kind === 'connect' }
			const jsonOptions = { registry: conformanceTypes } // for what is inside of google.protobuf.Any
			const conformance = (more) => create({ ...options, ...more, jsonOptions, baseUrl: process.env.CONFORMANCE_URL })
			conformanceTests(name, conformance(), cases)
			conformanceTests(`${name}_gzip`, conformance({
				sendCompression: compressionGzip, acceptCompression: [compressionGzip], compressMinBytes: 0,
			}), { ...cases, get: false })
			processTests(name, create({ ...options, baseUrl: process.env.ENVD_URL }))
		}
	}
}

await run()
