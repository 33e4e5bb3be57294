from e2b import PtySize, Sandbox
sandbox = Sandbox.create()

# A command in the background: its output comes as it is written.
count = sandbox.commands.run("for n in 1 2 3; do echo $n; sleep 0.2; done", background=True)
print("counting as process", count.pid)
count.wait(on_stdout=lambda text: print(text, end=""))

# A terminal with a shell in it.
terminal = sandbox.pty.create(PtySize(rows=24, cols=80))
sandbox.pty.send_stdin(terminal.pid, b"stty size; exit\n")
terminal.wait(on_pty=lambda data: print(data.decode(), end=""))
