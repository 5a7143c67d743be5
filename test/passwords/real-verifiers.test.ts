import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type HashSettings, hashPassword } from '../../src/passwords/hash-password.ts'
import { PRESETS, type Preset } from '../../src/passwords/presets.ts'
import { parseHash } from '../../src/systems/password-hash.ts'
import { userPassword } from '../../src/systems/user-password.ts'
import { debianProgram } from '../faults/debian-program.ts'
import { freePort } from '../faults/free-port.ts'
import { suite } from '../suite.ts'
import { bind } from './ldap-bind.ts'

const t = suite()

/*
 * The systems under test themselves, where Debian's packages are installed: each takes the password of its preset's hash, no other
 * one, and says that no new hash is due. better-auth, from npm, is in better-auth.test.ts.
 */

const PASSWORD = 'pässwörd ☃ 😀'
const hashOf = (settings: HashSettings) => hashPassword(settings, PASSWORD) ?? ''

/** The lines that a script prints; undefined where the program or its library is not there. */
function linesOf(program: string | undefined, args: string[]): string[] | undefined {
  if (!program) return undefined
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim().split('\n') : undefined
}

const python = debianProgram('python3')
const django = linesOf(python, ['-c', 'import django; print("%d.%d" % django.VERSION[:2])'])?.[0]

const DJANGO = `
import sys
from django.conf import settings
settings.configure()
from django.contrib.auth import hashers
password, hash = sys.argv[1:]
hashed_again = []
print(hashers.check_password(password, hash, setter=hashed_again.append))
print(hashers.check_password(password + 'x', hash))
print(hashers.get_hasher('default').must_update(hash), hashed_again)`

const noDjango = django ? false : 'Django is not here (Debian: apt-get install python3-django)'
t.test('Django: check_password, must_update', { skip: noDjango }, (t) => {
  const ask = (settings: HashSettings) => linesOf(python, ['-c', DJANGO, PASSWORD, hashOf(settings)])
  t.strictSame(ask(PRESETS[`django-${django}` as Preset]), ['True', 'False', 'False []'])
  const others = { algorithm: 'pbkdf2_sha256', iterations: 1_000, salt_bytes: 16 } as const
  t.strictSame(ask(others), ['True', 'False', `True ['${PASSWORD}']`], 'other costs are hashed again')
  t.end()
})

const php = debianProgram('php')
const PHP = `
[, $password, $laravel, $wordpress] = $argv;
$options = ['cost' => 12];
echo var_export(password_verify($password, $laravel)), "\\n", var_export(password_verify($password . 'x', $laravel)), "\\n";
echo password_get_info($laravel)['algoName'], " ", var_export(password_needs_rehash($laravel, PASSWORD_BCRYPT, $options)), "\\n";
// wp_check_password and wp_password_needs_rehash of WordPress 6.8
$digest = base64_encode(hash_hmac('sha384', trim($password), 'wp-sha384', true));
echo var_export(password_verify($digest, substr($wordpress, 3))), " ";
echo var_export(password_needs_rehash(substr($wordpress, 3), PASSWORD_BCRYPT, []));`

const noPhp = php ? false : 'PHP is not here (Debian: apt-get install php-cli)'
t.test('PHP, as Laravel and WordPress use it: password_verify, password_needs_rehash', { skip: noPhp }, (t) => {
  const isNew = linesOf(php, ['-r', 'echo PHP_VERSION_ID >= 80400 ? "new" : "old";'])?.[0] === 'new'
  const wordpress = PRESETS[isNew ? 'wordpress' : 'wordpress-php-8.3']
  t.strictSame(linesOf(php, ['-r', PHP, '--', PASSWORD, hashOf(PRESETS.laravel), hashOf(wordpress)]), [
    'true',
    'false',
    'bcrypt false',
    'true false',
  ])
  t.end()
})

const slapd = debianProgram('slapd')
const noSlapd = slapd ? false : 'slapd is not here (Debian: apt-get install slapd)'
t.test('OpenLDAP: bind', { skip: noSlapd }, async (t) => {
  const folder = t.testdir({})
  const port = await freePort()
  const folderOfModules = join(dirname(slapd ?? ''), '../lib/ldap')
  const hasPbkdf2 = existsSync(join(folderOfModules, 'pw-pbkdf2.so')) // Debian: slapd-contrib
  const pbkdf2 = { algorithm: 'pbkdf2_sha256', iterations: 1_000, salt_bytes: 16 } as const
  const ldapForm = (settings: HashSettings) => {
    const hash = parseHash(hashOf(settings))
    return hash && userPassword(hash)
  }
  const passwords = {
    argon2: ldapForm(PRESETS.openldap),
    crypt: ldapForm(PRESETS.kratos),
    ...(hasPbkdf2 && { pbkdf2: ldapForm(pbkdf2) }),
  }
  // The administrator of a database needs neither a schema nor an entry.
  const databases = Object.entries(passwords).map(
    ([name, hash]) =>
      `database ldif\nsuffix "cn=${name}"\ndirectory ${folder}\nrootdn "cn=${name}"\nrootpw "${hash}"\n`,
  )
  const modules = `modulepath ${folderOfModules}\nmoduleload argon2.so\n${hasPbkdf2 ? 'moduleload pw-pbkdf2.so\n' : ''}`
  await writeFile(join(folder, 'slapd.conf'), modules + databases.join(''))
  const url = `ldap://127.0.0.1:${port}/`
  const server = spawn(slapd ?? '', ['-d', '0', '-f', join(folder, 'slapd.conf'), '-h', url], { stdio: 'ignore' })
  const ended = once(server, 'exit')
  t.teardown(async () => {
    server.kill()
    await ended
  })
  for (const name of Object.keys(passwords)) {
    t.equal(await bind(port, `cn=${name}`, PASSWORD), 0, name)
    t.equal(await bind(port, `cn=${name}`, `${PASSWORD}x`), 49, 'invalidCredentials')
  }
})
