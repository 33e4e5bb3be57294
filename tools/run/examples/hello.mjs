import { Sandbox } from 'e2b'
const sandbox = await Sandbox.create()
console.log((await sandbox.commands.run('echo "hello from $(whoami)"')).stdout)
