// Entries of folders with the newest npm e2b: information, lists, new folders, renames and removals.
import assert from 'node:assert/strict'
import { AuthenticationError, FileNotFoundError, InvalidArgumentError, SandboxError } from 'e2b'
import { run, test } from './report.mjs'
import { assertNothingIsLeft, commands, files, inFolder, out, rejection } from './sandbox.mjs'

const namesOf = (entries) => entries.map(({ name }) => name)

// Paths below a folder, and what they are.
const typesOf = (folder, entries) => entries.map(({ path, type }) => `${path.slice(folder.length + 1)} ${type}`)

test('js_info_tells_all_of_a_file', inFolder(async (folder) => {
	const path = `${folder}/f`
	await commands.run(`cd ${folder}; printf 12345 >f; chmod 640 f; touch -d '2001-02-03 04:05:06.789 UTC' f`)
	assert.deepEqual(await files.getInfo(path), {
		name: 'f', type: 'file', path, size: 5, mode: 0o640, permissions: '-rw-r-----', owner: 'user', group: 'user',
		modifiedTime: new Date('2001-02-03T04:05:06.789Z'), symlinkTarget: undefined, metadata: undefined,
	})
}))

test('js_info_tells_all_of_a_folder', inFolder(async (folder) => {
	const { size, modifiedTime, ...rest } = await files.getInfo(folder)
	assert.deepEqual(rest, {
		name: folder.split('/').at(-1), type: 'dir', path: folder, mode: 0o700, permissions: 'drwx------',
		owner: 'user', group: 'user', symlinkTarget: undefined, metadata: undefined,
	})
	assert.equal(`${size} ${Math.floor(modifiedTime / 1000)}\n`, await out(`stat -c '%s %Y' ${folder}`))
}))

test('js_info_of_a_link_tells_its_target', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; echo x >f; chmod 600 f; mkdir d; ln -s f link; ln -s link chain; ln -s d folder
		ln -s gone broken; ln -s me me`)
	const told = []
	for (const name of ['link', 'chain', 'folder', 'broken', 'me']) {
		const { type, mode, permissions, symlinkTarget } = await files.getInfo(`${folder}/${name}`)
		assert.equal(permissions, 'Lrwxrwxrwx')
		told.push([type, mode, symlinkTarget.slice(folder.length + 1)])
	}
	assert.deepEqual(told, [['file', 0o600, 'f'], ['file', 0o600, 'f'], ['dir', 0o755, 'd'],
		[undefined, 0, 'broken'], [undefined, 0, 'me']])
}))

test('js_info_shows_special_bits_and_kinds', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; touch f; chmod 6755 f; mkfifo pipe; mkdir sticky; chmod 1777 sticky
		python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"`)
	for (const [path, type, mode, permissions] of [
		[`${folder}/f`, 'file', 0o755, 'ugrwxr-xr-x'],
		[`${folder}/sticky`, 'dir', 0o777, 'dtrwxrwxrwx'],
		[`${folder}/pipe`, undefined, 0o644, 'prw-r--r--'],
		[`${folder}/socket`, undefined, 0o755, 'Srwxr-xr-x'],
		['/dev/null', undefined, 0o666, 'Dcrw-rw-rw-'],
	]) {
		const info = await files.getInfo(path)
		assert.deepEqual([info.type, info.mode, info.permissions], [type, mode, permissions], path)
	}
}))

test('js_info_names_owners_or_their_numbers', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; touch a b; chown root:sudo a; chown 12345:54321 b`, { user: 'root' })
	const owners = (await files.list(folder)).map(({ owner, group }) => `${owner}:${group}`)
	assert.deepEqual(owners, ['root:sudo', '12345:54321'])
}))

test('js_info_of_what_is_missing_is_not_found', inFolder(async (folder) => {
	const error = await rejection(files.getInfo(`${folder}/none`), FileNotFoundError)
	assert.match(error.message, new RegExp(`file not found: lstat ${folder}/none: no such file or directory`))
}))

test('js_exists_tells_whether_it_does', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; touch f; ln -s gone broken`)
	for (const [path, expected] of [['f', true], ['', true], ['broken', true], ['none', false], ['none/none', false]])
		assert.equal(await files.exists(`${folder}/${path}`), expected, path)
	await rejection(files.exists(`${folder}/f/none`), SandboxError)
}))

