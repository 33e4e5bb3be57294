import { Sandbox } from 'e2b'
const sandbox = await Sandbox.create()

// A command in the background: its output comes as it is written.
const count = await sandbox.commands.run('for n in 1 2 3; do echo $n; sleep 0.2; done', {
	background: true,
	onStdout: (text) => process.stdout.write(text),
})
console.log(`counting as process ${count.pid}`)
await count.wait()

// A terminal with a shell in it.
const terminal = await sandbox.pty.create({
	cols: 80,
	rows: 24,
	onData: (data) => process.stdout.write(data),
})
await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('stty size; exit\n'))
await terminal.wait()
