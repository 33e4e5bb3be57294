// The git module of the newest npm e2b, which runs git with commands.run in the sandbox.
import assert from 'node:assert/strict'
import { CommandExitError, GitAuthError, GitUpstreamError, InvalidArgumentError } from 'e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, git, inFolder as inAnyFolder, Printed, rejection } from './sandbox.mjs'

const HOME = '/home/user'
const USER = { authorName: 'A. Tester', authorEmail: 'tester@example.com' }
const CREDENTIALS = { username: 'somebody', password: 'p@ss/word' }

// A git server over HTTP that wants CREDENTIALS and serves the bare repositories below a folder.
const SERVER = `
import base64, http.server, os, subprocess, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        wanted = 'Basic ' + base64.b64encode(sys.argv[2].encode()).decode()
        if self.headers.get('Authorization') != wanted:
            self.send_response(401)
            self.send_header('WWW-Authenticate', 'Basic realm="git"')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        path, _, query = self.path.partition('?')
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        env = {**os.environ, 'GIT_PROJECT_ROOT': sys.argv[1], 'GIT_HTTP_EXPORT_ALL': '1', 'PATH_INFO': path,
               'QUERY_STRING': query, 'REQUEST_METHOD': self.command, 'REMOTE_USER': 'somebody',
               'CONTENT_TYPE': self.headers.get('Content-Type') or '', 'CONTENT_LENGTH': str(len(body)),
               'HTTP_CONTENT_ENCODING': self.headers.get('Content-Encoding') or ''}
        done = subprocess.run(['git', 'http-backend'], input=body, env=env, stdout=subprocess.PIPE, check=True)
        head, _, content = done.stdout.partition(b'\\r\\n\\r\\n')
        fields = dict(line.split(': ', 1) for line in head.decode().split('\\r\\n'))
        self.send_response(int(fields.pop('Status', '200 OK').split()[0]))
        for name, text in {**fields, 'Content-Length': str(len(content))}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print('port', server.server_port, flush=True)
server.serve_forever()
`

const inFolder = (body) => inAnyFolder(body, `${HOME}/.gitconfig`, `${HOME}/.git-credentials`)

// A repository with one commit of the file `a` on the branch main.
async function makeRepository(path) {
	await git.init(path, { initialBranch: 'main' })
	await git.configureUser(USER.authorName, USER.authorEmail, { scope: 'local', path })
	await commit(path, 'a', 'first')
}

async function commit(path, file, text) {
	await commands.run(`printf '%s\\n' '${text}' >${path}/${file}`)
	await git.add(path)
	await git.commit(path, text)
}

const log = async (path, ref = 'HEAD') => (await commands.run(`git -C ${path} log --format=%s ${ref}`)).stdout

// Runs a body with the address of a bare repository on an HTTP server that asks for a password.
async function withServer(folder, body) {
	await makeRepository(`${folder}/seed`)
	await commands.run(`git clone -q --bare ${folder}/seed ${folder}/served.git &&
		git -C ${folder}/served.git config http.receivepack true`)
	const printed = new Printed()
	const { username, password } = CREDENTIALS
	const server = await commands.run('exec python3 -c "$SERVER" "$ROOT" "$USERPASS"', {
		background: true, onStdout: printed.take, timeoutMs: 0,
		envs: { SERVER, ROOT: folder, USERPASS: `${username}:${password}` },
	})
	try {
		const port = (await printed.until(/port (\d+)\n/))[1]
		await body(`http://127.0.0.1:${port}/served.git`, folder)
	} finally {
		await server.kill()
		await rejection(server.wait(), CommandExitError)
	}
}

const onServer = (body) => inFolder((folder) => withServer(folder, body))

test('js_git_init_makes_a_repository_with_its_branch', inFolder(async (folder) => {
	const result = await git.init(`${folder}/r`, { initialBranch: 'trunk' })
	assert.match(result.stdout, /^Initialized empty Git repository in /)
	const status = await git.status(`${folder}/r`)
	assert.deepEqual([status.currentBranch, status.isClean, status.detached], ['trunk', true, false])
	await git.init(`${folder}/b.git`, { bare: true })
	assert.equal((await commands.run(`git -C ${folder}/b.git config core.bare`)).stdout, 'true\n')
}))

