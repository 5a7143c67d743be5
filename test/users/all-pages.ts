import type { Answer, Service } from '../http/service.ts'

export interface ListedUser {
  id: string
  username: string
  email: string
  created_at: string
  updated_at: string
}

export interface Page {
  items: ListedUser[]
  next_cursor: string | null
}

/** The pages of a user listing, following the links. Throws if a page is rejected. */
export async function* pagesOf(call: Service['call'], query: string): AsyncGenerator<ListedUser[], void, void> {
  let path: string | undefined = `/v1/users?${query}`
  while (path) {
    const page: Answer<Page> = await call<Page>('GET', path)
    if (page.status !== 200) throw new Error(`${path} answered ${page.raw}`)
    yield page.json.items
    const link: string | undefined = /^<(.*)>; rel="next"$/.exec(String(page.headers['link'] ?? ''))?.[1]
    if ((link === undefined) !== (page.json.next_cursor === null)) throw new Error('Link and next_cursor differ')
    if (link === path) throw new Error('The next page is the same')
    path = link
  }
}

/** All users of a listing. */
export async function listAll(call: Service['call'], query: string): Promise<ListedUser[]> {
  return (await Array.fromAsync(pagesOf(call, query))).flat()
}
