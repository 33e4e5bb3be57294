from e2b import Sandbox
sandbox = Sandbox.create()
print(sandbox.commands.run('echo "hello from $(whoami)"').stdout)