test('js_git_status_tells_each_kind_of_change', inFolder(async (folder) => {
	await makeRepository(folder)
	for (const file of ['removed', 'renamed'])
		await commit(folder, file, `${file} later`)
	await commands.run(`cd ${folder} && echo more >>a && git rm -q removed && git mv renamed 'new name' && echo x >added &&
		git add added && echo y >untracked`)
	const status = await git.status(folder)
	const changes = status.fileStatus.map(({ name, status, staged, renamedFrom }) => [name, status, staged, renamedFrom])
	assert.deepEqual(changes.sort(), [
		['"new name"', 'renamed', true, 'renamed'],
		['a', 'modified', false, undefined],
		['added', 'added', true, undefined],
		['removed', 'deleted', true, undefined],
		['untracked', 'untracked', false, undefined],
	])
	assert.deepEqual([status.totalCount, status.stagedCount, status.untrackedCount, status.isClean], [5, 3, 1, false])
}))

test('js_git_commit_has_its_author_and_message', inFolder(async (folder) => {
	await git.init(folder)
	await commands.run(`echo x >${folder}/x`)
	await git.add(folder, { files: ['x'] })
	await git.commit(folder, `it's "quoted" $HOME\n\nbody`, USER)
	await git.commit(folder, 'empty', { ...USER, allowEmpty: true })
	assert.equal((await commands.run(`git -C ${folder} log --format='%an <%ae> %s|%b'`)).stdout,
		`A. Tester <tester@example.com> empty|\nA. Tester <tester@example.com> it's "quoted" $HOME|body\n\n`)
}))

test('js_git_commit_of_nothing_throws_exit_code_1', inFolder(async (folder) => {
	await makeRepository(folder)
	const error = await rejection(git.commit(folder, 'nothing'), CommandExitError)
	assert.equal(error.exitCode, 1)
	assert.match(error.stdout, /nothing to commit/)
}))

test('js_git_branches_are_made_listed_changed_and_deleted', inFolder(async (folder) => {
	await makeRepository(folder)
	await git.createBranch(folder, 'feature/x')
	assert.deepEqual(await git.branches(folder), { branches: ['feature/x', 'main'], currentBranch: 'feature/x' })
	await commit(folder, 'b', 'on the branch')
	await git.checkoutBranch(folder, 'main')
	const error = await rejection(git.deleteBranch(folder, 'feature/x'), CommandExitError)
	assert.match(error.stderr, /not fully merged/)
	await git.deleteBranch(folder, 'feature/x', { force: true })
	assert.deepEqual(await git.branches(folder), { branches: ['main'], currentBranch: 'main' })
	await rejection(git.checkoutBranch(folder, 'feature/x'), CommandExitError)
}))

test('js_git_reset_and_restore_take_changes_back', inFolder(async (folder) => {
	await makeRepository(folder)
	await commit(folder, 'a', 'second')
	await commands.run(`echo changed >${folder}/a`)
	await git.add(folder, { all: false })
	await git.restore(folder, { paths: ['a'], staged: true })
	assert.equal((await git.status(folder)).stagedCount, 0)
	await git.restore(folder, { paths: ['.'] })
	assert.equal((await git.status(folder)).isClean, true)
	await git.reset(folder, { mode: 'hard', target: 'HEAD~1' })
	assert.equal(await log(folder), 'first\n')
	await rejection(git.reset(folder, { mode: 'wrong' }), InvalidArgumentError)
	await rejection(git.restore(folder, { paths: [] }), InvalidArgumentError)
}))

test('js_git_remotes_are_added_told_and_overwritten', inFolder(async (folder) => {
	await makeRepository(`${folder}/one`)
	await makeRepository(`${folder}/two`)
	assert.equal(await git.remoteGet(`${folder}/one`, 'origin'), undefined)
	await git.remoteAdd(`${folder}/one`, 'origin', `${folder}/nowhere`)
	await rejection(git.remoteAdd(`${folder}/one`, 'origin', `${folder}/two`), CommandExitError)
	await git.remoteAdd(`${folder}/one`, 'origin', `${folder}/two`, { overwrite: true, fetch: true })
	assert.equal(await git.remoteGet(`${folder}/one`, 'origin'), `${folder}/two`)
	assert.equal(await log(`${folder}/one`, 'origin/main'), 'first\n')
}))

