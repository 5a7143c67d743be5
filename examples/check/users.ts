import { parse } from 'csv-parse/sync'

export type Row = Record<string, string>

/** Names that a naive CSV reader, or a tool's template syntax, misinterprets. */
const ODD_NAMES = [
  'o\'brien, "ann" ünï ☃ +&=1',
  'two\nlines',
  '=1+1',
  '007',
  'two  spaces',
  '{{ username }}',
  '$x',
  '\\"',
]

/** Creates `count` users, including those with odd names. */
export async function makeUsers(url: string, count: number): Promise<void> {
  const users = ODD_NAMES.map((username, n) => ({ username, email: `odd${n}@example.com` }))
  await call('POST', `${url}/v1/users/import`, users)
  await addUsers(url, count - users.length)
}

export async function addUsers(url: string, count: number): Promise<void> {
  await call('POST', `${url}/v1/batches`, { count, config: { custom_attributes: { plan: 'gold, "plus"' } } })
}

export async function changeUser(url: string, { id }: Row): Promise<void> {
  await call('PATCH', `${url}/v1/users/${id}`, { role: 'admin, "chief"' })
}

export async function deleteUser(url: string, { id }: Row): Promise<void> {
  await call('DELETE', `${url}/v1/users/${id}`)
}

/** The users as the service exports them now. */
export async function exportedUsers(url: string): Promise<Row[]> {
  return rowsOf(await (await call('GET', `${url}/v1/users/export?format=csv`)).text())
}

/** The rows of a CSV file, ordered by id. */
export function rowsOf(csv: string): Row[] {
  const rows: Row[] = parse(csv, { columns: true })
  return rows.toSorted((a, b) => ((a['id'] ?? '') < (b['id'] ?? '') ? -1 : 1))
}

export async function call(method: string, url: string, json?: object): Promise<Response> {
  const headers: Record<string, string> = json ? { 'content-type': 'application/json', prefer: 'wait=30' } : {}
  const answer = await fetch(url, { method, headers, body: json ? JSON.stringify(json) : null })
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`)
  return answer
}