test('js_list_is_sorted_and_tells_all_of_each_entry', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir b; touch a C b/inner; ln -s a d; printf 123 >é`)
	const entries = await files.list(folder)
	assert.deepEqual(typesOf(folder, entries), ['C file', 'a file', 'b dir', 'd file', 'é file'])
	for (const entry of entries)
		assert.deepEqual(entry, await files.getInfo(entry.path))
}))

test('js_list_goes_as_deep_as_it_is_told', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir -p a/b/c e; touch a/f a/b/g a/b/c/h; ln -s a link`)
	const listed = async (depth) => typesOf(folder, await files.list(folder, { depth }))
	assert.deepEqual(await listed(undefined), ['a dir', 'e dir', 'link dir'])
	assert.deepEqual(await listed(1), ['a dir', 'e dir', 'link dir'])
	assert.deepEqual(await listed(2), ['a dir', 'a/b dir', 'a/f file', 'e dir', 'link dir'])
	assert.deepEqual(await listed(3), ['a dir', 'a/b dir', 'a/b/c dir', 'a/b/g file', 'a/f file', 'e dir', 'link dir'])
	assert.deepEqual(await listed(1000), ['a dir', 'a/b dir', 'a/b/c dir', 'a/b/c/h file', 'a/b/g file', 'a/f file',
		'e dir', 'link dir'])
	await rejection(files.list(folder, { depth: 0 }), InvalidArgumentError)
}))

test('js_list_of_an_empty_folder_is_empty', inFolder(async (folder) => {
	assert.deepEqual(await files.list(folder), [])
}))

test('js_list_through_a_link_shows_paths_below_the_link', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir -p d/e; touch d/e/f; ln -s d link; ln -s me me`)
	assert.deepEqual(typesOf(folder, await files.list(`${folder}/link/`, { depth: 2 })), ['link/e dir', 'link/e/f file'])
	const error = await rejection(files.list(`${folder}/me`), SandboxError)
	assert.match(error.message, /cyclic symlink or chain >255 links at/)
}))

test('js_list_leaves_out_what_is_neither_file_nor_folder', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkfifo pipe; ln -s gone broken; touch f`)
	assert.deepEqual(namesOf(await files.list(folder)), ['f'])
}))

test('js_list_of_5000_entries_is_complete', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; seq -f %04g 0 4999 | xargs touch`)
	const names = Array.from({ length: 5000 }, (_, n) => String(n).padStart(4, '0'))
	assert.deepEqual(namesOf(await files.list(folder)), names)
}))

test('js_list_shows_names_that_are_no_utf8_with_replacement_characters', inFolder(async (folder) => {
	await commands.run(`python3 -c "[open(b'${folder}/' + name, 'w') for name in (b'a\\xff', b'\\xc3(', b'plain')]"`)
	assert.deepEqual(namesOf(await files.list(folder)), ['a\ufffd', 'plain', '\ufffd('])
}))

test('js_list_of_what_is_no_folder_fails', inFolder(async (folder) => {
	await commands.run(`touch ${folder}/f`)
	assert.match((await rejection(files.list(`${folder}/none`), FileNotFoundError)).message, /path not found: lstat/)
	assert.match((await rejection(files.list(`${folder}/f`), InvalidArgumentError)).message,
		new RegExp(`path is not a directory: ${folder}/f`))
}))

test('js_list_is_that_of_the_home_folder_of_its_user', inFolder(async (folder) => {
	const paths = async (path, user) => (await files.list(path, { user })).map((entry) => entry.path)
	assert.ok((await paths('', undefined)).includes(folder))
	assert.ok((await paths('~', undefined)).includes(folder))
	assert.ok((await paths('.', 'root')).every((path) => path.startsWith('/root/')))
	await rejection(files.list('', { user: 'nobody-here' }), AuthenticationError)
}))

test('js_make_dir_makes_all_that_is_missing_once', inFolder(async (folder) => {
	assert.equal(await files.makeDir(`${folder}/a/b/c`), true)
	assert.equal(await files.makeDir(`${folder}/a/b/c`), false)
	assert.equal(await out(`cd ${folder}; stat -c '%n %U %a' a a/b a/b/c`), 'a user 755\na/b user 755\na/b/c user 755\n')
	assert.equal(await files.makeDir(`${folder}/a/r/s`, { user: 'root' }), true)
	assert.equal(await out(`cd ${folder}/a; stat -c '%n %U' . r r/s`), '. user\nr root\nr/s root\n')
	await commands.run(`rm -r ${folder}/a`, { user: 'root' })
}))

test('js_make_dir_over_or_below_a_file_fails', inFolder(async (folder) => {
	await commands.run(`touch ${folder}/f`)
	assert.match((await rejection(files.makeDir(`${folder}/f`), InvalidArgumentError)).message,
		new RegExp(`path already exists but it is not a directory: ${folder}/f`))
	await rejection(files.makeDir(`${folder}/f/d`), SandboxError)
}))

test('js_make_dir_from_50_at_once_makes_it_once', inFolder(async (folder) => {
	const made = await Promise.all(Array.from({ length: 50 }, () => files.makeDir(`${folder}/a/b/c`)))
	assert.ok(made.includes(true))
	assert.equal(await out(`stat -c %U ${folder}/a/b/c`), 'user\n')
}))

test('js_rename_moves_a_file_and_tells_its_new_self', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; printf content >f; chmod 640 f`)
	const entry = await files.rename(`${folder}/f`, `${folder}/new/g`)
	assert.deepEqual(entry, await files.getInfo(`${folder}/new/g`))
	assert.deepEqual([entry.name, entry.size, entry.mode], ['g', 7, 0o640])
	assert.equal(await files.exists(`${folder}/f`), false)
	assert.equal(await out(`cat ${folder}/new/g`), 'content')
}))