test('js_git_clone_push_and_pull_move_commits', inFolder(async (folder) => {
	await makeRepository(`${folder}/seed`)
	await git.clone(`${folder}/seed`, { path: `${folder}/server.git` })
	await commands.run(`git -C ${folder}/server.git checkout -q --detach`)
	await git.clone(`${folder}/server.git`, { path: `${folder}/one`, branch: 'main' })
	await git.clone(`file://${folder}/server.git`, { path: `${folder}/two`, branch: 'main', depth: 1 })
	await git.configureUser(USER.authorName, USER.authorEmail, { scope: 'local', path: `${folder}/one` })
	await commit(`${folder}/one`, 'b', 'second')
	const { upstream, ahead, behind } = await git.status(`${folder}/one`)
	assert.deepEqual([upstream, ahead, behind], ['origin/main', 1, 0])
	await git.push(`${folder}/one`)
	await git.pull(`${folder}/two`)
	assert.equal(await log(`${folder}/two`), 'second\nfirst\n')
}))

test('js_git_without_upstream_is_told_so', inFolder(async (folder) => {
	await makeRepository(folder)
	await rejection(git.pull(folder), GitUpstreamError)
	await git.init(`${folder}/server.git`, { bare: true })
	await git.remoteAdd(folder, 'origin', `${folder}/server.git`)
	await rejection(git.push(folder, { setUpstream: false }), GitUpstreamError)
	await git.push(folder, { remote: 'origin', branch: 'main' })
	assert.equal((await git.status(folder)).upstream, 'origin/main')
}))

test('js_git_over_http_uses_credentials_and_does_not_keep_them', onServer(async (url, folder) => {
	const path = `${folder}/clone`
	await git.clone(url, { path, ...CREDENTIALS })
	assert.equal(await git.remoteGet(path, 'origin'), url)
	await git.configureUser(USER.authorName, USER.authorEmail, { scope: 'local', path })
	await commit(path, 'b', 'over http')
	await git.push(path, CREDENTIALS)
	assert.equal(await log(`${folder}/served.git`, 'main'), 'over http\nfirst\n')
	await git.pull(path, { ...CREDENTIALS, branch: 'main' })
	assert.equal(await git.remoteGet(path, 'origin'), url)
	assert.equal((await commands.run(`grep -rc somebody ${path}/.git/config || true`)).stdout, '0\n')
}))

test('js_git_over_http_without_credentials_is_an_authentication_error', onServer(async (url, folder) => {
	await rejection(git.clone(url, { path: `${folder}/none` }), GitAuthError)
	await rejection(git.clone(url, { path: `${folder}/none`, username: 'somebody', password: 'wrong' }), GitAuthError)
	await git.remoteAdd(`${folder}/seed`, 'origin', url)
	await rejection(git.push(`${folder}/seed`, { remote: 'origin', branch: 'main' }), GitAuthError)
	await rejection(git.pull(`${folder}/seed`, { remote: 'origin', branch: 'main' }), GitAuthError)
	await rejection(git.clone(url, { password: 'without a name' }), InvalidArgumentError)
}))

test('js_git_credential_store_serves_later_calls', onServer(async (url, folder) => {
	await git.dangerouslyAuthenticate({ ...CREDENTIALS, host: new URL(url).host, protocol: 'http' })
	await git.clone(url, { path: `${folder}/clone` })
	assert.equal(await log(`${folder}/clone`), 'first\n')
}))

test('js_git_config_is_set_and_told_in_each_scope', inFolder(async (folder) => {
	await git.init(folder)
	assert.equal(await git.getConfig('user.name'), undefined)
	await git.configureUser('Global "Name"', 'global@example.com')
	await git.setConfig('user.name', 'Local', { scope: 'local', path: folder })
	await git.setConfig('pull.rebase', 'false', { scope: 'system', user: 'root' })
	assert.equal(await git.getConfig('user.name'), 'Global "Name"')
	assert.equal(await git.getConfig('user.email'), 'global@example.com')
	assert.equal(await git.getConfig('user.name', { scope: 'local', path: folder }), 'Local')
	assert.equal(await git.getConfig('pull.rebase', { scope: 'system' }), 'false')
	await rejection(git.setConfig('user.name', 'x', { scope: 'local' }), InvalidArgumentError)
	await commands.run('rm /etc/gitconfig', { user: 'root' })
}))

test('js_git_runs_as_the_user_in_the_folder_and_with_the_environment_asked_for', inFolder(async (folder) => {
	await git.init('r', { cwd: folder, user: 'root', envs: { GIT_TEMPLATE_DIR: '' } })
	assert.equal((await commands.run(`stat -c %U ${folder}/r`)).stdout, 'root\n')
	const error = await rejection(git.status(`${folder}/r`), CommandExitError)
	assert.match(error.stderr, /dubious ownership/)
	await commands.run(`rm -rf ${folder}/r`, { user: 'root' })
}))

await run(assertNothingIsLeft)
