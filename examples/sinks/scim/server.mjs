// A system under test with a SCIM 2.0 API and a login, in place of yours:
//
//   PORT=8080 TOKEN=secret node server.mjs
//
// SCIM is at /scim/v2, with the token as bearer token. POST /login takes {"username", "password"}. More settings are below.
// Needs: npm install express scimmy scimmy-routers

import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import express from 'express'
import SCIMMY from 'scimmy'
import SCIMMYRouters from 'scimmy-routers'

const {
  PORT = '8080',
  TOKEN = 'secret',
  /** The file with the users. Default: in memory. */
  STORE = ':memory:',
  /** Operations per bulk request. 0: no bulk requests. */
  BULK = '1000',
  BULK_BYTES = '1048576',
  /** Usernames that match this are refused, as a system with rules for names does. */
  REFUSED = '(?!)',
} = process.env

const db = new DatabaseSync(STORE)
db.exec(`
  pragma journal_mode = wal; pragma synchronous = off;
  create table if not exists users (
    id integer primary key, username text not null unique collate nocase, external_id text, password text, resource text not null
  ) strict;
  create index if not exists users_external_id on users (external_id);`)

const statements = {
  one: db.prepare('select * from users where id = ?'),
  all: db.prepare('select * from users order by id'),
  byExternalId: db.prepare('select * from users where external_id = ?'),
  byName: db.prepare('select * from users where username = ?'),
  remove: db.prepare('delete from users where id = ?'),
  insert: db.prepare('insert into users (username, external_id, password, resource) values (?, ?, ?, ?) returning *'),
  update: db.prepare(
    'update users set username = ?, external_id = ?, password = coalesce(?, password), resource = ? where id = ? returning *',
  ),
}

const notFound = (id) => new SCIMMY.Types.Error(404, null, `Resource ${id} not found`)
const resourceOf = ({ id, resource }) => ({ ...JSON.parse(resource), id: String(id) })

/** The users that a filter may match: by the index where it names an externalId. */
function candidates(filter) {
  const ids = [...(filter ?? [])].map(({ externalId, ...others }) => {
    const [comparator, value] = externalId ?? []
    return comparator === 'eq' && Object.keys(others).length === 0 ? value : undefined
  })
  const isIndexed = ids.length > 0 && !ids.includes(undefined)
  return (isIndexed ? ids.flatMap((id) => statements.byExternalId.all(id)) : statements.all.all()).map(resourceOf)
}

SCIMMY.Resources.declare(SCIMMY.Resources.User)
  .egress(({ id, filter }) => {
    if (id === undefined) return filter ? filter.match(candidates(filter)) : candidates()
    const row = statements.one.get(Number(id))
    if (!row) throw notFound(id)
    return resourceOf(row)
  })
  .ingress(({ id }, { password, ...resource }) => {
    const { userName, externalId = null } = resource
    if (new RegExp(REFUSED).test(userName))
      throw new SCIMMY.Types.Error(400, 'invalidValue', `The value of attribute 'userName' is not allowed: ${userName}`)
    const other = statements.byName.get(userName)
    if (other && String(other.id) !== id)
      throw new SCIMMY.Types.Error(409, 'uniqueness', `A user with the userName '${userName}' exists already`)
    const values = [userName, externalId, password ? hash(password) : null, JSON.stringify(resource)]
    const row = id === undefined ? statements.insert.get(...values) : statements.update.get(...values, Number(id))
    if (!row) throw notFound(id)
    return resourceOf(row)
  })
  .degress(({ id }) => {
    if (statements.remove.run(Number(id)).changes === 0) throw notFound(id)
  })

/** Fast, for a demonstration. A real system takes a slow hash. */
const hash = (password) => createHash('sha256').update(password).digest('base64')

SCIMMY.Config.set({ bulk: { supported: true, maxOperations: Number(BULK), maxPayloadSize: Number(BULK_BYTES) } })
const handler = ({ headers }) => {
  if (headers.authorization !== `Bearer ${TOKEN}`) throw new Error('The token is wrong')
}
const routers = new SCIMMYRouters({ type: 'bearer', handler })
SCIMMY.Config.set({ bulk: { supported: BULK !== '0' } }) // the routers set it to true

const app = express()
// scimmy-routers 1.3.2 changes members of the query, which express 5 makes again at each access.
app.use((request, _, next) => next(void Object.defineProperty(request, 'query', { value: { ...request.query } })))
app.use('/scim/v2', routers)
app.post('/login', express.json(), ({ body }, response) => {
  const { username = '', password = '' } = body ?? {}
  const row = statements.byName.get(username)
  response.sendStatus(row?.password && row.password === hash(password) ? 204 : 401)
})
const server = app.listen(Number(PORT), '127.0.0.1', () => {
  process.stdout.write(`listens on http://127.0.0.1:${server.address().port}\n`)
})