test('js_rename_moves_a_folder_with_all_in_it', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir -p d/e; echo content >d/e/f`)
	assert.equal((await files.rename(`${folder}/d`, `${folder}/moved`)).type, 'dir')
	assert.equal(await out(`cd ${folder}; find . | sort; cat moved/e/f`), '.\n./moved\n./moved/e\n./moved/e/f\ncontent\n')
}))

test('js_rename_of_a_link_moves_the_link', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; touch f; ln -s f link`)
	const { symlinkTarget } = await files.rename(`${folder}/link`, `${folder}/moved`)
	assert.equal(symlinkTarget, `${folder}/f`)
	assert.equal(await out(`cd ${folder}; readlink moved; ls`), 'f\nf\nmoved\n')
}))

test('js_rename_replaces_a_file_but_no_folder', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; echo one >a; echo two >b; mkdir d`)
	await files.rename(`${folder}/a`, `${folder}/b`)
	assert.equal(await out(`cd ${folder}; cat b; ls`), 'one\nb\nd\n')
	const error = await rejection(files.rename(`${folder}/b`, `${folder}/d`), SandboxError)
	assert.match(error.message, new RegExp(`error renaming: rename ${folder}/b ${folder}/d: file exists`))
}))

test('js_rename_across_file_systems_keeps_content_owner_and_mode', inFolder(async (folder) => {
	const there = `/dev/shm/files-${process.pid}`
	await commands.run(`mkdir -p ${there}/d; cd ${there}; echo content >d/f; chmod 640 d/f; ln -s f d/link
		touch -d '2001-02-03 04:05:06 UTC' d/f`)
	assert.equal((await files.rename(`${there}/d`, `${folder}/d`)).path, `${folder}/d`)
	assert.equal(await out(`cd ${folder}/d; cat f; stat -c '%U %a %Y' f; readlink link; ls ${there}`),
		'content\nuser 640 981173106\nf\n')
	await files.rename(`${folder}/d/f`, `${there}/f`)
	assert.equal(await out(`cat ${there}/f; ls ${folder}/d; rm -r ${there}`), 'content\nlink\n')
}))

test('js_rename_of_what_is_missing_is_not_found', inFolder(async (folder) => {
	const error = await rejection(files.rename(`${folder}/none`, `${folder}/f`), FileNotFoundError)
	assert.match(error.message, new RegExp(`source file not found: rename ${folder}/none ${folder}/f`))
}))

test('js_remove_takes_files_and_whole_trees', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; touch f; mkdir -p d/e; seq -f d/e/%g 1 1000 | xargs touch; chmod 0 d/e`)
	for (const name of ['f', 'd', 'none']) {
		assert.equal(await files.remove(`${folder}/${name}`), undefined)
		assert.equal(await files.exists(`${folder}/${name}`), false)
	}
}))

test('js_remove_of_a_link_leaves_its_target', inFolder(async (folder) => {
	await commands.run(`cd ${folder}; mkdir d; touch d/f; ln -s d link`)
	await files.remove(`${folder}/link`)
	assert.equal(await out(`cd ${folder}; ls . d`), '.:\nd\n\nd:\nf\n')
}))

test('js_remove_of_a_folder_within_itself_is_refused', inFolder(async (folder) => {
	await commands.run(`mkdir ${folder}/d; touch ${folder}/d/f`)
	for (const path of ['d/.', 'd/./', 'd/sub/..'])
		await rejection(files.remove(`${folder}/${path}`), SandboxError)
	assert.equal(await out(`ls ${folder}/d`), 'f\n')
}))

test('js_remove_of_what_is_mounted_is_a_sandbox_error', async () => {
	await rejection(files.remove('/dev/shm'), SandboxError)
	assert.equal(await files.exists('/dev/shm'), true)
})

await run(assertNothingIsLeft)
